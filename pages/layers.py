"""The Layers page: a map of all neurons, and what changes with depth: interpretable neurons and words, for one network
or for all of the same clips."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.analyze.interpretability import TAUS
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.confidence import basis, confidence_table, reliability_figure
from and_core.figures.gallery import together
from and_core.figures.interpretability import by_depth, by_seed, seed_remarks, uninterpretable_curves
from and_core.figures.network import KINDS, words_by_block, words_by_kind
from and_core.figures.outline import inside, read_outline, written_outline
from and_core.figures.scores import METRIC, SAID, scores_by_depth
from and_core.figures.theme import EXPORT
from and_core.query.comparable import comparable
from and_core.query.openings import best_scored_method
from and_core.query.search import Query
from pages.ui import html
from pages.ui.data import found_neurons
from pages.ui.explorer import open_neuron, result_frame
from pages.ui.map import AGREE, map_figure
from pages.ui.scores import probability_column
from pages.ui.setup import BOUND, explain, fold, over_which_clips, provenance, setup
from pages.ui.terms import meaning

LIT, LISTED, AREA = 60, 300, "area"
WITH_LASSO = {**EXPORT, "modeBarButtonsToRemove": ["autoScale2d"], "scrollZoom": True}
LAYERS = {
    "all": None,
    "attention output": "attention_output",
    "intermediate": "intermediate",
    "output": "output",
    "fc1": "fc1",
    "fc2": "fc2",
}
ABOUT = (
    "Captions of a neuron's clips do not agree when fewer than \u03c4 of its K highest clips have captions in one same "
    "cluster; the paper calls such a neuron uninterpretable. The dotted line is what random sets of K clips give. "
    "Clusters are those of each network's own captions; dead neurons are not counted."
)
ABOUT_SEEDS = (
    "The line is one clustering, as in the paper. K-means begins at random: bars, and the band about chance, go "
    "from the lowest to the highest of ten seeds."
)


def _together(d: Dissection, stage: str) -> list[Dissection]:
    """Return the dissection alone, or with all that share its clips and concepts."""
    return together(d, stage) if st.session_state.get("beside", True) else [d]


def _scores(d: Dissection) -> None:
    st.html(html.heading("How good explanations are, by depth", "held-out scores", "held-out"))
    every = _together(d, "scores")
    one, two = st.columns([1.6, 1])
    methods = d.scored_methods
    if not methods:
        st.html(
            html.empty(
                "Nothing could be scored: "
                f"{d.notes('scores').get('reason', 'no method explains both halves of the clips')}."
            )
        )
        return
    method = one.segmented_control(
        "Explanation by",
        methods,
        default=best_scored_method(d),
        key="scored_method",
        wrap=True,
        required=True,
        format_func=SAID.__getitem__,
        **BOUND,
    )
    metric = two.segmented_control(
        "Score",
        list(METRIC),
        default="pearson",
        key="metric",
        wrap=True,
        required=True,
        format_func=METRIC.__getitem__,
        **BOUND,
    )
    rows = {x.name: x.score_layers.to_pylist() for x in every if x.scored_methods}
    if any(row["block"] is not None for layer_rows in rows.values() for row in layer_rows):
        st.plotly_chart(
            scores_by_depth(rows, str(method), str(metric)), config=EXPORT, theme=None, key="scores_by_depth"
        )
    else:
        st.html(html.empty("This network has no blocks, so there is no depth to show; the table below has its layers."))
    st.caption(
        "Each point is the mean over the neurons of a block that the method explains, by similarity of the explanation "
        "to captions. A method that is no better than another neuron's explanation says nothing of the neuron. Scores "
        f"that notice on these clips when an explanation is made worse: {_trusted(d)}."
    )
    frame = pd.DataFrame([{"network": name, **row} for name, layer_rows in rows.items() for row in layer_rows])
    table = fold("By layer and method", "scores_by_layer")
    if table.open:
        table.dataframe(frame.round(3), hide_index=True, height=260)
    st.download_button("Scores by layer (CSV)", csv_text(frame).encode(), "scores.csv", "text/csv", on_click="ignore")


def _confidence(d: Dissection) -> None:
    st.html(html.heading("How far stated probabilities can be trusted", "on units that were not fitted on"))
    d.require("confidence")
    if not d.confidence_reliability:
        st.html(html.empty(basis(d)))
        return
    st.plotly_chart(reliability_figure(d), config=EXPORT, theme=None, key="reliability")
    st.caption(
        "A point on the dotted line means that explanations hold as often as was stated; below it, that they were "
        f"stated too surely. {basis(d)}"
    )
    _, *heard = confidence_table(d).parts
    for number, part in enumerate(heard):
        table = fold(part.title, f"trust_{number}")
        if table.open:
            table.dataframe(pd.DataFrame(part.cells), hide_index=True, height=260)
            table.caption(part.note)


def _trusted(d: Dissection) -> str:
    """Return scores that pass the checks of missing and extra labels here."""
    return ", ".join(row["score"].replace("_", " ") for row in d.score_sanity if row["passes"]) or "no score"


def _interpretability(d: Dissection) -> None:
    st.html(
        html.heading(
            "Neurons whose clips' captions do not agree, by depth",
            "the paper's uninterpretable neurons: Figures 6 and 11 to 14",
            "interpretable",
        )
    )
    d.require("interpretability")
    one, two, three = st.columns(3)
    ks = d.notes("interpretability")["k"]
    if not ks:
        st.html(html.empty("There are fewer than 5 clips to rank, so no share of them can be counted."))
        return
    about = {"K": meaning("top-k"), "\u03c4": meaning("tau")}
    k = one.segmented_control("K", ks, default=ks[0], key="k", required=True, help=about["K"], **BOUND)
    tau = two.segmented_control(
        "\u03c4", TAUS[k], default=TAUS[k][1], key=f"tau_{k}", required=True, help=about["\u03c4"], **BOUND
    )
    kinds = {"all", *(x.kind.replace("_", " ") for x in d.layers)}
    kind = three.selectbox("Layers", [name for name in LAYERS if name in kinds], key="layer_kind", **BOUND)
    every = _together(d, "interpretability")
    rows, chance = by_depth(every, k, tau)
    seeds = by_seed(every, k, tau)
    if not any(r["block"] is not None for r in rows[d.name]):
        st.html(html.empty("This network has no blocks, so there is no depth to show; the table below has its layers."))
    else:
        figure = uninterpretable_curves(rows, chance, LAYERS[kind], seeds=seeds)
        st.plotly_chart(figure, config=EXPORT, theme=None, key="uninterpretable")
    st.caption(" ".join([ABOUT, *([ABOUT_SEEDS] if seeds else [])]))
    for remark in seed_remarks(seeds, LAYERS[kind]):
        st.html(html.empty(remark))
    frame = pd.DataFrame([{"network": name, **r} for name, layer_rows in rows.items() for r in layer_rows])
    table = fold("By layer", "agreement_by_layer")
    if table.open:
        table.dataframe(frame.round(1), hide_index=True, height=260)
    st.download_button(
        "Uninterpretable neurons (CSV)", csv_text(frame).encode(), "interpretability.csv", "text/csv", on_click="ignore"
    )


def _words(d: Dissection) -> None:
    st.html(html.heading("Words by depth and by kind of layer", "Figure 5"))
    d.require("word_counts")
    every = _together(d, "word_counts")
    one, two = st.columns([1.6, 1])
    kind = one.segmented_control(
        "Words",
        list(KINDS),
        default="adjective",
        key="word_kind",
        wrap=True,
        required=True,
        format_func=KINDS.__getitem__,
        **BOUND,
    )
    across = two.segmented_control(
        "Counted by", ["block", "kind of layer"], default="block", key="counted_by", wrap=True, required=True, **BOUND
    )
    if across == "kind of layer":
        st.plotly_chart(
            words_by_kind({x.name: x.layer_word_counts for x in every}, str(kind)),
            config=EXPORT,
            theme=None,
            key="words_by_kind",
        )
        st.caption("Mean over all neurons of the layers of a kind; dead neurons are not counted.")
    else:
        _words_by_block({x.name: x.block_word_counts[kind] for x in every}, str(kind))
    frame = pd.DataFrame([{"network": x.name, **row} for x in every for row in x.layer_word_counts])
    st.download_button(
        "Words by layer (CSV)", csv_text(frame).encode(), "words-by-layer.csv", "text/csv", on_click="ignore"
    )


def _words_by_block(networks: dict[str, dict[str, Any]], kind: str) -> None:
    if not any(row["blocks"] for row in networks.values()):
        st.html(html.empty("This network has no blocks, so there is no depth to show."))
        return
    st.plotly_chart(words_by_block(networks, kind), config=EXPORT, theme=None, key="words_by_block")
    fitted = {name: row for name, row in networks.items() if row["slope_low"] is not None}
    slopes = [
        f"{name}: {row['slope']:+.3f} per block [{row['slope_low']:+.3f}, {row['slope_high']:+.3f}]"
        for name, row in fitted.items()
    ]
    slopes_text = f" Slopes: {'; '.join(slopes)}." if slopes else ""
    st.caption(
        "Mean of the neurons of a block with 95 % bootstrap intervals; dotted, the linear fit over neurons."
        f"{slopes_text}"
    )


def _map(d: Dissection) -> None:
    st.html(html.heading("The map of neurons", "click a neuron to open it; draw with the lasso to list several", "map"))
    d.require("map")
    one, two, three = st.columns([1, 1.2, 1.4])
    places = one.segmented_control(
        "Neurons lie near each other by their",
        ["explanation", "activation"],
        default="explanation",
        key="near_by",
        wrap=True,
        required=True,
        **BOUND,
    )
    counted = d.has("interpretability") and 5 in d.notes("interpretability")["k"]
    options = [
        "block",
        "layer kind",
        "concept",
        "class of its clips",
        "adjective",
        *([AGREE] if counted else []),
    ]
    options += [f"held-out score, {m}" for m in d.scored_methods] if d.has("scores") else []
    first = options.index("concept") if d.headlines.holds.any() else 0
    by = two.selectbox("Coloured by", options, first, key="coloured_by", **BOUND)
    words = d.explained_adjectives
    word = two.selectbox("Adjective shown", words, key="map_word", **BOUND) if by == "adjective" and words else None
    typed = three.text_input("Light up neurons by meaning", key="light", placeholder="short metallic clicks", **BOUND)
    about = "the highest clip of the neuron under the pointer"  # never by a link: who hears it has turned it on
    if st.toggle("play what the pointer is on", key="hover_sound", help=about, persist_state="session"):
        st.html(f'<i hidden data-and-hover="{html.text(d.name)}"></i>')
    neurons = found_neurons(d, Query(text=typed.strip(), by="meaning"))[0][:LIT] if typed.strip() else None
    figure = map_figure(d, places, by, word, tuple(int(i) for i in neurons) if neurons is not None else ())
    event = st.plotly_chart(
        figure,
        config=WITH_LASSO,
        theme=None,
        key="map",
        on_select=_choose_area,
        selection_mode=("points", "box", "lasso"),
    )
    method = d.notes("map")["method"][places]
    far = " Distances between far points mean little." if method.startswith("t-SNE") else ""
    scale = {
        "block": "from the first block (dark) to the last",
        **{o: "from low (dark) to high" for o in options if o.startswith("held-out")},
    }
    colours = scale.get(by, "the largest groups; grey, all others")
    st.caption(f"{method}, seed {d.notes('map')['seed']}.{far} Colours: {colours}.")
    chosen = [p["customdata"] for p in (event.selection.points if event else [])]
    chosen = list(
        dict.fromkeys(int(c[0] if isinstance(c, list | tuple) else c) for c in chosen if c is not None)
    )  # a lit neuron is drawn twice
    if len(chosen) == 1 and not (event.selection.lasso or event.selection.box):
        open_neuron(d.neuron_id(chosen[0]))
    area = read_outline(st.query_params.get(AREA, ""))
    if area is not None or neurons is not None:
        picked = inside(np.asarray(d.map_places(places)), area) if area is not None else np.asarray(neurons)
        st.html(
            html.heading(
                "Neurons chosen on the map" if area is not None else "Neurons lit up",
                f"{len(picked)} neurons, the first {LISTED} listed" if len(picked) > LISTED else f"{len(picked)}",
            )
        )
        frame = result_frame(d, picked[:LISTED], None)
        frame.insert(0, "open", [html.neuron_link(d.name, d.neuron_id(int(i))) for i in picked[:LISTED]])
        st.dataframe(
            frame,
            hide_index=True,
            height=280,
            column_config={
                "open": st.column_config.LinkColumn("open", display_text="open", width="small"),
                "probability": probability_column(),
            },
        )


def _choose_area() -> None:
    """Put what was drawn around on the map into the address, from where its neurons are listed."""
    selection = st.session_state["map"]["selection"]
    drawn = [*selection.get("lasso", ()), *selection.get("box", ())]
    if drawn:
        st.query_params[AREA] = written_outline(drawn[0]["x"], drawn[0]["y"])
    elif not selection.get("points"):
        st.query_params.pop(AREA, None)


def page() -> None:
    """Draw the page."""
    d = setup("Layers")
    st.html('<h1 class="and">Layers</h1>')
    provenance(d)
    over_which_clips(d)
    if len(comparable(d, "word_counts")) > 1:
        st.toggle("beside all networks of the same clips", value=True, key="beside", **BOUND)
    for part in (_map, _scores, _confidence, _interpretability, _words):
        try:
            part(d)
        except ANDError as error:
            explain(error)


page()
