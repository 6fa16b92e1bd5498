"""Keeping a neuron in a list, comparing it, and correcting what is said of its clips."""

from __future__ import annotations

import getpass

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.kept.database import KeptFile
from and_core.kept.edits import Edit, Kind, edits, keep_edit
from and_core.kept.lists import DEFAULT, keep_star, stars
from and_core.records import Clip
from pages.ui import html


def actions(d: Dissection, neuron: NeuronId) -> None:
    """Draw what can be done with a neuron: keep it in a list, compare it, correct its clips."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="actions"):
        try:
            kept = stars(KeptFile(d.folder.parent), d.name, str(neuron))
        except ANDError as error:
            st.html(html.empty(str(error)))
            kept = []
        keep = st.popover("\u2605 Kept" if kept else "\u2606 Keep", key="keep", on_change="rerun")
        st.page_link("pages/compare.py", label="Compare", help="beside another neuron, of this network or of another")
        about = "a caption or a label that is wrong"
        correct = st.popover("Correct", key="correct", help=about, on_change="rerun")
        for star in kept:
            note = f": {star.note}" if star.note else ""
            st.html(f'<span class="and-chip">{html.text(star.list + note)}</span>', width="content")
    for opened, draw in ((keep, _star), (correct, _correct)):
        if opened.open:  # what is closed costs nothing when neurons are stepped through
            with opened:
                draw(d, neuron)


def _name(where: str) -> str:
    """Return whose name stands beside what is kept; a field for it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    name = st.text_input("Your name", st.session_state.get("own_name", user), key=f"name_{where}", max_chars=80)
    st.session_state["own_name"] = name
    return name


def _star(d: Dissection, neuron: NeuronId) -> None:
    file = KeptFile(d.folder.parent)
    try:
        every = stars(file)
    except ANDError as error:
        st.html(html.empty(str(error)))
        return
    names = sorted({star.list for star in every} | {DEFAULT})
    name = st.selectbox("List", names, index=names.index(DEFAULT), accept_new_options=True, key="keep_list")
    here = [s for s in every if (s.dissection, s.neuron, s.list) == (d.name, str(neuron), name)]
    note = st.text_area("Note", here[0].note if here else "", key=f"note {neuron} {name}", max_chars=4_000, height=80)
    who = _name("keep")

    def save(on: bool) -> None:
        try:
            keep_star(file, d.name, str(neuron), str(name), st.session_state[f"note {neuron} {name}"], who, on)
        except ANDError as error:
            st.session_state["notice"] = str(error)

    one, two = st.columns(2)
    one.button("Save the note" if here else "Keep", on_click=save, args=(True,), type="primary", key="keep_it")
    if here:
        two.button("Take out", on_click=save, args=(False,), key="keep_not")
        st.caption(f"In this list since {here[0].created[:10]}{', ' + here[0].who if here[0].who else ''}: {note[:60]}")


def _correct(d: Dissection, neuron: NeuronId) -> None:
    """Draw the fields of a correction: which clip, what of it, and what is right."""
    file = KeptFile(d.folder.parent)
    tops = {
        f"{side} {top.rank}: {top.clip.name}": top for side in ("high", "low") for top in d.extreme_clips(neuron, side)
    }
    chosen = tops[st.selectbox("Clip", list(tops), key=f"correct_clip {neuron}")]
    kind: Kind = st.segmented_control(
        "What", ["caption", "label"], default="caption", key="correct_kind", required=True
    )
    now = {"caption": chosen.caption, "label": chosen.clip.label}[kind] or ""
    standing = standing_edits(d).get((kind, chosen.clip.name))
    if standing is not None:
        st.html(html.empty(f"The original: “{standing.original}”. {corrected_by(standing)}."))
    key = f"correct {kind} {chosen.clip.index}"
    stands = standing.text if standing else now
    if kind == "caption":
        st.text_area("As it should be", stands, key=key, max_chars=4_000, height=110)
    else:
        labels = [label for label in stands.split("; ") if label]
        st.multiselect(
            "As it should be",
            sorted({*d.classes, *labels}),
            labels,
            key=key,
            accept_new_options=True,
            placeholder="Choose labels, or type a new one",
            help="one label or several; what is typed becomes a label of its own",
        )
    who = _name("correct")

    def save() -> None:
        given = st.session_state[key]
        text = given if kind == "caption" else "; ".join(given)
        try:
            keep_edit(file, d.name, kind, chosen.clip.name, now, text, who)
            st.session_state["notice"] = (
                f"The {kind} of {chosen.clip.name} is corrected; on the page Kept, run what depends on it."
            )
        except ANDError as error:
            st.session_state["notice"] = str(error)

    st.button("Keep the correction", on_click=save, type="primary", key="correct_it")


def standing_edits(d: Dissection) -> dict[tuple[str, str], Edit]:
    """Return the corrections of a dissection that stand, by kind and clip; none where their file can't be read, which
    :func:`actions` says."""
    try:
        return {(edit.kind, edit.clip): edit for edit in edits(KeptFile(d.folder.parent), d.name)}
    except ANDError:
        return {}


def corrected_by(edit: Edit) -> str:
    """Return who corrected something and when, as a phrase."""
    return f"Corrected{' by ' + edit.who if edit.who else ''} on {edit.created[:10]}"


def remarks(standing: dict[tuple[str, str], Edit], clip: Clip, caption: str | None) -> list[str]:
    """Return what was corrected of a clip, for its card."""
    lines = []
    for kind, now in (("caption", caption), ("label", clip.label)):
        edit = standing.get((kind, clip.name))
        if edit is not None:
            run = edit.text == (now or "")
            lines.append(f"{corrected_by(edit)}: {kind} “{edit.text}”; the original: “{edit.original}”.")
            lines += [] if run else ["What depends on it has not been run yet."]
    return lines
