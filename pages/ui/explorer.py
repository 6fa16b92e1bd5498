"""Choosing a neuron, by layer and unit, from any page.

The choice stands in the address.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from and_core import Dissection, NeuronId
from and_core.query.openings import surest_neuron
from pages.ui.html import markdown


def choose_neuron(d: Dissection) -> NeuronId:
    """Return the chosen neuron; widgets for layer and unit in the sidebar, steps in the head of the page."""
    names = [layer.name for layer in d.layers]
    if not returning():
        for key, default in (("layer", names[0]), ("unit", 0)):
            value = st.session_state.get(key, default)
            if key not in st.query_params and value != default:
                hold(key, value)  # else one that came by address is lost where pages change
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


def returning() -> bool:
    """Return whether Back or Forward leads here: then the address alone says what is shown."""
    return bool(getattr(get_script_run_ctx(suppress_warning=True), "is_history_navigation", False))


def hold(key: str, value: Any) -> None:
    """Choose the value of a widget before it is drawn, and write it into the address, which the widget itself does
    only from its second run on."""
    st.session_state[key] = value
    with suppress(StreamlitAPIException):  # bound by now: the widget writes
        st.query_params[key] = str(value)


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


def open_on_the_surest(d: Dissection) -> None:
    """Choose the neuron that is told most surely, where neither the address nor the session names one of this
    network's."""
    asked = st.session_state.get("layer") or st.query_params.get("layer")
    named = asked is not None or "unit" in st.query_params or "unit" in st.session_state
    if d.has("explanations") and (not named or (asked is not None and asked not in {x.name for x in d.layers})):
        go(surest_neuron(d))
