"""The Kept page: starred neurons in lists, corrections, and what they change."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.kept.changes import read_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import edits
from and_core.kept.lists import Star, stars
from and_core.progress import in_progress
from and_core.store.files import cache_root
from pages.ui import html
from pages.ui.data import dissection_names, get_dissection
from pages.ui.setup import BOUND, explain, provenance, setup

LINK = st.column_config.LinkColumn("open", display_text="open", width="small")
CHANGES = 500  # listed


def _link(star: Star) -> str:
    if star.dissection not in dissection_names():
        return ""
    d = get_dissection(star.dissection)
    try:
        return html.neuron_link(d.name, d.neuron_id(d.index(star.neuron)))
    except ANDError:
        return ""


def _lists(file: KeptFile) -> None:
    every = stars(file)
    st.html(html.heading("Neurons in lists", f"{len(every)}, of every dissection"))
    if not every:
        st.html(html.box(html.empty("None yet. On the page Neurons, Keep puts a neuron in a list, with a note.")))
        return
    names = sorted({star.list for star in every})
    chosen = st.segmented_control("List", names, key="list", label_visibility="collapsed", **BOUND)
    shown = [star for star in every if chosen is None or star.list == chosen]
    frame = pd.DataFrame([star.row() for star in shown])
    frame.insert(0, "open", [_link(star) for star in shown])
    st.dataframe(frame, hide_index=True, height=min(420, 40 + 35 * len(frame)), column_config={"open": LINK})
    one, two, _ = st.columns([1, 1, 3])
    rows = frame.drop(columns="open")
    one.download_button("Lists (CSV)", csv_text(rows).encode(), "lists.csv", "text/csv", on_click="ignore")
    data = json.dumps([star.row() for star in shown], ensure_ascii=False, indent=1).encode()
    two.download_button("Lists (JSON)", data, "lists.json", "application/json", on_click="ignore")


def _corrections(d: Dissection, file: KeptFile) -> None:
    every = edits(file, d.name, history=True)
    st.html(html.heading("Corrections", f"{d.name}; every one that was made, the latest first"))
    if not every:
        st.html(html.box(html.empty("None yet. On the page Neurons, Correct mends a caption or a label of a clip.")))
        return
    frame = pd.DataFrame([edit.row() for edit in reversed(every)])
    st.dataframe(frame, hide_index=True, height=min(300, 40 + 35 * len(frame)))
    one, two, _ = st.columns([1, 1, 3])
    one.download_button("Corrections (CSV)", csv_text(frame).encode(), "corrections.csv", "text/csv", on_click="ignore")
    data = json.dumps([edit.row() for edit in every], ensure_ascii=False, indent=1).encode()
    two.download_button("Corrections (JSON)", data, "corrections.json", "application/json", on_click="ignore")
    if d.name in in_progress(cache_root()):
        st.html(html.empty("What depends on them is being run; the sidebar shows how far it is."))
        return
    st.button("Run what depends on the corrections", on_click=_run, args=(d.name,), key="run_corrections")
    about = (
        "Stages that read a corrected caption or label are run anew, and those after them; clips and activations stay. "
        "The same by command:"
    )
    st.html(html.empty(about, f"and-dissect correct {d.name}"))
    if d.name in st.session_state.get("corrected", {}):
        _report(st.session_state["corrected"][d.name], d.name)


def _run(name: str) -> None:
    """Start the command, in a process of its own that goes on if the page is closed."""
    command = [sys.executable, "-m", "and_core.cli", "correct", name]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    st.session_state.setdefault("corrected", {})[name] = running


@st.fragment(run_every=2)
def _report(running: subprocess.Popen[str], name: str) -> None:
    """Say how the run that was started here ends."""
    if running.poll() is None:
        st.html(html.empty("Running."))
        return
    fault = running.stderr.read().strip().split("\n")[-1] if running.stderr is not None else ""
    st.session_state["corrected"].pop(name, None)
    if running.returncode:
        st.session_state["fault"] = fault
    st.rerun()


def _changes(d: Dissection, file: KeptFile) -> None:
    last = read_changes(file, d.name)
    if last is None:
        return
    changes, when = last["changes"], last["when"][:16].replace("T", " ")
    st.html(html.heading("What the last run changed", f"{when} UTC; {len(last['computed'])} stages run anew"))
    if not changes:
        st.html(html.box(html.empty("No headline changed.")))
    else:
        frame = pd.DataFrame([vars(change) for change in changes])
        frame.insert(0, "open", [html.neuron_link(d.name, d.neuron_id(d.index(c.neuron))) for c in changes])
        more = f", the first {CHANGES} listed" if len(changes) > CHANGES else ""
        st.html(html.empty(f"{len(changes):,} of {d.neuron_count:,} headlines changed{more}."))
        st.dataframe(
            frame.head(CHANGES), hide_index=True, height=min(300, 40 + 35 * len(frame)), column_config={"open": LINK}
        )
        st.download_button("Changes (CSV)", csv_text(frame).encode(), "changes.csv", "text/csv", on_click="ignore")
    if last["figures"]:
        st.html(html.empty(f"{len(last['figures']):,} figures of the dissection as a whole changed."))
        figures = pd.DataFrame([vars(figure) for figure in last["figures"]])
        st.dataframe(figures, hide_index=True, height=min(420, 40 + 35 * len(figures)))
        data = csv_text(figures).encode()
        st.download_button("Figures that changed (CSV)", data, "figures.csv", "text/csv", on_click="ignore")
    st.html(html.empty(f"Run anew: {', '.join(last['computed'])}."))


def page() -> None:
    """Draw the page."""
    d = setup("Kept")
    st.html('<h1 class="and">Kept</h1>')
    provenance(d)
    file = KeptFile(d.folder.parent)
    if fault := st.session_state.pop("fault", None):
        st.html(html.box(html.empty(f"The run failed: {fault}")))
    try:
        _lists(file)
        _corrections(d, file)
        _changes(d, file)
    except ANDError as error:
        explain(error)


page()
