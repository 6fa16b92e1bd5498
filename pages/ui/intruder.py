"""What sound alone says of a neuron, as the Neurons page shows it: the intruder test, and clips that do not fire."""

from __future__ import annotations

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.records import TopClip
from pages.ui import html
from pages.ui.media import media_url
from pages.ui.setup import fold


def by_sound(d: Dissection, neuron: NeuronId) -> None:
    """Draw whether the high clips can be told from the low ones by sound, and the nearest clips that do not fire."""
    if not d.has("intruder"):
        return
    st.html(html.about(neuron, html.heading("By sound alone", _heard_by(d)) + html.empty(_sentences(d, neuron))))
    clips = [int(c) for c in d.hard_negatives[d.index(neuron)] if c >= 0] if d.intruder else []
    if not clips:
        return
    opened = fold("Nearest clips that do not fire", "hard_negatives")
    if not opened.open:
        return
    values, statistics = np.asarray(d.activations(neuron)), d.statistics(neuron)
    low, high = statistics["minimum"], statistics["maximum"]
    cards = [
        html.card(
            TopClip(rank=rank, clip=d.clips[c], activation=float(values[c]), caption=d.caption(c)),
            "low",
            float((high - values[c]) / (high - low)) if high > low else 0.0,
            media_url(d, c, "flac"),
            media_url(d, c, "jpg"),
            [],
        )
        for rank, c in enumerate(clips, 1)
    ]
    opened.caption(
        "They sound most like the neuron's high clips, and lie at or below its median activation. What the high clips "
        "have and these lack is what the neuron listens for."
    )
    opened.html(html.about(neuron, f'<div class="and-cards">{"".join(cards)}</div>'))


def _heard_by(d: Dissection) -> str:
    by = d.notes("intruder").get("by")
    return f"heard by {by}" if by and by != "acoustic measures" else "by acoustic measures" if by else ""


def _sentences(d: Dissection, neuron: NeuronId) -> str:
    """Return the results of the test in whole sentences."""
    notes = d.notes("intruder")
    if "reason" in notes:
        return f"Not tested: {notes['reason']}."
    index = d.index(neuron)
    found = {name: float(values[index]) for name, values in d.intruder.items()}
    if np.isnan(found["auroc"]):
        return (
            "It is the same on every clip, so it has no high clips."
            if d.statistics(neuron)["dead"]
            else "Too few clips lie above its median to test it."
        )
    verdict = "By sound alone its high clips " + (
        "can be told from its low ones" if found["p"] <= notes["sure"] else "are not shown to differ from its low ones"
    )
    p = f"p = {_number(found['p'])}" if found["p"] >= 0.01 else "p < .01" if found["p"] >= 0.001 else "p < .001"
    hidden, near, every = (100 * found[name] for name in ("found", "neighbours_fire", "neighbours_chance"))
    return (
        f"{verdict} on recordings it was not looked up in: AUROC {_number(found['auroc'])} (chance .5, {p}); a low "
        f"clip among four high ones is found in {hidden:.0f} % (chance 20 %). Of the clips that sound most like its "
        f"high ones, {near:.0f} % make it fire (of all clips, {every:.0f} %)."
    )


def _number(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value < 1 else "1"
