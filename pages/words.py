"""The Words and clusters page: what a network's neurons are said to hear, what the captions speak of, and whether the
words are true."""

import re

import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.audio.quantities import QUANTITIES
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.gallery import MEASURED, adjectives, called, together
from and_core.figures.network import elbow_curve, word_boxes
from and_core.figures.theme import EXPORT
from and_core.query.cluster_names import cluster_names, cluster_words
from and_core.query.openings import leading_cluster
from pages.ui import html
from pages.ui.media import media_url
from pages.ui.setup import BOUND, explain, provenance, setup

NEAREST, EXAMPLES, CLOUD = 6, 5, 30
COLUMNS = {
    "delta": "Cliff's \u03b4",
    "with": "neurons with it",
    "without": "neurons without",
    "median_with": "median with it",
    "median_without": "median without",
    "agrees": "as the word says",
}


def _measure(name: str) -> str:
    """Return a measure as people call it, with its unit."""
    known = QUANTITIES.get(name)
    if known is None:
        return name.replace("_", " ")
    unit = re.split("[,;]", known.unit)[0].strip()  # without how it is measured
    return f"{known.name} ({unit})" if unit else known.name


def _adjectives(d: Dissection) -> None:
    st.html(html.heading("Which adjectives describe the network's neurons", "Figures 3 and 9", "adjective"))
    every = together(d, "word_counts")
    top = st.segmented_control(
        "Adjectives shown",
        [10, 20, 40],
        default=20,
        key="top_words",
        required=True,
        label_visibility="collapsed",
        **BOUND,
    )
    counts = {x.name: x.adjective_counts for x in every}
    if not counts[d.name]:
        st.html(html.empty("No neuron of this network has an adjective of sound in its calibrated summary."))
        return
    st.plotly_chart(adjectives(d, top)["adjectives"], config=EXPORT, theme=None, key="adjectives")
    st.caption(
        "Each bar is the share of neurons, in percent, whose open concepts hold the adjective. A network that hears "
        "more than its classes has many adjectives of nearly equal share; one that hears its classes alone has few."
    )
    rows = pd.DataFrame(
        [
            {"network": name, "word": r["word"], "neurons": r["neurons"]}
            for name, rows_of in counts.items()
            for r in rows_of
        ]
    )
    one, two = st.columns([1, 2], vertical_alignment="bottom")
    word = two.selectbox(
        "Open the neurons of a word",
        [r["word"] for r in counts[d.name]],
        index=None,
        key="to_neurons",
        placeholder="choose a word",
    )
    if word:
        two.page_link(
            "pages/concepts.py",
            label=f"neurons called {word}",
            query_params={"dissection": d.name, "from": "adjective", "chosen_adjective": word},
        )
    one.download_button("Adjectives (CSV)", csv_text(rows).encode(), "adjectives.csv", "text/csv", on_click="ignore")


def _clusters(d: Dissection) -> None:
    st.html(html.heading("What the captions speak of: clusters of their sentences", "Table 8", "cluster"))
    d.require("clusters")
    notes, elbow, table = d.notes("clusters"), d.cluster_elbow, d.cluster_sentences.to_pandas()
    if not notes["clusters"]:
        st.html(html.empty("The captions hold no sentence to make clusters of."))
        return
    left, right = st.columns([1, 1.3], gap="medium")
    with left:
        st.plotly_chart(
            elbow_curve(elbow["counts"], elbow["inertia"], elbow["chosen"]), config=EXPORT, theme=None, key="elbow"
        )
        how = (
            "given in the configuration"
            if elbow["by"] == "config"
            else "chosen by the elbow: farthest below the line between the curve's ends"
        )
        st.caption(
            f"{notes['clusters']} clusters, {how}. {notes['sentences']:,} sentences, {notes['distinct']:,} of them "
            f"distinct; K-means, seed {notes['seed']}."
        )
    names = cluster_names(d)
    counts = table.groupby("cluster").agg(clips=("clip", "nunique"), sentences=("text", "size")).reset_index()
    counts.insert(1, "its words", [names[i] for i in counts["cluster"]])
    with right:
        st.dataframe(counts, hide_index=True, height=250)
        st.download_button(
            "Sentences and clusters (CSV)", csv_text(table).encode(), "clusters.csv", "text/csv", on_click="ignore"
        )
    number = st.segmented_control(
        "Cluster", list(range(notes["clusters"])), default=leading_cluster(d), key="cluster", required=True, **BOUND
    )
    number = 0 if number is None else int(number)
    st.html(f'<div class="and-headline">Cluster {number}: <mark>{html.text(names[number])}</mark></div>')
    st.html(html.note("Named after the words that set its sentences apart from all others, without stop words."))
    sentences = table[table["cluster"] == number].sort_values("distance", kind="stable")
    words = cluster_words(d)[number][:CLOUD]
    cloud, column = st.columns([1, 1.6], gap="medium")
    with cloud:
        st.html(html.heading("Words that set it apart", "the larger, the further"))
        st.html(html.box(html.word_cloud(words) if words else html.empty("No word sets it apart.")))
    nearest = sentences.drop_duplicates("text").head(NEAREST)["text"]
    with column:
        st.html(
            html.heading("Its most typical sentences")
            + html.box("<ul>" + "".join(f"<li>{html.text(t)}</li>" for t in nearest) + "</ul>")
        )
    cards = []
    for clip in sentences.drop_duplicates("clip").head(EXAMPLES)["clip"]:
        c = d.clips[int(clip)]
        cards.append(html.clip_card(c, d.caption(c.index), media_url(d, c.index, "flac"), media_url(d, c.index, "jpg")))
    st.html(html.heading("Clips that are described so") + f'<div class="and-cards">{"".join(cards)}</div>')


def _acoustics(d: Dissection) -> None:
    st.html(html.heading("Are the words true? Adjectives against acoustic measures", "Figure 8"))
    d.require("acoustics")
    notes, means, tests = d.notes("acoustics"), d.acoustic_means, d.acoustic_tests
    for column, (word, (measure, unit)) in zip(st.columns(len(MEASURED), gap="medium"), MEASURED.items(), strict=True):
        test = next((t for t in tests if (t["word"], t["measure"]) == (word, measure)), None)
        if test is None:
            column.html(html.empty(f"Too few neurons are described as {word} for a test."))
            continue
        column.plotly_chart(
            word_boxes(means[measure].to_numpy(), called(d, word), word, unit),
            config=EXPORT,
            theme=None,
            key=f"box_{word}",
        )
        verdict = {"yes": "what the word says", "no": "the opposite of what the word says"}.get(
            test["agrees"], "no difference that is shown"
        )
        column.caption(
            f"The highest clips of neurons described as {word}, against those of all others: Cliff's \u03b4 "
            f"{test['delta']:+.2f}, q {test['q']:.2g}, which is {verdict}. Whiskers reach from 5 to 95 % of neurons."
        )
    frame = pd.DataFrame(tests)
    sentence = (
        f"{notes['tests']} tests, {notes['words']} adjectives; {notes['expected_yes']} of {notes['expected']} "
        "expectations hold"
    )
    st.html(html.heading("Every adjective against every measure", sentence))
    if len(frame):
        shown = frame[["word", "measure", "delta", "q", "with", "without", "median_with", "median_without", "agrees"]]
        shown = shown.round(3).assign(
            q=[f"{q:.2g}" for q in frame["q"]], measure=[_measure(m) for m in frame["measure"]]
        )
        st.dataframe(shown.rename(columns=COLUMNS), hide_index=True, height=280)
        st.caption(
            "Cliff's \u03b4 goes from -1 to 1; q is the p-value of Mann and Whitney's test, corrected for all tests "
            "(Benjamini and Hochberg). The medians are in the unit of the measure. The largest effects come first."
        )
        st.download_button("Tests (CSV)", csv_text(frame).encode(), "acoustics.csv", "text/csv", on_click="ignore")
    against = d.acoustic_disagreements
    worst = ", the worst 50 of each word" if notes["contradicted"] > len(against) else ""
    st.html(html.heading("Neurons whose own clips contradict the word", f"{notes['contradicted']:,} neurons{worst}"))
    if against:
        rows = pd.DataFrame(against)
        rows.insert(0, "open", [html.neuron_link(d.name, d.neuron_id(i)) for i in rows["neuron"]])
        rows["neuron"] = [str(d.neuron_id(i)) for i in rows["neuron"]]
        rows = rows[["open", "neuron", "word", "measure", "value", "bound"]].assign(
            measure=[_measure(m) for m in rows["measure"]]
        )
        st.dataframe(
            rows.round(3),
            hide_index=True,
            height=220,
            column_config={"open": st.column_config.LinkColumn("open", display_text="open", width="small")},
        )
        st.caption(
            "A neuron described as loud stands here if its highest clips are in the quieter third of all; likewise for "
            "the other words. Wrong captions are found here."
        )


def page() -> None:
    """Draw the page."""
    d = setup("Words and clusters")
    st.html('<h1 class="and">Words and clusters</h1>')
    provenance(d)
    for part in (_adjectives, _clusters, _acoustics):
        try:
            part(d)
        except ANDError as error:
            explain(error)


page()
