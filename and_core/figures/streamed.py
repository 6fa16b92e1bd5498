"""What is exact and what is not after a pass over more clips than activations are kept of."""

from __future__ import annotations

from and_core.store.dissection import Dissection


def streamed_sentence(d: Dissection) -> str | None:
    """Return what is over all clips and what comes from those whose activations are kept, as a sentence; None where
    activations of all clips are kept."""
    s = d.streamed
    if s is None:
        return None
    exact = ["means", "spreads", *([] if d.has("labels") else ["class means"])]  # corrected labels: anew, of kept clips
    if d.has("closed"):
        exact += d.notes("closed").get("over_all_clips", [])
    sentence = (
        f"Highest and lowest clips, {', '.join(exact[:-1])} and {exact[-1]} are exact over all {s['counted']:,} clips; "
        f"whatever else is made from activations comes from {s['kept']:,} of them, drawn at random."
    )
    if not s["left_out"]:
        return sentence
    since = "since the clips were listed"
    if s["left_out"] == 1:
        return f"{sentence} One clip has changed or is gone {since}, and is left out."
    return f"{sentence} {s['left_out']:,} clips have changed or are gone {since}, and are left out."
