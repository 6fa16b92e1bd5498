"""Setting a study up, and looking at a plan that stands."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st
import yaml

from and_core.errors import ANDError
from and_core.study.plan import CONSENT, TASKS, WRITTEN, make_plan
from and_core.study.simulate import simulate
from and_core.study.study import Study, create_study
from pages.ui import html
from pages.ui.data import dissection_names
from pages.ui.setup import explain

TASK_NAMES = {
    "write": "write what clips share",
    "intruder": "find the intruder",
    "present": "is it there, clip by clip",
    "choose": "choose the best description",
    "fit": "rate 1 to 5",
    "captions": "check captions",
}
MADE = "study just made"


def new_study() -> None:
    """Draw A form for the whole plan; what it makes can't be changed afterwards."""
    made = st.session_state.pop(MADE, None)
    if made is not None:
        _tokens(made)
        return
    st.html(
        html.empty(
            "All of this is stored before the first answer and never changes. The same plan as a file:",
            "and-dissect study new STUDY.yaml",
        )
    )
    with st.form("new_study"):
        raw = _fields()
        own = st.file_uploader(
            "Descriptions of your own (CSV with the columns neuron, text; the file's name becomes the method's)",
            type="csv",
            accept_multiple_files=True,
        )
        if not st.form_submit_button("Draw and store the study", type="primary"):
            return
    try:
        with tempfile.TemporaryDirectory() as folder:
            raw["texts"] = {}
            for file in own:
                name = Path(file.name).stem
                path = Path(folder) / f"{len(raw['texts'])}.csv"
                path.write_bytes(file.getvalue())
                raw["texts"][name] = str(path)
                raw["methods"] = [*raw["methods"], name]
            config = make_plan(raw)
            bar = st.progress(0.0, "Drawing items")

            def show(stage: str, done: int, total: int) -> None:
                bar.progress(done / max(1, total), f"{stage}: {done} of {total}")

            created = create_study(config, progress=show)
            if config.simulated is not None:
                simulate(created.study, lambda done, total: show("Simulated raters", done, total))
    except ANDError as error:
        explain(error)
        return
    st.session_state[MADE] = {
        "name": config.name,
        "owner": created.owner_token,
        "join": created.join_token if config.join and config.simulated is None else None,
        "skipped": [f"{s.name}: {s.reason}" for s in created.skipped],
    }
    st.rerun()


def _fields() -> dict[str, Any]:
    left, middle, right = st.columns(3)
    with left:
        raw: dict[str, Any] = {
            "name": st.text_input("Name (letters, digits, - and _)", "study"),
            "title": st.text_input("Title that raters read", "Listening study"),
        }
        raw["dissections"] = st.multiselect("Dissections", dissection_names(), default=dissection_names()[:1])
        raw["methods"] = st.multiselect("Methods compared", WRITTEN, default=["TAB", "DB", "SUM"])
        raw["tasks"] = st.multiselect("Tasks", TASKS, default=["write", "fit"], format_func=TASK_NAMES.__getitem__)
    with middle:
        raw["neurons"] = {"per_block": st.number_input("Neurons per block", 1, 1000, 10)}
        raw["clips"] = st.number_input("Clips per item", 3, 5, 5)
        raw["raters"] = st.number_input("Places for raters", 1, 10_000, 12)
        raw["raters_per_item"] = st.number_input("Raters per item", 1, 1000, 3)
        raw["repeats"] = st.number_input("Share of items repeated", 0.0, 0.5, 0.1, 0.05)
        raw["seed"] = st.number_input("Seed", 0, 2**31 - 1, 0)
    with right:
        kinds = {
            "mismatched": ("Mismatched descriptions", 3),
            "known": ("Known classes", 3),
            "attention": ("Attention items", 2),
            "training": ("Practice items", 2),
        }
        raw["controls"] = {name: st.number_input(label, 0, 10, value) for name, (label, value) in kinds.items()}
        raw["spectrograms"] = st.checkbox("Show spectrograms to raters")
        raw["join"] = st.checkbox("Places can be taken by a common link", value=True)
        raw["pilot"] = st.checkbox("Pilot: answers are never pooled with a study's")
        if st.checkbox("Simulated raters in place of people (a worked example)"):
            raw["simulated"] = {}
    rules = {
        "failed_attention": ("more failed attention items than", 0, 20, 0, True),
        "mismatched_above": ("mean rating of mismatched descriptions above", 1.0, 5.0, 3.5, True),
        "known_below": ("mean rating of known classes below", 1.0, 5.0, 2.5, True),
        "faster_than": ("median seconds an answer below", 0.0, 60.0, 2.0, True),
        "repeats_below": ("share of repeated items answered alike below", 0.0, 1.0, 0.5, False),
        "finished_below": ("share of items answered below", 0.0, 1.0, 0.5, False),
    }
    st.html(html.heading("A rater is left out with", "declared before the start; results are shown with and without"))
    columns = st.columns(3)
    raw["exclusion"] = {}
    for i, (name, (label, low, high, value, on)) in enumerate(rules.items()):
        wanted = columns[i % 3].checkbox(label, value=on)
        limit = columns[i % 3].number_input(label, low, high, value, label_visibility="collapsed")
        raw["exclusion"][name] = limit if wanted else None
    raw["consent"] = st.text_area("Text that raters agree to", CONSENT, height=110)
    return raw


def _tokens(made: dict[str, Any]) -> None:
    st.success(f"The study {made['name']} is stored.")
    st.html(
        html.empty("Both are shown once, here, and kept only as hashes. The owner's token opens this study's pages:")
    )
    st.code(made["owner"], language=None)
    if made["join"]:
        st.html(
            html.empty(
                "By this link raters take a place (put your own address before it). Personal links: Progress, or the "
                "command study invite."
            )
        )
        st.code(f"http://127.0.0.1:8600/join/{made['join']}", language=None)
        st.html(
            html.empty(
                "Raters reach a server of its own, which serves the rating page and nothing else:",
                f"and-dissect study serve {made['name']}",
            )
        )
    if made["skipped"]:
        with st.expander(f"Not asked: {len(made['skipped'])}"):
            st.text("\n".join(made["skipped"]))


def plan(study: Study) -> None:
    """Draw the plan as it was stored."""
    facts = [
        ("Plan", study.fingerprint[:16]),
        ("Stored", study.created[:16].replace("T", " ")),
        ("Version", study.version),
        ("Items", str(len(study.items))),
    ]
    st.html(
        '<div class="and-figures">'
        + "".join(f"<div><span>{html.text(k)}</span><b>{html.text(v)}</b></div>" for k, v in facts)
        + "</div>"
    )
    for name, about in study.plan["dissections"].items():
        sources = about["provenance"]
        counts = ", ".join(
            f"{key} {sources[key]}"
            for key in ("target", "dataset", "captioner", "summarizer", "encoder")
            if sources.get(key)
        )
        st.html(
            html.empty(
                f"{name} ({about['fingerprint']}): {counts}" + ("; synthetic sound" if sources.get("synthetic") else "")
            )
        )
    st.code(yaml.safe_dump(study.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), language="yaml")
    if study.skipped:
        with st.expander(f"Not asked: {len(study.skipped)}"):
            st.text("\n".join(f"{s.name}: {s.reason}" for s in study.skipped))
