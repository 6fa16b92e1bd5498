"""Following a study, and what its answers say."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from and_core import NeuronId
from and_core.audio.media import read_flac
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.study import block_figure, fault_part, rating_figure, result_parts, score_figure
from and_core.figures.theme import EXPORT
from and_core.study.answers import DICTIONARY, import_answers
from and_core.study.answers import export as as_file
from and_core.study.fault_attribution import ABOUT
from and_core.study.report import Report
from and_core.study.results import item_ratings
from and_core.study.sounds import read_sound
from and_core.study.study import Study
from pages.ui import html, player
from pages.ui.explorer import neuron_button
from pages.ui.setup import BOUND, explain


def progress(study: Study) -> None:
    """Draw who has answered how much; invitations."""
    report = Report(study, exclude=False)
    rows = report.progress()
    done, of = sum(r["answered"] for r in rows), sum(r["of"] for r in rows)
    taken = sum(r["rater"] != "free" for r in rows)
    facts = [
        ("Answers", f"{done} of {of}"),
        ("Places taken", f"{taken} of {len(rows)}"),
        ("Faults reported", str(sum(r["faults"] for r in rows))),
    ]
    st.html(
        '<div class="and-figures">'
        + "".join(f"<div><span>{k}</span><b>{html.text(v)}</b></div>" for k, v in facts)
        + "</div>"
    )
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.html(html.heading("By rater", "practice is counted"))
        table = pd.DataFrame(rows)
        table["share"] = [r["answered"] / max(1, r["of"]) for r in rows]
        st.dataframe(
            table,
            hide_index=True,
            column_config={"share": st.column_config.ProgressColumn("", format="percent", min_value=0, max_value=1)},
        )
    with right:
        st.html(html.heading("Exclusion rules", "declared before the start"))
        st.html(
            html.box(
                html.plain_table(
                    [{"left out": who.strip("/"), "because": "; ".join(why)} for who, why in report.excluded.items()]
                )
                if report.excluded
                else html.empty("No rater breaks a rule so far.")
            )
        )
        _invite(study)
    items = pd.DataFrame(report.items())
    open_ = items[items["answers"] < items["planned"]]
    st.html(html.heading("By item", f"{len(items) - len(open_)} of {len(items)} complete"))
    st.dataframe(
        items[["item", "task", "control", "neuron", "method", "answers", "planned"]], hide_index=True, height=260
    )


def _invite(study: Study) -> None:
    if study.config.simulated is not None:
        return
    with st.form("invite", border=False):
        pseudonym = st.text_input("Pseudonym", help="One that has a place gets a new link, and its old one ends.")
        if st.form_submit_button("Make a personal link") and pseudonym.strip():
            try:
                st.code(f"http://127.0.0.1:8600/r/{study.invite(pseudonym)}", language=None)
                st.html(html.empty("Shown once. Put your own address before it."))
            except ANDError as error:
                explain(error)


def results(study: Study) -> None:
    """Draw every figure and table, with and without the raters that break a rule."""
    everybody = st.toggle("With raters that break a declared rule", key="everybody", **BOUND)
    report = Report(study, exclude=not everybody)
    if not len(report.raters):
        st.html(html.box(html.empty("No answers yet. Raters answer at", f"and-dissect study serve {study.name}")))
        return
    sentence = f"{len(report.excluded)} of {len(report.raters)} raters break a declared rule and are " + (
        "counted here." if everybody else "left out."
    )
    st.html(html.empty(sentence))
    if not len(report.frame):
        st.html(
            html.box(
                html.plain_table(
                    [{"left out": who.strip("/"), "because": "; ".join(why)} for who, why in report.excluded.items()]
                )
            )
        )
        return
    parts = report.parts()
    texts, how = _texts(study, report)
    if parts["ratings"]:
        left, right = st.columns(2, gap="medium")
        left.html(html.heading("Mean rating by method", "95 % over neurons"))
        left.plotly_chart(rating_figure(parts["ratings"], study.mark), config=EXPORT, theme=None, key="ratings")
        right.html(html.heading("By depth"))
        if parts["blocks"]:
            right.plotly_chart(block_figure(parts["blocks"], study.mark), config=EXPORT, theme=None, key="blocks")
        else:
            right.html(html.empty("The rated neurons stand in no block."))
    last = fault_part(parts["faults"], ABOUT)
    for part in [*result_parts(parts, texts, how, study.mark), *([last] if last else [])]:
        st.html(html.heading(part.title) + html.box(html.plain_table(part.cells) + html.empty(part.note)))
    _scores(report)
    if parts["flags"]:
        st.html(html.heading("Reported faults"))
        st.dataframe(pd.DataFrame(parts["flags"]), hide_index=True)


def _texts(study: Study, report: Report) -> tuple[list[dict[str, Any]], str]:
    """Return the similarity of written texts: asked for, since it loads a text model; kept for these answers."""
    if "write" not in study.config.tasks:
        return [], ""
    key = ("texts of", study.fingerprint, len(report.answers), report.exclude)
    kept = st.session_state.get("study_texts", (None, ([], "")))
    if kept[0] == key:
        return kept[1]
    if st.button("Compare written texts (cosine, BERTScore)"):
        with st.spinner("Comparing texts"):
            st.session_state["study_texts"] = (key, report.text_similarity())
        return st.session_state["study_texts"][1]
    return [], ""


def _scores(report: Report) -> None:
    rated = item_ratings(report.frame)
    scores = [json.loads(text) for text in rated["scores"]]
    names = sorted({name for row in scores for name in row})
    if not names:
        st.html(
            html.empty(
                "The rated descriptions have no automatic scores: the dissection's stage scores had not been run when "
                "the study was drawn."
            )
        )
        return
    name = st.selectbox(
        "Automatic score",
        names,
        index=names.index("pearson") if "pearson" in names else 0,
        key="score_shown",
        format_func=lambda s: s.replace("_", " "),
    )
    points = [
        {"score": s[name], "rating": r, "method": m, "neuron": n}
        for s, r, m, n in zip(scores, rated["rating"], rated["method"], rated["neuron"], strict=True)
        if name in s
    ]
    st.plotly_chart(score_figure(points, name, report.study.mark), config=EXPORT, theme=None, key="against_score")
    st.html(
        html.empty(
            "Each point is one description. If the score said what people say, the points would rise from left to "
            "right."
        )
    )


def items(study: Study) -> None:
    """Draw one item: what raters saw and heard, what it was, and every answer."""
    report = Report(study)
    rows = report.items()
    table = pd.DataFrame(rows)
    chosen = st.dataframe(
        table, hide_index=True, height=280, on_select="rerun", selection_mode="single-row", key="item_rows"
    )
    picked = chosen.selection.rows
    number = rows[picked[0]]["item"] if picked else rows[0]["item"]
    item = next(i for i in study.items.values() if i["number"] == number)
    truth, shown = item["truth"], item["shown"]
    st.html(
        html.heading(
            f"Item {number}: {item['task']}",
            ", ".join(str(v) for v in (truth.get("method"), truth["neuron"], item["control"]) if v),
        )
    )
    if shown["description"]:
        st.html(html.box(html.text(shown["description"])))
    for option, method in zip(shown["options"], truth.get("methods", []), strict=False):
        st.html(html.box(f"<b>{html.text(method)}</b> {html.text(option)}"))
    columns = st.columns(min(6, len(shown["clips"])))
    for i, clip in enumerate(shown["clips"]):
        with columns[i % len(columns)]:
            active = truth.get("activations") or []
            st.html(
                html.empty(
                    truth["clip_names"][i]
                    + (f", {active[i]:+.2f}" if active else "")
                    + (", the intruder" if item["task"] == "intruder" and i == 0 else "")
                )
            )
            data = read_sound(study.sounds, clip["sound"])
            wave, rate = read_flac(data)
            st.html(player.flac_sound(data, len(wave) / rate, truth["clip_names"][i], low=True))
            if shown["captions"]:
                st.html(html.empty(shown["captions"][i]))
    answers = report.answers_of(number)
    st.html(
        html.heading(
            "Answers", "clips in the order above; an intruder is number 0" if item["task"] == "intruder" else ""
        )
    )
    st.html(
        html.box(
            html.plain_table([{k: str(v) for k, v in row.items()} for row in answers])
            if answers
            else html.empty("Nobody has answered it yet.")
        )
    )
    if truth["neuron"]:
        changed = study.changed()
        if changed:
            st.html(html.empty("What opens is the neuron as it is now, not as raters heard it."))
        neuron = NeuronId(truth["layer"], int(truth["neuron"].rpartition("/")[2]))
        neuron_button("Open this neuron", truth["dissection"], neuron, "open_neuron", " ".join(changed))


def export(study: Study) -> None:
    """Draw the long table as files; answers of other sites."""
    answers = Report(study).answers
    st.html(
        html.empty(
            f"{len(answers)} rows, one an answer; taken-back answers and reported faults are among them and marked."
        )
    )
    stem = study.name + (f"-{study.mark.replace(' ', '-')}" if study.mark else "")
    columns = st.columns(3)
    columns[0].download_button("Answers (CSV)", as_file(answers, "csv"), f"{stem}.csv", "text/csv", on_click="ignore")
    columns[1].download_button("Answers (Parquet)", as_file(answers, "parquet"), f"{stem}.parquet", on_click="ignore")
    dictionary = pd.DataFrame(DICTIONARY.items(), columns=["column", "meaning"])
    columns[2].download_button(
        "What the columns mean (CSV)",
        csv_text(dictionary).encode(),
        f"{study.name}.dictionary.csv",
        "text/csv",
        on_click="ignore",
    )
    with st.form("import"):
        file = st.file_uploader("Export of another site that ran the very same plan", type=["csv", "parquet"])
        site = st.text_input("Name of that site")
        if st.form_submit_button("Pool its answers") and file is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"upload{Path(file.name).suffix.lower()}"
                path.write_bytes(file.getvalue())
                try:
                    added, here = import_answers(study, path, site)
                    st.success(f"{added} rows added, {here} were here already.")
                except ANDError as error:
                    explain(error)
    st.html(html.heading("Data dictionary"))
    st.dataframe(dictionary, hide_index=True, height=330)
