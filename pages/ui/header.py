"""The head of the Neurons page: title, steps, and the search over all neurons.

What is searched for stands in the address; steps go through what the search gives.
"""

from __future__ import annotations

import random
from typing import Any

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.query.search import Matches, Query
from pages.ui import html
from pages.ui.data import ranked_neurons
from pages.ui.explorer import go, result_frame
from pages.ui.scores import probability_column
from pages.ui.setup import fold

MODES = {"either": "words, else meaning", "words": "words", "meaning": "meaning"}
SHOWN = 200
INTERPRETABLE = {"any": None, "yes": True, "no": False}


def header(d: Dissection, neuron: NeuronId) -> None:
    """Draw title, steps and search field; the steps go through what the search gives, or through the network."""
    index, layer = d.index(neuron), d.layer(neuron.layer)
    parts = [*layer.title.split(" / "), str(neuron.unit)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="header"):
        st.html(f'<h1 class="and">{" <span>/</span> ".join(html.text(p) for p in parts)}</h1>', width="content")
        buttons = st.container(horizontal=True, gap="small", width="content")
        _search_field(d)
        st.html(html.COPY_LINK + html.place(dissection=d.name, layer=neuron.layer, unit=neuron.unit), width="content")
    query = current_query()  # once its widgets have read the address
    matches, fault = _matches(d, query)
    before, after = steps(d, index, matches)
    among = "among those that the search gives" if matches is not None else "in the network"
    with buttons:
        st.button("Prev", on_click=go, args=(before,), shortcut="Left", key="prev", help=f"the one before, {among}")
        st.button("Next", on_click=go, args=(after,), shortcut="Right", key="next", help=f"the one after, {among}")
        st.button("Random", on_click=_go_random, args=(d,), shortcut="N", key="random", help="any neuron of any layer")
    if fault is not None:
        st.html(html.box(html.empty(fault)))
    if matches is not None:
        _result_list(d, index, query, matches)


def _matches(d: Dissection, query: Query) -> tuple[Matches | None, str | None]:
    """Return what a search gives, None where nothing is asked, and why it gives nothing."""
    if query.is_empty():
        return None, None
    try:
        with st.spinner("Searching", show_time=False):
            return ranked_neurons(d, query), None
    except ANDError as error:
        return None, str(error)


def arrive(d: Dissection) -> None:
    """Open the first result of an address that asks for a search and names no neuron, or asks for its ``first``."""
    asked = st.query_params
    begun = not st.session_state.get("searched") and "layer" not in asked and "unit" not in asked
    if asked.get("q") and (begun or "first" in asked):
        st.session_state["q"] = asked["q"]
        open_first(d)
    if "first" in asked:
        del asked["first"]
    st.session_state["searched"] = True


def current_query() -> Query:
    """Return what is searched for, as the address has it."""
    state = st.session_state
    return Query(
        text=(state.get("q") or "").strip(),
        by=state.get("by") or "either",
        layers=tuple(state.get("in_layers") or ()),
        concept=state.get("with_concept"),
        adjective=state.get("with_adjective"),
        min_share=float(state.get("min_share") or 0.0),
        min_score=least if (least := float(state.get("min_score", -1.0))) > -1 else None,
        scored=state.get("scored") or "DB",
        sure=bool(state.get("sure")),
        interpretable=INTERPRETABLE.get(state.get("interpretable") or "any"),
    )


def open_first(d: Dissection) -> None:
    """Show the surest neuron that the search gives; to be used as a callback."""
    query = current_query()
    if query.is_empty():
        return
    try:
        matches = ranked_neurons(d, query)
    except ANDError:
        return  # the page says why
    if len(matches.neurons):
        go(d.neuron_id(int(matches.neurons[0])))


def steps(d: Dissection, index: int, matches: Matches | None) -> tuple[NeuronId, NeuronId]:
    """Return the neurons before and after one: in the results, else in the network. Both ends meet."""
    if matches is None or not len(matches.neurons):
        return d.neuron_id((index - 1) % d.neuron_count), d.neuron_id((index + 1) % d.neuron_count)
    rank, ranked = place_among(index, matches), matches.neurons
    before, after = (-1, 0) if rank is None else ((rank - 1) % len(ranked), (rank + 1) % len(ranked))
    return d.neuron_id(int(ranked[before])), d.neuron_id(int(ranked[after]))


def place_among(index: int, matches: Matches) -> int | None:
    """Return the rank of a neuron among results, from 0; None where it is not among them."""
    rank = (matches.neurons == index).nonzero()[0]
    return int(rank[0]) if len(rank) else None


def _go_random(d: Dissection) -> None:
    go(d.neuron_id(random.randrange(d.neuron_count)))


def _filtered() -> bool:
    """Return whether any filter asks for something, in the address or by its widget."""
    asked = {"by", "in_layers", "with_concept", "with_adjective", "min_share", "interpretable", "scored", "min_score"}
    asked |= {"sure"}
    query = current_query()
    plain = Query(text=query.text, by="either")
    return bool(asked & set(st.query_params)) or query != plain


def _bound(d: Dissection) -> dict[str, Any]:
    return {"bind": "query-params", "on_change": open_first, "args": (d,)}


def _search_field(d: Dissection) -> None:
    hint = f'Search {d.neuron_count:,} neurons by word or meaning: "short metallic clicks"'
    st.text_input("Search", key="q", label_visibility="collapsed", placeholder=hint, **_bound(d))
    filters = st.popover("Filter", key="filter", on_change="rerun")
    if (
        filters.open or _filtered()
    ):  # what is closed and asks for nothing costs nothing when neurons are stepped through
        with filters:
            _filters(d)


def _filters(d: Dissection) -> None:
    bound = _bound(d)
    st.segmented_control(
        "Search by",
        list(MODES),
        default="either",
        key="by",
        required=True,
        format_func=MODES.__getitem__,
        **bound,
    )
    st.multiselect("Layers", [layer.name for layer in d.layers], key="in_layers", **bound)
    if d.has("explanations"):
        st.selectbox(
            "Closed concept",
            d.explained_concepts,
            index=None,
            key="with_concept",
            **bound,
            placeholder="any",
        )
        st.selectbox(
            "Adjective",
            d.explained_adjectives,
            index=None,
            key="with_adjective",
            **bound,
            placeholder="any",
        )
        st.slider(
            "At least this share of the highest clips in one class",
            0.0,
            1.0,
            0.0,
            0.2,
            key="min_share",
            **bound,
        )
    if d.has("interpretability"):
        st.segmented_control(
            "Its clips' captions agree",
            list(INTERPRETABLE),
            default="any",
            key="interpretable",
            required=True,
            **bound,
        )
    if d.has("scores") and (methods := d.scored_methods):
        st.segmented_control("Explanation by", methods, default=methods[0], key="scored", **bound, required=True)
        st.slider("Held-out score (Pearson) at least", -1.0, 1.0, -1.0, 0.05, key="min_score", **bound)
        st.toggle(
            "only those that hold with confidence",
            key="sure",
            **bound,
            help="DB, TAB, ICL and SUM have a calibrated probability",
        )
    else:
        st.caption("Held-out score: not run yet.")


def _result_list(d: Dissection, index: int, query: Query, matches: Matches) -> None:
    """Draw how many neurons the search gives, which of them is shown, and their list; a row opens its neuron."""
    count, rank = len(matches.neurons), place_among(index, matches)
    if not count:
        st.html(html.box(html.empty("No neuron fits all that is asked; see Filter.")))
        return
    which = f"Neuron {rank + 1:,} of {count:,}" if rank is not None else f"{count:,} neurons, this one not among them"
    how = ", surest first" if matches.similarity is None else ", by how near and how sure"
    if matches.similarity is not None and query.by == "either":
        how = f": no explanation has these words, these are the nearest in meaning{how}"
    listed = fold(f"{which}{how}", "listed")
    if not listed.open:
        return
    shown = slice(0, SHOWN)
    similarity = matches.similarity[shown] if matches.similarity is not None else None
    frame = result_frame(d, matches.neurons[shown], similarity)
    frame.insert(0, "confidence", matches.confidence[shown].round(2))
    frame.insert(0, "", ["\u25b6" if i == rank else "" for i in range(len(frame))])
    key = f"matches-{hash(query)}"

    def opened() -> None:
        if rows := st.session_state[key]["selection"]["rows"]:
            go(d.neuron_id(int(matches.neurons[rows[0]])))

    listed.dataframe(
        frame.drop(columns="probability"),
        hide_index=True,
        height=min(260, 38 + 35 * len(frame)),
        on_select=opened,
        selection_mode="single-row",
        column_config={"confidence": probability_column()},
        key=key,
    )
    if count > SHOWN:
        listed.caption(f"The first {SHOWN} are listed; the steps go through all.")
