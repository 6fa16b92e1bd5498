"""Training strategies side by side: what the paper says of them, and what this data says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from and_core.store.dissection import Dissection

FLAT = "no trend is shown"
ABOUT_STRATEGIES = (
    "Each statement is the paper's, on its own networks; beside it what these networks say, as a figure with a 95 % interval, and whether that agrees. "
    "How a network was trained stands in its configuration (training); without it there is nothing to agree with."
)
EXPECTED = {  # statement -> training -> the trend that the paper saw
    "words": {"supervised": "falls", "fine-tuned": "falls", "frozen": FLAT}, "interpretable": {"supervised": "falls", "frozen": FLAT},
}  # fmt: skip
STATEMENTS = {
    "words": "Adjectives a neuron fall with depth under supervision, less after self-supervision, and are flat in the frozen network",
    "interpretable": "Uninterpretable neurons (K=5, \u03c4=4) get fewer with depth under supervision, and stay as many in the frozen network",
    "named": "The last layer is named best under supervision, worst in the frozen network",
    "unlearned": "Open-concept pruning unlearns most selectively",
}


def statements(found: Sequence[Dissection]) -> list[dict[str, Any]]:
    """One row per statement and network.

    Returns
    -------
    list of dict
        ``statement``, ``network``, ``training``, ``this data`` (figure with interval), ``trend``, ``agrees`` (yes, no, or empty where the paper
        says nothing of such a network).
    """
    rows = []
    for d in found:
        rows.append(_row("words", d, d.document("word_counts/blocks")["adjective"], "a block"))
    for d in found:
        if d.has("interpretability"):
            rows.append(_row("interpretable", d, d.document("interpretability/depth"), "points a block"))
    best = {d.name: _named(d) for d in found if d.has("last_layer")}
    scores = {training: score for d in found for training, score in [(_training(d), best.get(d.name))] if training and score is not None}
    for d in found:
        if d.name in best:
            score = best[d.name]
            said = f"top-1 {score['top1']:.3g} %, top-5 {score['top5']:.3g} % ({score['similarity']})" if score else "no classifier in the concept set"
            order = [scores[t]["top1"] for t in ("supervised", "fine-tuned", "frozen") if t in scores]
            trend = "best to worst: " + ", ".join(sorted(scores, key=lambda t: -scores[t]["top1"])) if len(order) > 1 else ""
            agrees = ("yes" if order == sorted(order, reverse=True) and order[0] > order[-1] else "no") if len(order) > 1 and _training(d) else ""
            rows.append(_said("named", d, said, trend, agrees))
    for d in found:
        if d.has("unlearning"):
            mine = {r["strategy"]: r for r in d.document("unlearning/averages")["strategies"] if r["number"] == "own" and r["strategy"] != "random"}
            gaps = "; ".join(f"{s} {r['gap']:+.2f} (fair random {r['fair_gap']:+.2f})" for s, r in sorted(mine.items()) if r["gap"] is not None)
            rows.append(_said("unlearned", d, f"gap: {gaps}", *_leads(d)))
    return rows


def _training(d: Dissection) -> str | None:
    return d.manifest.config.get("training")


def _named(d: Dissection) -> dict[str, Any] | None:
    """DB under its best similarity function."""
    mine = [r for r in d.document("last_layer/scores") if r["method"] == "DB"]
    return max(mine, key=lambda r: (r["top1"], r["top5"]), default=None)


def _said(name: str, d: Dissection, said: str, trend: str, agrees: str) -> dict[str, Any]:
    return {"statement": STATEMENTS[name], "network": d.name, "training": _training(d) or "not given", "this data": said, "trend": trend, "agrees": agrees}


def _row(name: str, d: Dissection, fit: dict[str, Any], unit: str) -> dict[str, Any]:
    if fit.get("slope") is None or fit.get("slope_low") is None:
        return _said(name, d, "fewer than two blocks", "not defined", "")
    low, high = fit["slope_low"], fit["slope_high"]
    trend = "falls" if high < 0 else "rises" if low > 0 else FLAT
    expected = EXPECTED[name].get(_training(d) or "")
    return _said(name, d, f"{fit['slope']:+.3f} {unit} [{low:+.3f}, {high:+.3f}]", trend, "" if expected is None else "yes" if trend == expected else "no")


def _leads(d: Dissection) -> tuple[str, str]:
    """Which strategy is ahead at equal numbers of neurons, and whether that is OCP before both others."""
    ahead = []
    for pair in d.document("unlearning/averages")["pairs"]:
        low, high, p = pair["difference_low"], pair["difference_high"], pair["p"]
        if low is not None and p is not None and p < 0.05 and (low > 0 or high < 0):
            ahead.append((pair["one"], pair["other"]) if low > 0 else (pair["other"], pair["one"]))
    said = "at equal numbers " + (", ".join(f"{one} before {other}" for one, other in ahead) if ahead else "no difference is shown")
    return said, "yes" if {("OCP", "DB"), ("OCP", "TAB")} <= set(ahead) else "no"
