"""The Neurons page: choose, read, draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.audio.adjectives import FUNDAMENTAL_RULES, RULES
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.neuron import activation_histogram, class_means_figure
from and_core.figures.theme import EXPORT
from and_core.records import Concept, Side, TopClip
from and_core.store.dissection import ScoredMethod
from pages.ui import html, intruder, keep, listening, player, quantities, scores, senses, steering
from pages.ui.explorer import choose_neuron, open_on_the_surest
from pages.ui.header import arrive, header
from pages.ui.media import media_url
from pages.ui.own import own_value
from pages.ui.setup import explain, fold, over_which_clips, provenance, setup

KS = (5, 10, 20, 50)


def page() -> None:
    """Draw the page."""
    d = setup("Neurons")
    try:
        arrive(d)
        open_on_the_surest(d)
        neuron = choose_neuron(d)
        provenance(d)
        header(d, neuron)
        notice = st.session_state.pop("notice", "")
        if notice:
            st.html(html.box(html.empty(notice)))
        _headline(d, neuron)
        keep.actions(d, neuron)
        over_which_clips(d)
        left, right = st.columns([2.25, 1], gap="medium")
        with left:
            _clips(d, neuron)
            senses.clips(d, neuron)
            intruder.by_sound(d, neuron)
            listening.where_it_fires(d, neuron)
            listening.what_moves_it(d, neuron)
            scores.most_wrong(d, neuron)
            charts = st.container()
        with right:
            _summary(d, neuron)
            _closed(d, neuron)
            _open(d, neuron)
            senses.box(d, neuron)
            quantities.box(d, neuron)
            steering.line(d, neuron)
            scores.box(d, neuron)
            scores.captions_agree(d, neuron)
            _alike(d, neuron)
            _download(d, neuron)
        with charts:  # last, though they stand on the left: the text is there before a chart is drawn
            _activations(d, neuron)
            quantities.chart(d, neuron)
    except ANDError as error:
        explain(error)


def _headline(d: Dissection, neuron: NeuronId) -> None:
    if not d.has("explanations"):
        st.html(html.empty("Not explained yet. Run", "and-dissect run CONFIG.yaml"))
        return
    headline, e = d.headline(neuron), d.explanation(neuron)
    leading = (
        f"{e['class_count']} of its {e['of']} highest clips are {e['leading_class'].replace('_', ' ')}"
        if e["leading_class"] and not headline.dead
        else ""
    )
    sentence = f'<div class="and-headline">{scores.sentence(headline)}</div>'
    st.html(html.about(neuron, sentence + scores.verdict(headline, leading) + scores.differing(d, neuron)))


def _clips(d: Dissection, neuron: NeuronId) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    title, options, show = row.container(), row, row
    allowed = sorted({d.k, *(k for k in KS if k <= len(d.clips) // 2)})
    chosen = options.segmented_control(
        "Clips per side",
        allowed,
        default=d.k,
        key="clips",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    k = chosen or d.k
    pictures = show.toggle("spectrograms", value=True, key="pictures", bind="query-params")
    span = d.statistics(neuron)["minimum"], d.statistics(neuron)["maximum"]
    high, low = d.extreme_clips(neuron, "high", k), d.extreme_clips(neuron, "low", k)
    title.html(html.heading("Clips", "played as loud as they are", "top-k"))
    over = player.Overlays(d, neuron)
    grids = (
        player.group(f"Highest {len(high)}", _grid(d, high, "high", span, pictures, over))
        + player.group(f"Lowest {len(low)}", _grid(d, low, "low", span, pictures, over), keys=False)
        + player.trace_note(d, neuron)
    )
    st.html(html.about(neuron, grids))


def _grid(
    d: Dissection,
    tops: list[TopClip],
    side: Side,
    span: tuple[float, float],
    pictures: bool,
    over: player.Overlays,
) -> str:
    (low, high), standing = span, keep.standing_edits(d)
    cards = []
    for top in tops:
        share = (top.activation - low) / (high - low) if high > low else 0.0
        row = {key: float("nan") if value is None else value for key, value in d.clip_row(top.clip.index).items()}
        measured = [rule.evidence(row) for rule in (*RULES, *FUNDAMENTAL_RULES) if rule.holds(row)]
        details = [
            f"{top.clip.name}, {top.clip.seconds:.1f} s"
            + (f", fold {top.clip.fold}" if top.clip.fold is not None else ""),
            *(["Measured. " + "; ".join(measured)] if measured else []),
            *keep.remarks(standing, top.clip, top.caption),
        ]
        picture = media_url(d, top.clip.index, "jpg") if pictures else None
        cards.append(
            html.card(
                top,
                side,
                share if side == "high" else 1 - share,
                media_url(d, top.clip.index, "flac"),
                picture,
                details,
                over=over.over(top.clip),
                attributes=over.attributes(top.clip),
            )
        )
    return f'<div class="and-cards">{"".join(cards)}</div>'


def _activations(d: Dissection, neuron: NeuronId) -> None:
    values = np.asarray(d.drawn_activations(neuron))
    labels = [d.clips[clip].labels for clip in d.drawn_clips.tolist()]
    leading = d.explanation(neuron)["leading_class"] if d.has("explanations") else None
    title, pick = st.columns([2, 1.2], vertical_alignment="center")
    highlight = leading
    if d.classes:
        chosen = pick.selectbox(
            "Highlight",
            d.classes,
            index=None,
            key="highlight",
            bind="query-params",
            placeholder=f"highlight: {leading or 'a class'}",
            label_visibility="collapsed",
        )
        highlight = chosen or leading
    every = d.streamed is None and len(values) == len(d.clips)
    count = f"{'All ' if every else ''}{len(values):,} activations"
    title.html(html.heading(count, f"{highlight.replace('_', ' ')} in blue" if highlight else ""))
    st.caption(
        "How many clips have each activation. A neuron that stands for the class in blue has the blue bars at its "
        "right end and few grey ones there."
        + ("" if every or d.streamed is not None else f" Drawn from {len(d.clips):,} clips in even steps.")
    )
    st.plotly_chart(
        activation_histogram(values, labels, highlight, own=own_value(d, neuron)),
        config=EXPORT,
        theme=None,
        key="histogram",
    )
    if d.classes:
        by_class = fold("Mean activation by class", "by_class")
        if by_class.open:
            by_class.caption(
                "Mean activation of each class, or of the eight at either end: blue above the mean of all classes, "
                "vermilion below."
            )
            by_class.plotly_chart(
                class_means_figure(d.class_means(neuron)), config=EXPORT, theme=None, key="class_means"
            )


def _summary(d: Dissection, neuron: NeuronId) -> None:
    if not d.has("calibration"):
        st.html(
            html.heading("Summary")
            + html.box(html.empty("Not summarised yet. Run", "and-dissect run CONFIG.yaml --from captions"))
        )
        return
    high, low = d.summary(neuron), d.summary(neuron, "low")
    notes = d.notes("summaries")
    kept = sum(p.kept for p in high)
    nothing = "The {} clips have nothing in common that their captions say."
    shown = html.points(high) if high else html.empty(_no_answer(d, neuron, "high") or nothing.format("highest"))
    remarks = [f"{len(high)} raw, {kept} kept."]
    if "random_points_mean" in notes:
        remarks.append(f"Random clips share {notes['random_points_mean']:.1f} points by chance.")
    agreement = d.agreement(neuron)
    if agreement is not None:
        remarks.append(f"Agreement of several answers: {agreement:.2f} (all neurons {notes['agreement_mean']:.2f}).")
    st.html(
        html.about(
            neuron,
            html.heading("Summary, calibrated", notes["summarizer"], "summary")
            + html.box(shown + html.empty(" ".join(remarks))),
        )
    )
    lowest = fold(f"Summary of the lowest clips ({len(low)})", "lowest_summary")
    if lowest.open:
        lowest.html(html.points(low) if low else html.empty(_no_answer(d, neuron, "low") or nothing.format("lowest")))


def _no_answer(d: Dissection, neuron: NeuronId, side: Side) -> str | None:
    """Return why a language model gave no summary, as a sentence."""
    failed = d.failed_summary(neuron, side)
    return f"No answer: {failed}. The next run asks again." if failed else None


def _closed(d: Dissection, neuron: NeuronId) -> None:
    if not d.has("closed"):
        st.html(
            html.heading("Closed concepts")
            + html.box(html.empty("Not scored yet. Run", "and-dissect run CONFIG.yaml --only closed"))
        )
        return
    notes = d.notes("closed")
    names = notes["similarities"]
    if not names:
        reasons = "; ".join(notes["failed"].values())
        st.html(
            html.heading("Closed concepts") + html.box(html.empty(f"No similarity function could be used: {reasons}"))
        )
        return
    similarity = st.session_state.get("similarity") or d.similarity
    similarity = similarity if similarity in names else d.similarity
    columns: dict[str, Sequence[Concept]] = {"DB (captions)": d.closed_concepts(neuron, similarity)}
    if d.has("tab") and similarity in d.notes("tab")["similarities"]:
        columns["TAB (sound)"] = d.closed_concepts(neuron, similarity, "TAB")
    named, why = _icl(d, neuron)
    absent = [] if len(columns) > 1 else ["TAB (by sound) is not run."]
    shown = html.concept_table(columns, named) + html.empty(" ".join([*absent, *([why] if why else [])]))
    st.html(
        html.about(
            neuron, html.heading("Closed concepts", f"by {similarity}", "closed-concepts", "wpmi") + html.box(shown)
        )
    )
    st.segmented_control(
        "Similarity function",
        names,
        default=d.similarity,
        key="similarity",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
        wrap=True,
    )
    every = fold("All similarity functions, top 10", "all_similarities")
    if every.open:
        methods: dict[ScoredMethod, list[str]] = {
            "DB": names,
            "TAB": d.notes("tab")["similarities"] if d.has("tab") else [],
        }
        by_method = {
            (method, name): d.closed_concepts(neuron, name, method) for method, used in methods.items() for name in used
        }
        frame = {
            f"{method} {name} · {what}": [c.name if what == "concept" else round(c.score, 3) for c in concepts]
            for (method, name), concepts in by_method.items()
            for what in ("concept", "score")
        }
        every.dataframe(pd.DataFrame(frame), hide_index=True)


def _icl(d: Dissection, neuron: NeuronId) -> tuple[list[str] | None, str]:
    """Return concepts that the language model named, None where it was not asked, and a remark."""
    if not d.has("icl"):
        return None, "ICL (by language model) is not run."
    if neuron.layer not in d.notes("icl")["layers"]:
        return None, "ICL was not asked about this layer."
    answers, why = d.icl_answers(neuron)
    outside = [
        f"“{a['said']}”" + (f" taken for {a['concept'].replace('_', ' ')}" if a["concept"] else "")
        for a in answers
        if a["how"] != "exact"
    ]
    remark = f"ICL, outside the concept set: {', '.join(outside)}." if outside else ""
    return [a["concept"] or "no answer" for a in answers], f"ICL: no answer, {why}." if why else remark


def _open(d: Dissection, neuron: NeuronId) -> None:
    if not d.has("open"):
        st.html(
            html.heading("Open concepts")
            + html.box(html.empty("Not found yet. Run", "and-dissect run CONFIG.yaml --only open"))
        )
        return
    words = d.words(neuron)
    acoustic = [w["word"] for w in words if w["acoustic"]]
    others = [f"{w['word']} ({w['pos']})" for w in words if not w["acoustic"]]
    body = (
        html.chips(acoustic, d.name)
        if acoustic
        else html.empty("No adjective of sound stands in the calibrated summary.")
    )
    rest = f'<div class="and-empty">Other words: {html.text(", ".join(others))}</div>' if others else ""
    st.html(html.about(neuron, html.heading("Open concepts", "", "open-concepts") + body + rest))


def _alike(d: Dissection, neuron: NeuronId) -> None:
    if not d.has("similar"):
        return
    rows = []
    for other, correlation in d.similar(neuron):
        headline = d.headline(other) if d.has("explanations") else None
        said = ((headline.concept if headline.holds else None) or ", ".join(headline.adjectives)) if headline else None
        name = html.text(f"{d.layer(other.layer).title} / {other.unit}")
        rows.append(
            f'<div class="and-alike"><a href="{html.text(html.neuron_link(d.name, other))}" target="_self" '
            f'data-and-stay="1">{name}</a><span>{html.text((said or "unclear").replace("_", " "))}</span>'
            f"{html.meter(headline.certainty if headline else None)}<b>{correlation:.2f}</b></div>"
        )
    title = html.heading("Neurons like it", "how closely their activations go together over all clips")
    st.html(html.about(neuron, title + html.box("".join(rows) or html.empty("None."))))


def _download(d: Dissection, neuron: NeuronId) -> None:
    def clips() -> bytes:
        rows = [
            {
                "side": side,
                "rank": t.rank,
                "clip": t.clip.name,
                "label": t.clip.label,
                "activation": t.activation,
                "trained": t.clip.trained,
                "caption": t.caption,
            }
            for side in ("high", "low")
            for t in d.extreme_clips(neuron, side, 50)
        ]
        return csv_text(pd.DataFrame(rows)).encode()

    def activations() -> bytes:
        columns = {
            "clip": [c.name for c in d.activation_clips],
            "label": [c.label for c in d.activation_clips],
            "activation": np.asarray(d.activations(neuron)),
        }
        return csv_text(pd.DataFrame(columns)).encode()

    name = str(neuron).replace("/", "-")
    one, two = st.columns(2)
    one.download_button("Clips (CSV)", clips, f"{name}-clips.csv", "text/csv", on_click="ignore", width="stretch")
    two.download_button(
        "Activations (CSV)", activations, f"{name}-activations.csv", "text/csv", on_click="ignore", width="stretch"
    )
