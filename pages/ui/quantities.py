"""The acoustic measure that a neuron follows, as the Neurons page shows it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.figures.quantities import activation_by_measure, measures_of
from and_core.figures.theme import EXPORT
from and_core.store.headline import followed
from pages.ui import html
from pages.ui.media import media_url
from pages.ui.setup import fold

ENDS = 3  # clips shown at either end of the measure


def box(d: Dissection, neuron: NeuronId) -> None:
    """Draw the measures that the neuron goes with most, and whether it follows one."""
    title = html.heading("Acoustic measures", "Spearman correlation over clips")
    if not d.has("quantities"):
        st.html(title + html.box(html.empty("Not compared yet. Run", "and-dissect run CONFIG.yaml --only quantities")))
        return
    if d.statistics(neuron)["dead"]:
        return
    rows, said = measures_of(d, neuron), followed(d, d.index(neuron))
    remark = (
        f"Follows {said}; chosen on one half of the recordings, correlation from the other."
        if said
        else "It follows none of them closely enough to be said, or a concept predicts it better."
    )
    if not rows:
        remark = "It goes with none of the measures."
    shown = (html.plain_table(rows) if rows else "") + html.empty(remark)
    st.html(html.about(neuron, title + html.box(shown)))


def chart(d: Dissection, neuron: NeuronId) -> None:
    """Draw activations over the measure that the neuron follows, and clips from both ends of it to listen to."""
    if not d.has("quantities") or not d.quantities["follows"][d.index(neuron)].as_py():
        return
    measure = d.quantities["measure"][d.index(neuron)].as_py()
    words = d.quantity_words[measure]
    st.html(html.about(neuron, html.heading(f"Activation by {words['name']}", "a point a clip")))
    st.plotly_chart(activation_by_measure(d, neuron, measure), config=EXPORT, theme=None, key="by_measure")
    ends = fold("Clips with the most and the least of it", "measure_ends")
    if not ends.open:
        return
    values = d.quantity_clips[measure].to_numpy(zero_copy_only=False).astype(float)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]  # clips without the measure stand last
    with ends:
        for label, clips in ((f"{words['more']}", order[::-1][:ENDS]), (f"{words['less']}", order[:ENDS])):
            cards = [
                html.clip_card(d.clips[c], d.caption(c), media_url(d, c, "flac"), media_url(d, c, "jpg"))
                for c in clips.tolist()
            ]
            st.html(html.heading(label) + f'<div class="and-cards">{"".join(cards)}</div>')
