"""Names in an address, looked up before anything is drawn: one that is not here is said so and chooses nothing."""

from __future__ import annotations

import time
from collections.abc import Collection

import streamlit as st

from and_core import Dissection
from pages.ui import html
from pages.ui.data import dissection_names, get_dissection

CONCEPTS, ADJECTIVES = ("with_concept", "chosen_concept"), ("with_adjective", "chosen_adjective")
SECOND = ("with", "with_layer", "with_unit")
FLUSHED = 0.05  # seconds until a changed address has left for the browser


def refuse(names: Collection[str], sentence: str) -> None:
    """Take names out of the address before a widget reads them, and begin again; the sentence stands above the page."""
    st.session_state["refused"] = f"{sentence} Nothing was changed."
    kept = {name: st.query_params.get_all(name) for name in st.query_params if name not in names}
    st.query_params.from_dict(kept)
    time.sleep(FLUSHED)
    st.rerun()


def show_refused() -> None:
    """Say what was wrong with the address, until the page is drawn again."""
    if sentence := st.session_state.pop("refused", None):
        st.html(f'<div role="alert">{html.box(html.empty(sentence))}</div>')


def check_dissection(names: Collection[str]) -> None:
    """Refuse a dissection that is not in the cache, with all that the address says of it."""
    asked = st.query_params.get("dissection")
    if asked is not None and asked not in names and not st.session_state.get("arrived"):
        refuse(list(st.query_params), f"There is no dissection “{asked}” here.")


def check_names(d: Dissection) -> None:
    """Refuse a layer, a neuron, a concept or an adjective that a dissection does not have.

    Once a page was drawn, all that is chosen is chosen among what is here.
    """
    if st.session_state.get("arrived"):
        return
    asked, unit = st.query_params.get("layer"), st.query_params.get("unit")
    sizes = {layer.name: layer.size for layer in d.layers}
    if asked is not None and asked not in sizes:
        refuse(("layer", "unit"), f"{d.name} has no layer “{asked}”.")
    if unit is not None:
        layer = asked or d.layers[0].name
        if not (unit.isdecimal() and len(unit) < 10 and int(unit) < sizes[layer]):
            last = sizes[layer] - 1
            refuse(("layer", "unit"), f"{layer} of {d.name} has no neuron “{unit}”: they go from 0 to {last}.")
    _check_second(d)
    if not d.has("explanations"):
        return
    for keys, known, kind in (
        (CONCEPTS, d.explained_concepts, "closed concept"),
        (ADJECTIVES, d.explained_adjectives, "adjective"),
    ):
        for key in keys:
            asked = st.query_params.get(key)
            if asked is not None and asked not in known:
                refuse((key,), f"No neuron of {d.name} has the {kind} “{asked}”.")


def _check_second(d: Dissection) -> None:
    """Refuse a neuron to compare with that is not here."""
    asked = st.query_params.get("with")
    if asked is not None and asked not in dissection_names():
        refuse(SECOND, f"There is no dissection “{asked}” here to compare with.")
    layer, unit = st.query_params.get("with_layer"), st.query_params.get("with_unit")
    if layer is None:
        return
    other = get_dissection(asked) if asked else d
    size = next((x.size for x in other.layers if x.name == layer), None)
    if size is None:
        refuse(SECOND[1:], f"{other.name} has no layer “{layer}”.")
    elif unit is not None and not (unit.isdecimal() and len(unit) < 10 and int(unit) < size):
        refuse(SECOND[1:], f"{layer} of {other.name} has no neuron “{unit}”: they go from 0 to {size - 1}.")
