"""Choosing a neuron: jump, previous, next, random, and the search over all neurons.

The choice stands in the address.
"""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.query.search import Query
from pages.ui import html
from pages.ui.data import found_neurons
from pages.ui.html import markdown
from pages.ui.scores import probability_column

MODES = ("words", "meaning")
SHOWN = 200
INTERPRETABLE = {"any": None, "yes": True, "no": False}


def choose_neuron(d: Dissection) -> NeuronId:
    """Return the chosen neuron; widgets for layer and unit in the sidebar, steps in the head of the page."""
    names = [layer.name for layer in d.layers]
    with st.sidebar:
        name = st.selectbox("Layer", names, key="layer", bind="query-params", persist_state="session")
        layer = d.layer(name)
        if st.session_state.get("unit") is not None and st.session_state["unit"] >= layer.size:
            st.session_state["unit"] = layer.size - 1
        unit = st.number_input(
            f"Neuron, 0 to {layer.size - 1}",
            0,
            layer.size - 1,
            key="unit",
            bind="query-params",
            persist_state="session",
        )
    return NeuronId(name, int(unit))


def go(neuron: NeuronId) -> None:
    """Show a neuron; to be used as a callback."""
    st.session_state["layer"], st.session_state["unit"] = neuron.layer, neuron.unit


def open_neuron(neuron: NeuronId) -> None:
    """Leave another page for a neuron's, within the session.

    By its state too, since an address alone drops what is a default.
    """
    go(neuron)
    st.switch_page("pages/neurons.py", query_params={"layer": neuron.layer, "unit": str(neuron.unit)})


def neuron_button(label: str, dissection: str, neuron: NeuronId, key: str, notice: str = "") -> None:
    """Draw what looks like a link to a neuron, and keeps what the session holds; `notice` is shown there, once."""

    def chosen() -> None:  # before the page draws its own choice of a dissection
        st.session_state["dissection"] = dissection
        st.session_state["notice"] = notice

    if st.button(markdown(label), type="tertiary", key=key, on_click=chosen):
        open_neuron(neuron)


def _go_random(d: Dissection) -> None:
    go(d.neuron_id(random.randrange(d.neuron_count)))


def header(d: Dissection, neuron: NeuronId) -> str:
    """Draw title, steps and search field in one row; returns what was typed."""
    index, layer = d.index(neuron), d.layer(neuron.layer)
    before, after = d.neuron_id((index - 1) % d.neuron_count), d.neuron_id((index + 1) % d.neuron_count)
    parts = [*layer.title.split(" / "), str(neuron.unit)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="header"):
        st.html(f'<h1 class="and">{" <span>/</span> ".join(html.text(p) for p in parts)}</h1>', width="content")
        st.button("Prev", on_click=go, args=(before,), shortcut="Left", key="prev", help="the neuron before this one")
        st.button("Next", on_click=go, args=(after,), shortcut="Right", key="next", help="the neuron after this one")
        st.button("Random", on_click=_go_random, args=(d,), shortcut="N", key="random", help="any neuron of any layer")
        hint = f'Search {d.neuron_count:,} neurons by word or meaning: "short metallic clicks"'
        typed = st.text_input("Search", key="q", bind="query-params", label_visibility="collapsed", placeholder=hint)
        with st.popover("Filter"):
            _filters(d)
        st.html(html.COPY_LINK, width="content")
    return typed


def _filters(d: Dissection) -> None:
    st.segmented_control("Search by", MODES, default="words", key="by", bind="query-params", required=True)
    st.multiselect("Layers", [layer.name for layer in d.layers], key="in_layers", bind="query-params")
    if d.has("explanations"):
        st.selectbox(
            "Closed concept",
            d.explained_concepts,
            index=None,
            key="with_concept",
            bind="query-params",
            placeholder="any",
        )
        st.selectbox(
            "Adjective",
            d.explained_adjectives,
            index=None,
            key="with_adjective",
            bind="query-params",
            placeholder="any",
        )
        st.slider(
            "At least this share of the highest clips in one class",
            0.0,
            1.0,
            0.0,
            0.2,
            key="min_share",
            bind="query-params",
        )
    if d.has("interpretability"):
        st.segmented_control(
            "Its clips' captions agree",
            list(INTERPRETABLE),
            default="any",
            key="interpretable",
            bind="query-params",
            required=True,
        )
    if d.has("scores") and (methods := d.scored_methods):
        st.segmented_control(
            "Explanation by", methods, default=methods[0], key="scored", bind="query-params", required=True
        )
        st.slider("Held-out score (Pearson) at least", -1.0, 1.0, -1.0, 0.05, key="min_score", bind="query-params")
        st.toggle(
            "only those that hold with confidence",
            key="sure",
            bind="query-params",
            help="DB, TAB, ICL and SUM have a calibrated probability",
        )
    else:
        st.caption("Held-out score: not run yet.")


def results(d: Dissection, typed: str) -> None:
    """Draw Table of the neurons found, best first; a row opens its neuron. Nothing where nothing was asked."""
    state = st.session_state
    query = Query(
        text=typed.strip(),
        by=state.get("by") or "words",
        layers=tuple(state.get("in_layers") or ()),
        concept=state.get("with_concept"),
        adjective=state.get("with_adjective"),
        min_share=float(state.get("min_share") or 0.0),
        min_score=least if (least := float(state.get("min_score", -1.0))) > -1 else None,
        scored=state.get("scored") or "DB",
        sure=bool(state.get("sure")),
        interpretable=INTERPRETABLE.get(state.get("interpretable") or "any"),
    )
    if query.is_empty():
        return
    try:
        with st.spinner("Searching", show_time=False):
            neurons, scores = found_neurons(d, query)
    except ANDError as error:
        st.html(html.box(html.empty(str(error))))
        return
    st.html(html.heading("PaperTable", _count(d, len(neurons), scores is not None)))
    if not len(neurons):
        st.html(html.empty("No neuron fits. Search by meaning finds neighbours of words that no summary uses."))
        return
    frame = result_frame(d, neurons[:SHOWN], scores[:SHOWN] if scores is not None else None)
    key = f"found-{hash(query)}"

    def opened() -> None:
        rows = state[key]["selection"]["rows"]
        if rows:
            go(d.neuron_id(int(neurons[rows[0]])))

    st.dataframe(
        frame,
        hide_index=True,
        height=min(260, 38 + 35 * len(frame)),
        on_select=opened,
        selection_mode="single-row",
        column_config={"probability": probability_column()},
        key=key,
    )


def _count(d: Dissection, count: int, ranked: bool) -> str:
    shown = f", the {'nearest' if ranked else 'first'} {SHOWN} shown" if count > SHOWN else ""
    return f"{count:,} of {d.neuron_count:,} neurons{shown}"


def result_frame(d: Dissection, neurons: np.ndarray, scores: np.ndarray | None) -> pd.DataFrame:
    """Return rows of neurons for a table."""
    table = d.explanation_table.take(neurons)
    frame = table.select(["layer", "unit", "adjectives", "thing", "leading_class", "class_share"]).to_pandas()
    frame = frame.rename(
        columns={"thing": "said in summary", "leading_class": "class of most high clips", "class_share": "share"}
    )
    frame.insert(4, "concept", d.headlines.concept[neurons])
    frame.insert(5, "probability", d.headlines.probability[neurons])
    if scores is not None:
        frame.insert(2, "similarity", scores)
    return frame.fillna({"said in summary": "", "concept": "", "class of most high clips": ""}).round(2)
