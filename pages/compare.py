"""The Compare page: two neurons side by side, of one network or of two."""

from __future__ import annotations

from typing import Literal

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.figures.neuron import activations_together
from and_core.figures.theme import EXPORT
from and_core.query.counterpart import same_clips
from pages.ui import html, scores
from pages.ui.data import dissection_names, get_dissection, kept_counterparts
from pages.ui.explorer import choose_neuron, hold, open_on_the_surest, returning
from pages.ui.media import media_url
from pages.ui.setup import BOUND, explain, provenance, setup

SHOWN = 6  # clips of each, at most


def _second(d: Dissection, neuron: NeuronId) -> tuple[Dissection, NeuronId]:
    """Return the neuron that stands on the right; widgets for its dissection, layer and unit."""
    state, names = st.session_state, dissection_names()
    named = returning() or "with_layer" in st.query_params or "with_unit" in st.query_params
    if not named and "with" not in st.query_params and state.get("with") not in names:
        others = [name for name in names if name != d.name and same_clips(d, get_dissection(name))]
        own = [name for name in others if get_dissection(name).target_classes]  # planted units have no classes
        hold("with", (own or others or [d.name])[0])
    one, two, three = st.columns([1.4, 1.4, 1])
    name = one.selectbox("With a neuron of", names, key="with", persist_state="session", **BOUND)
    other = get_dissection(name)
    other.require("neurons")
    if not named and state.get("compared") != (d.name, str(neuron), name):
        for best in list(_alike(d, neuron, other))[:1]:
            hold("with_layer", best.layer)
            hold("with_unit", best.unit)
    state["compared"] = (d.name, str(neuron), name)
    layers = [layer.name for layer in other.layers]
    layer = other.layer(two.selectbox("Layer of it", layers, key="with_layer", **BOUND))
    if (state.get("with_unit") or 0) >= layer.size:
        state["with_unit"] = layer.size - 1
    unit = three.number_input(f"Neuron, 0 to {layer.size - 1}", 0, layer.size - 1, key="with_unit", **BOUND)
    return other, NeuronId(layer.name, int(unit))


def _alike(d: Dissection, neuron: NeuronId, other: Dissection) -> dict[NeuronId, float]:
    return dict(kept_counterparts(d, neuron, other)) if same_clips(d, other) else {}


def _put(neuron: NeuronId) -> None:
    """Show a neuron on the right; to be used as a callback."""
    st.session_state["with_layer"], st.session_state["with_unit"] = neuron.layer, neuron.unit


def _places(d: Dissection, neuron: NeuronId, other: Dissection, shown: NeuronId) -> None:
    """Draw which neurons of the other network do the same on the same clips."""
    alike = _alike(d, neuron, other)
    if not alike:
        st.html(html.empty("The two are of different clips, so their activations can't be compared one by one."))
        return
    where = "in the same network" if other.name == d.name else f"in {other.name}"
    st.html(html.heading(f"Its places {where}", "correlation over all clips"))
    with st.container(horizontal=True, gap="small", key="places"):
        for i, (one, correlation) in enumerate(alike.items()):
            label = html.markdown(f"{other.layer(one.layer).title} / {one.unit}")
            kind: Literal["primary", "secondary"] = "primary" if one == shown else "secondary"
            st.button(f"{label} · {correlation:.2f}", on_click=_put, args=(one,), type=kind, key=f"place_{i}")


def _side(d: Dissection, neuron: NeuronId, shared: set[str], side: str) -> None:
    """Draw one of the two."""
    name = f"{d.layer(neuron.layer).title} / {neuron.unit}"
    link = html.neuron_link(d.name, neuron)
    st.html(
        f'<h2 class="and"><a href="{html.text(link)}" target="_self">{html.text(name)}</a>'
        f"<small>{html.text(d.name)}</small></h2>"
    )
    if d.has("explanations"):
        headline = d.headline(neuron)
        st.html(
            f'<div class="and-two"><div class="and-headline">{scores.sentence(headline)}</div>'
            f"{scores.verdict(headline, '')}</div>"
        )
    else:
        st.html(html.empty("Not explained yet. Run", "and-dissect run CONFIG.yaml"))
    tops = d.extreme_clips(neuron, "high", SHOWN)
    lowest, highest = d.statistics(neuron)["minimum"], d.statistics(neuron)["maximum"]
    cards = [
        html.card(
            top,
            "high",
            (top.activation - lowest) / (highest - lowest) if highest > lowest else 0.0,
            media_url(d, top.clip.index, "flac"),
            media_url(d, top.clip.index, "jpg"),
            ["Among the highest clips of both."] if top.clip.name in shared else [],
        )
        for top in tops
    ]
    note = f"{len(shared)} of them among the other's" if shared or side == "both" else ""
    st.html(html.heading(f"Highest {len(tops)}", note) + f'<div class="and-cards and-half">{"".join(cards)}</div>')
    if d.has("calibration"):
        points = d.summary(neuron)
        inner = html.points(points) if points else html.empty("Its highest clips have nothing in common.")
        st.html(html.heading("Summary, calibrated") + html.box(inner))
    if d.has("closed") and d.similarity in d.notes("closed")["similarities"]:
        table = html.concept_table({"DB (captions)": d.closed_concepts(neuron, d.similarity)})
        st.html(html.heading("Closed concepts", f"by {d.similarity}") + html.box(table))


def page() -> None:
    """Draw the page."""
    d = setup("Compare")
    st.html('<h1 class="and">Compare two neurons</h1>')
    try:
        open_on_the_surest(d)
        neuron = choose_neuron(d)
        provenance(d)
        other, second = _second(d, neuron)
        _places(d, neuron, other, second)
        together = same_clips(d, other)
        shared: set[str] = set()
        if together:
            of_each = [
                {t.clip.name for t in x.extreme_clips(n, "high", SHOWN)} for x, n in ((d, neuron), (other, second))
            ]
            shared = of_each[0] & of_each[1]
        left, right = st.columns(2, gap="medium")
        with left:
            _side(d, neuron, shared, "both" if together else "")
        with right:
            _side(other, second, shared, "both" if together else "")
        if together:
            _scatter(d, neuron, other, second)
        st.html(html.COPY_LINK + _place(d, neuron, other, second), width="content")
    except ANDError as error:
        explain(error)


def _scatter(d: Dissection, neuron: NeuronId, other: Dissection, second: NeuronId) -> None:
    x, y = np.asarray(d.drawn_activations(neuron)), np.asarray(other.drawn_activations(second))
    r = float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else float("nan")
    said = f"correlation {r:.2f}" if np.isfinite(r) else "one of them never changes"
    every = len(x) == len(d.activation_clips)
    st.html(html.heading("Both on every clip" if every else f"Both on {len(x):,} of {len(d.clips):,} clips", said))
    st.caption("One point a clip. Along a rising line the two do the same; a round cloud: nothing in common.")
    names = [d.clips[clip].label or d.clips[clip].name for clip in d.drawn_clips.tolist()]
    titles = (f"{d.name} {neuron}", f"{other.name} {second}")
    st.plotly_chart(activations_together(x, y, names, titles), config=EXPORT, theme=None, key="together")


def _place(d: Dissection, neuron: NeuronId, other: Dissection, second: NeuronId) -> str:
    """Return the mark of what is shown, for an address that leaves nothing to defaults."""
    rest = {"with": other.name, "with_layer": second.layer, "with_unit": second.unit}
    return html.place(dissection=d.name, layer=neuron.layer, unit=neuron.unit, **rest)


page()
