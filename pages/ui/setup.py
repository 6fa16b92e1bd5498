"""What every page begins with: theme, sidebar, the chosen dissection.

Pages are complete in themselves, so any address opens cold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from and_core import Dissection
from and_core.errors import ANDError, PermissionNeeded
from and_core.figures.streamed import streamed_sentence
from and_core.progress import in_progress
from and_core.store.files import cache_root
from and_core.store.permission import permit
from pages.ui import html
from pages.ui.data import dissection_names, get_dissection
from pages.ui.links import check_dissection, check_names, show_refused

HERE = Path(__file__).parent
STYLES = ("theme.css", "player.css")
PAGES = (
    ("app.py", "Start"),
    ("pages/neurons.py", "Neurons"),
    ("pages/layers.py", "Layers"),
    ("pages/compare.py", "Compare"),
    ("pages/concepts.py", "Concepts"),
    ("pages/words.py", "Words and clusters"),
    ("pages/strategies.py", "Training strategies"),
    ("pages/unlearning.py", "Unlearning"),
    ("pages/importance.py", "Feature importance"),
    ("pages/listen.py", "Listen"),
    ("pages/sound.py", "Your sound"),
    ("pages/tuning.py", "Tuning"),
    ("pages/play.py", "Play to it"),
    ("pages/steering.py", "Steering"),
    ("pages/kept.py", "Kept"),
    ("pages/studies.py", "Human studies"),
    ("pages/glossary.py", "Glossary"),
)
SCRIPTS = ("history", "palette", "player", "terms", "hover", "scheme", "islands")
BOUND: dict[str, Any] = {"bind": "query-params"}  # the setting stands in the address
PROVENANCE = (
    "target",
    "checkpoint",
    "dataset",
    "clips",
    "captioner",
    "summarizer",
    "encoder",
    "closed_encoder",
    "audio_encoder",
    "llm",
    "pooling",
    "outputs",
    "precision",
    "K",
    "t",
    "seed",
)


def frame(title: str) -> str | None:
    """Draw the frame of a page, and return the name of the chosen dissection; None where there is none."""
    st.set_page_config(
        page_title=f"{title} · Audio Network Dissection", page_icon=str(HERE / "icon.png"), layout="wide"
    )
    st.html("".join(f"<style>{(HERE / name).read_text(encoding='utf-8')}</style>" for name in STYLES))
    path = next((path for path, label in PAGES if label == title), "")
    mark = f'<i hidden data-and-page="{html.text("" if path == "app.py" else Path(path).stem)}"></i>'
    scripts = [(HERE / f"{name}.html").read_text(encoding="utf-8") for name in SCRIPTS]
    st.html("".join([mark, *scripts]), unsafe_allow_javascript=True)
    names = dissection_names()
    check_dissection(names)
    show_refused()
    with st.sidebar:
        brand = '<div class="and-brand">Audio Network Dissection<small>what each neuron listens to</small></div>'
        st.html(brand + html.JUMP)
        for path, label in PAGES:
            st.page_link(path, label=label)
        st.html(html.THEME + "<hr>")
        chosen = None
        if names:
            if "dissection" not in st.query_params and st.session_state.get("dissection") in names:
                st.session_state["dissection"] = st.session_state[
                    "dissection"
                ]  # one that came by address is lost on the first change of pages unless set
            chosen = st.selectbox("Dissection", names, key="dissection", bind="query-params", persist_state="session")
            st.html(f'<i hidden data-and-dissection="{html.text(chosen)}"></i>')
        if in_progress(cache_root()):
            _being_made()
    return chosen


def setup(title: str) -> Dissection:
    """Draw the frame of a page and return the chosen dissection.

    Stops the page, in plain words, where there is none.
    """
    chosen = frame(title)
    if chosen is None:
        hint = html.empty("There is no dissection in the cache. Build the embedded default with", "and-dissect demo")
        st.html('<h1 class="and">Nothing dissected yet</h1>' + hint)
        st.stop()
    try:
        dissection = get_dissection(chosen)
        dissection.require("clips")
        dissection.require("activations")
        dissection.require("neurons")
        check_names(dissection)
    except ANDError as error:
        explain(error)
        st.stop()
    st.session_state["arrived"] = True
    return dissection


@st.fragment(run_every=2)
def _being_made() -> None:
    """Show what is being computed now, read again every other second.

    The page is drawn anew when a dissection has come or all is done.
    """
    now = in_progress(cache_root())
    known = st.session_state.setdefault("being_made", dissection_names())
    if not now or known != dissection_names():
        st.session_state.pop("being_made", None)
        st.rerun()
    lines = []
    for name, (stage, done, total) in now.items():
        share = f", {100 * done / total:.0f} %" if total else ""
        lines.append(f"<b>{html.text(name)}</b> {html.text(stage or 'beginning')}{share}")
    st.html(f'<div class="and-making" role="status"><small>Being made now</small>{"<br>".join(lines)}</div>')


def fold(label: str, key: str) -> Any:
    """Return an expander that stands in the address while it is open, so that a step back or a link finds it so; what
    is closed need not be drawn."""
    return st.expander(label, key=key, on_change="rerun", **BOUND)


def provenance(d: Dissection) -> None:
    """Show what the figures on this page rest on, at the foot of the sidebar."""
    shown: dict[str, Any] = d.provenance
    lines = [
        f"<b>{html.text(key.replace('_', ' '))}</b> {html.text(shown[key])}"
        for key in PROVENANCE
        if shown.get(key) is not None
    ]
    badge = '<span class="and-synth">synthetic sound</span>' if shown["synthetic"] else ""
    with st.sidebar:
        st.html(f'{badge}<details class="and-prov" open><summary>Provenance</summary>{"<br>".join(lines)}</details>')
    if badge:
        st.html(f'<div class="and-phone">{badge}</div>')  # where the sidebar is closed from the start


def over_which_clips(d: Dissection) -> None:
    """Say what is exact over all clips and what is not, where a pass kept activations of some alone."""
    sentence = streamed_sentence(d)
    if sentence is not None:
        st.caption(sentence)


def explain(error: ANDError, where: str = "page") -> None:
    """Show an error as a plain sentence; where a network waits for permission to run its code, ask for it, once."""
    st.html(html.box(html.empty(str(error))))
    if isinstance(error, PermissionNeeded):
        st.button("Run this code", key=f"permit_{where}", on_click=_permit, args=(error.dissection,))
        if (refused := st.session_state.pop("permit_refused", None)) is not None:
            st.html(html.box(html.empty(refused)))


def _permit(name: str) -> None:
    try:
        permit(get_dissection(name))
    except ANDError as error:
        st.session_state["permit_refused"] = str(error)
