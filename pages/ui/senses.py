"""Several meanings of a neuron, as the Neurons page shows them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.names import readable
from and_core.store.composition import Composed, clips_with, composed
from pages.ui import html
from pages.ui.media import media_url
from pages.ui.setup import fold

SHOWN = 3  # highest clips of each sense


def box(d: Dissection, neuron: NeuronId) -> None:
    """Draw what the neuron means beyond one concept, and how well that holds on held-out recordings."""
    title = html.heading("Several meanings", "a second sense, a category, all but one, two at once")
    if not d.has("compositions"):
        st.html(title + html.box(html.empty("Not looked for yet. Run", "and-dissect run CONFIG.yaml")))
        return
    if d.statistics(neuron)["dead"]:
        return
    index = d.index(neuron)
    made = composed(d, index)
    alone = d.compositions["alone"][index].as_py()
    if made is None:
        remark = "One concept says it: a second meaning does not pay for itself on recordings it was not chosen on."
        if d.notes("compositions")["concepts_by"] == "nothing":
            remark = "Nothing is known of the clips' concepts, so only adjectives were looked at; no two hold at once."
    else:
        sentence = html.text("".join(part for part, _ in made.parts))
        single = "" if alone is None else f" The best single concept: AUROC {alone:.2f}."
        remark = f"{sentence} {html.text(made.evidence[:1].upper() + made.evidence[1:])}.{single}"
    st.html(html.about(neuron, title + html.box(html.empty(remark))))


def clips(d: Dissection, neuron: NeuronId) -> None:
    """Draw the highest clips of each sense, to be heard."""
    made = composed(d, d.index(neuron)) if d.has("compositions") else None
    if made is None or made.form not in ("or", "and"):
        return
    opened = fold("Clips of each sense", "senses")
    if not opened.open:
        return
    values = np.asarray(d.activations(neuron))
    with opened:
        for label, members in _groups(d, made):
            high = members[np.argsort(-values[members], kind="stable")[:SHOWN]].tolist()
            cards = [
                html.clip_card(d.clips[c], d.caption(c), media_url(d, c, "flac"), media_url(d, c, "jpg")) for c in high
            ]
            st.html(html.heading(label, f"{len(members)} clips") + f'<div class="and-cards">{"".join(cards)}</div>')


def _groups(d: Dissection, made: Composed) -> list[tuple[str, np.ndarray]]:
    """Return clips of the first sense and of the second; of a concept, those where the adjective holds and the rest."""
    one, other = readable(made.first), readable(made.second)
    if made.form == "or":
        return [(one, clips_with(d, made.first, made.second)), (other, clips_with(d, made.second, made.first))]
    every, without = clips_with(d, made.first), clips_with(d, made.first, made.second)
    return [(f"{one}, {other}", np.setdiff1d(every, without)), (f"{one}, not {other}", without)]
