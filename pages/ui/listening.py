"""What a neuron listens to, as the Neurons page shows it: where in its clips it fires, and which sounds move it."""

from __future__ import annotations

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.figures.listening import EXPLAINED
from and_core.listen.attribution import group_sound, shapley_attribution
from and_core.listen.localize import localize
from pages.ui import html, player
from pages.ui.media import media_url, part_url
from pages.ui.setup import explain, fold

ABOUT_MAP = (
    "Bright where the neuron fires, dark where it is at rest; frequency runs upwards from 0 Hz to half the network's "
    "rate. "
    "Kept is the clip through that map as a soft mask, and the rest is what is left; together they are the clip. "
    "Rest is the median over all patches of the neuron's highest and lowest clips, full is its highest patch among "
    "them."
)
ABOUT_ATTRIBUTION = (
    "Groups of the dictionary's components are taken out of the neuron's highest clips and of random ones, in random "
    "orders; a group's value is its "
    "share of what the clip does to the neuron (Shapley; the values of all groups add up to the clip's activation less "
    "that on silence). Control: the "
    "drop when as much energy is taken out at random. Own and others: the drop of this neuron and of the rest of its "
    "layer, in standard deviations. A "
    "group holds where its drop is above zero, above the control, and above the others'. Quiet: groups with less than "
    "2 % of a clip's energy, together."
)


def where_it_fires(d: Dissection, neuron: NeuronId) -> None:
    """Draw under the high clips whole, kept, rest, and a picture of where the neuron fires."""
    opened = fold("Where in its clips it fires: whole, kept, rest", "where_it_fires")
    if not opened.open:
        return
    with opened:
        tops = d.extreme_clips(neuron, "high")
        try:
            located = localize(d, neuron, tops[0].clip.index) if tops else None
        except ANDError as error:
            explain(error, "where_it_fires")
            return
        if located is None:
            st.html(html.empty("It has no highest clips."))
            return
        cards = []
        for top in tops:
            clip = top.clip.index
            parts = [
                ("whole", media_url(d, clip, "flac")),
                *((what, part_url(d, neuron, clip, f"{what}.flac")) for what in ("kept", "rest")),
            ]
            cards.append(html.part_card(top, parts, part_url(d, neuron, clip, "map.jpg"), located.rate / 2))
        st.html(html.about(neuron, f'<div class="and-cards">{"".join(cards)}</div>'))
        alone = "" if located.hz is not None else " This layer has a map over time alone."
        st.html(html.empty(ABOUT_MAP + alone + (f" {located.remark.capitalize()}." if located.remark else "")))


def what_moves_it(d: Dissection, neuron: NeuronId) -> None:
    """Draw, on demand, groups of sounds by what they do to the neuron, each to hear."""
    opened = fold("Which sounds move it", "what_moves_it")
    if not opened.open:
        return
    with opened:
        if not d.has("listening"):
            st.html(
                html.empty(
                    "No dictionary of sounds was learned here. Add listening: {} to the configuration and run",
                    "and-dissect run CONFIG.yaml",
                )
            )
            return
        explained = float(d.explained_variance[d.index(neuron)])
        st.html(html.empty(_explained(explained)))
        key = ("shapley_attribution", d.name, str(neuron), d.manifest.stages["listening"].key)
        kept = st.session_state.get("shapley_attribution", (None, []))
        if kept[0] != key:
            holder = st.empty()
            if not holder.button("Take its clips apart", key="take_apart"):
                return
            holder.empty()
            bar = st.progress(0.0, "Taking clips apart")
            try:

                def show(done: int, total: int) -> None:
                    bar.progress(done / total, f"Taking clips apart: {done} of {total}")

                rows = shapley_attribution(d, neuron, progress=show)
            except ANDError as error:
                explain(error, "which_sounds")
                return
            bar.empty()
            kept = st.session_state["shapley_attribution"] = (key, rows)
        _groups(d, neuron, kept[1])


def _explained(value: float) -> str:
    if value != value:
        return "The neuron never changes over time, so there is nothing to explain."
    sentence = (
        f"A regression on the dictionary's components explains {max(0.0, value):.0%} of its activation over time on "
        "clips it was not fitted on"
    )
    return f"{sentence}: not explained here, take what follows with care." if value < EXPLAINED else f"{sentence}."


def _groups(d: Dissection, neuron: NeuronId, rows: list[dict]) -> None:
    shown = rows[:8]
    cells = [
        {
            "group": _name(r["group"]),
            "high clips": _number(r["high"]),
            "random clips": _number(r["random"]),
            "taken out": _number(r["alone"]),
            "control": _number(r["control"]),
            "own": _number(r["own"]),
            "others": _number(r["others"]),
            "clips": str(len(r["clips"])),
            "holds": "yes" if r["holds"] else "no",
        }
        for r in shown
    ]
    holding = [r for r in shown if r["holds"]]
    nothing = "" if holding else " No group here holds: the neuron follows no single group of sounds."
    st.html(html.about(neuron, html.box(html.plain_table(cells)) + html.empty(ABOUT_ATTRIBUTION + nothing)))
    for row in (holding or shown)[:3]:
        clip = row["clips"][0]
        kept, rest, rate = group_sound(d, clip, row["group"])
        name = _name(row["group"])
        columns = st.columns(2)
        columns[0].html(player.sound(kept, rate, f"{name} of {d.clips[clip].name}", low=True))
        columns[1].html(player.sound(rest, rate, f"{d.clips[clip].name} without {name}", low=True))


def _name(group: list[int]) -> str:
    if not group:
        return "all that is quiet"
    return (
        f"component {group[0]}"
        if len(group) == 1
        else f"components {', '.join(map(str, group[:4]))}{', ...' if len(group) > 4 else ''}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
