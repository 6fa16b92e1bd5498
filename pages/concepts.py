"""The Concepts page: from a concept or an adjective to its neurons, and how well the last layer is named."""

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.concepts import neurons_per_layer
from and_core.figures.tables import REFERENCE_FAULTS, best_table, last_layer_rows, last_layer_table
from and_core.figures.theme import EXPORT
from and_core.labels.class_map import label_truth
from and_core.labels.truth import class_map_of
from and_core.query.comparable import comparable
from and_core.query.openings import leading_adjective, leading_concept
from and_core.query.search import Query
from pages.ui import html
from pages.ui.data import found_neurons
from pages.ui.explorer import result_frame
from pages.ui.scores import probability_column
from pages.ui.setup import explain, fold, provenance, setup

SHOWN = 500
ABOUT_LAST_LAYER = (
    "Classifier unit k is known to stand for class k, so only here is there a truth. Cells are top-1 % / top-5 % / "
    "mean cosine of the named and the "
    "true concept. The paper's columns are ESC-50's 50 classes with captions by SALMONN: they compare settings, not "
    "networks."
)


def _neurons(d: Dissection) -> None:
    d.require("explanations")
    kind, pick = st.columns([1, 2], vertical_alignment="bottom")
    by = kind.segmented_control(
        "From a", ["concept", "adjective"], default="concept", key="from", bind="query-params", required=True
    )
    options = d.explained_concepts if by == "concept" else d.explained_adjectives
    if not options:
        st.html(html.empty(f"No neuron has a {by}."))
        return
    best = leading_concept(d) if by == "concept" else leading_adjective(d)
    first = options.index(best) if best in options else 0
    chosen = pick.selectbox("to its neurons", options, first, key=f"chosen_{by}", bind="query-params")
    query = Query(concept=chosen) if by == "concept" else Query(adjective=chosen)
    neurons, _ = found_neurons(d, query)
    counts = [int(np.sum((neurons >= layer.offset) & (neurons < layer.offset + layer.size))) for layer in d.layers]
    name = html.text(str(chosen).replace("_", " "))
    count = f"{len(neurons):,} of {d.neuron_count:,} neurons"
    if by == "concept":
        holds = int(d.headlines.holds[neurons].sum())
        sure = f"; of {holds:,} it holds with a probability of .6 or more" if d.headlines.calibrated else ""
        about = f" stands in the {html.term('headline', 'headline')} of {count}{sure}."
    else:
        about = f" is among the {html.term('open concepts', 'open-concepts')} of {count}."
    st.html(f'<div class="and-headline"><mark>{name}</mark>{about}</div>')
    left, right = st.columns([1.25, 1], gap="medium")
    with left:
        st.html(html.heading("By layer", "bars show the share of a layer's neurons, with their number"))
        st.plotly_chart(
            neurons_per_layer([x.name for x in d.layers], counts, [x.size for x in d.layers]),
            config=EXPORT,
            theme=None,
            key="per_layer",
        )
    with right:
        st.html(html.heading("Its neurons", f"the surest {SHOWN}" if len(neurons) > SHOWN else "the surest first"))
        surest = neurons[np.argsort(-np.nan_to_num(d.headlines.probability[neurons]), kind="stable")][:SHOWN]
        frame = result_frame(d, surest, None)
        frame.insert(0, "open", [html.neuron_link(d.name, d.neuron_id(int(i))) for i in surest])
        frame.insert(3, "probability", frame.pop("probability"))
        st.dataframe(
            frame,
            hide_index=True,
            height=300,
            column_config={
                "open": st.column_config.LinkColumn("open", display_text="open", width="small"),
                "probability": probability_column(),
            },
        )


def _last_layer(d: Dissection) -> None:
    notes = d.notes("last_layer")
    st.html(
        html.heading(
            "Last layer: is each neuron named after its own class?",
            f"{notes['classes']} classes; cosine by {notes['encoder']}",
        )
    )
    if not d.last_layer_scores:
        st.html(html.box(html.empty(f"Not defined here: {notes['reason']}.")))
        return
    networks = comparable(d)
    st.html(html.empty(ABOUT_LAST_LAYER))
    st.html(
        html.heading(
            "Table 2: each method under its best similarity function",
            f"{len(networks)} networks on these clips and concepts",
        )
    )
    st.html(html.box(html.plain_table(best_table(networks), "db", "tab", "icl")))
    st.html(html.heading("Table 7: by similarity function", "", "similarity"))
    st.html(html.box(html.plain_table(last_layer_table(networks), "wpmi")))
    st.html(html.empty(REFERENCE_FAULTS))
    rows = pd.DataFrame(last_layer_rows(networks))
    st.download_button("Tables 2 and 7 (CSV)", csv_text(rows).encode(), "last-layer.csv", "text/csv", on_click="ignore")


def _classes(d: Dissection) -> None:
    """Draw which labels of the clips each class of the network stands for, and what has no partner."""
    if not d.target_classes or not d.classes:
        return
    mapped = label_truth(class_map_of(d), d.target_classes, d.classes)
    several = "a clip may have several at once" if d.multi_label else "a clip has one"
    st.html(html.heading("Classes and labels", f"{len(d.target_classes)} classes of the network, {several}"))
    alone = [d.classes[i].replace("_", " ") for i in np.flatnonzero(~mapped.any(0))]
    unlabelled = sum(not clip.labels for clip in d.clips)
    source = "as the class map says" if d.class_pairs is not None else "where the two have one name"
    lines = [
        f"{int(mapped.any(1).sum())} classes stand for {int(mapped.any(0).sum())} of {len(d.classes)} labels, {source}."
    ]
    lines += [f"Labels without a class: {', '.join(alone)}."] if alone else []
    lines += [f"{unlabelled} of {len(d.clips)} clips have no label and count for no class."] if unlabelled else []
    st.html(html.empty(" ".join(lines)))
    rows = [
        {"class": d.target_classes[i], "labels": "; ".join(d.classes[j] for j in np.flatnonzero(mapped[i]))}
        for i in np.flatnonzero(mapped.any(1))
    ]
    table = fold("Every class that stands for a label", "class_map")
    if table.open:
        table.dataframe(pd.DataFrame(rows), hide_index=True, height=260)


def _concept_classes(d: Dissection) -> None:
    """Draw by which classes a tagger that serves as audio encoder hears each concept."""
    table = d.concept_classes
    if table is None:
        return
    st.html(html.heading("What the tagger hears for each concept", d.notes("sounds")["encoder"]))
    frame = table.to_pandas().rename(columns={"class_name": "class"})
    guessed = frame.loc[frame["how"] == "embedding", "concept"].nunique()
    silent = len(d.concept_set) - frame["concept"].nunique()
    lines = [
        "TAB hears a concept by these classes of the tagger, each with its weight. The classes match by name, by "
        "words, as kinds of the concept, or as what stands above it."
    ]
    lines += [f"{guessed} concepts match no class and are heard by the classes nearest in meaning."] if guessed else []
    lines += [f"{silent} concepts stand for no class and are never heard."] if silent else []
    lines += ["The command and-dissect concepts writes the table as a file that can be edited."]
    st.html(html.empty(" ".join(lines)))
    st.dataframe(frame.round(2), hide_index=True, height=260, key="concept_classes")


def page() -> None:
    """Draw the page."""
    d = setup("Concepts")
    st.html('<h1 class="and">Concepts</h1>')
    try:
        provenance(d)
        _neurons(d)
        _last_layer(d)
        _classes(d)
        _concept_classes(d)
    except ANDError as error:
        explain(error)


page()
