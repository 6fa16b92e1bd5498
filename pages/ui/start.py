"""The Start page: one neuron to hear, one that stays unclear, one concept unlearned, and where to go from there."""

from __future__ import annotations

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.figures.theme import EXPORT
from and_core.query.flips import ClearUnlearning, Flip, clearest_unlearning
from and_core.query.openings import surest_neuron, totals, unclear_neuron
from pages.ui import html, scores
from pages.ui.explorer import open_neuron
from pages.ui.map import overview_figure
from pages.ui.media import media_url
from pages.ui.setup import explain, provenance, setup

TITLE = "What does each neuron of this network listen to?"
DOORS = (
    ("pages/neurons.py", "Browse the neurons", "Search them by words or by meaning, and hear what each fires on."),
    ("pages/unlearning.py", "Unlearn a concept", "Silence the neurons of a sound and hear what the network forgets."),
    ("pages/studies.py", "Rate explanations", "Let people judge, clip by clip, whether the sentences are true."),
)
TIED = {"DB": "by captions", "TAB": "by sound", "OCP": "by their summaries"}  # how a strategy chooses neurons
FLIPS = 3  # clips shown


def page() -> None:
    """Draw the page; an address that names a neuron, or anything else of that page, opens it there."""
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    if set(asked) - {"dissection"}:
        st.switch_page("pages/neurons.py", query_params=asked)
    d = setup("Start")
    st.html(f'<h1 class="and">{html.text(TITLE)}</h1>')
    provenance(d)
    for part in (_network, _neurons, _unlearning, _doors, _map):
        try:
            part(d)
        except ANDError as error:
            explain(error, part.__name__)


def _network(d: Dissection) -> None:
    """Draw what was dissected, and how many of its neurons are told how surely."""
    about = d.provenance
    classes = f", which tells {len(d.target_classes)} classes of sound apart" if d.target_classes else ""
    lines = [f"The network is {about['target']}{classes}. The clips that it heard: {about['dataset']}."]
    if not d.has("explanations"):
        st.html(html.note(" ".join(lines)))
        st.html(html.empty("Its neurons are not explained yet. Run", "and-dissect run CONFIG.yaml"))
        return
    count = totals(d)
    lines.append(
        f"Each of its {count.neurons:,} hidden neurons, in {count.layers} layers, has one sentence of its own."
    )
    st.html(f'<p class="and-lead">{html.explained(" ".join(lines), "neuron", "clip")}</p>')
    mean = "" if count.probability is None else html.meter(count.probability)
    why = f"No probability is known here: {d.calibration_fault}." if count.probability is None else ""
    cells = [
        (
            "are named",
            count.named,
            f"the sentence names a sound; mean probability that it holds {mean}" if mean else why,
        ),
        (
            "are described",
            count.described,
            "an adjective, a measure or several meanings hold, and no one name does",
        ),
        ("stay unclear", count.unclear, f"nothing is {html.term('sure enough', 'unclear')} to be said of them"),
    ]
    if count.dead:
        cells.append(("are dead", count.dead, "their activation is the same on every clip"))
    made = "".join(
        f"<div><b>{number:,} <span>{html.text(what)}</span></b><small>{about_it}</small></div>"
        for what, number, about_it in cells
    )
    st.html(f'<div class="and-totals">{made}</div>')


def _neurons(d: Dissection) -> None:
    """Draw the surest neuron, and beside it one of which nothing can be said."""
    if not d.has("explanations"):
        return
    left, right = st.columns([1.7, 1], gap="medium")
    with left:
        _neuron(d, surest_neuron(d), "A neuron that is told surely: press play, and read what it fires on", 5)
    with right:
        unclear = unclear_neuron(d)
        if unclear is None:
            st.html(
                html.heading("None stays unclear") + html.box(html.empty("Something holds of every hidden neuron."))
            )
        else:
            _neuron(d, unclear, "One that stays unclear, and is shown as such", 3)


def _neuron(d: Dissection, neuron: NeuronId, title: str, clips: int) -> None:
    headline = d.headline(neuron)
    name = f"{d.layer(neuron.layer).title} / {neuron.unit}"
    link = f'<a href="{html.text(html.neuron_link(d.name, neuron))}" target="_self">{html.text(name)}</a>'
    cards = "".join(
        html.clip_card(top.clip, top.caption, media_url(d, top.clip.index, "flac"), media_url(d, top.clip.index, "jpg"))
        for top in d.extreme_clips(neuron, "high", clips)
    )
    st.html(
        html.about(
            neuron,
            html.heading(title)
            + f'<div class="and-box and-one"><div class="and-headline">{scores.sentence(headline)}</div>'
            + scores.verdict(headline)
            + scores.differing(d, neuron)
            + f'<div class="and-cards" style="--and-columns:{clips}">{cards}</div>'
            + f'<div class="and-empty">Its {clips} highest clips. All that is known of it: {link}</div></div>',
        )
    )


def _unlearning(d: Dissection) -> None:
    """Draw the clearest unlearning, with the clips that are taken for something else after it; why, where none is."""
    st.html(html.heading("Unlearning: silence the neurons of a sound, and the network forgets it", "", "ablation"))
    if not d.has("unlearning"):
        st.html(
            html.box(
                html.empty(
                    "Nothing has been unlearned here yet. It needs a network with a classifier, and",
                    f"and-dissect prune {d.name} --all",
                )
            )
        )
        return
    clear = clearest_unlearning(d)
    if clear is None:
        st.html(
            html.box(html.empty("No strategy chose a neuron for any concept that was tried, so none was silenced."))
        )
        return
    left, right = st.columns([1, 1.35], gap="medium")
    left.html(html.box(_effect(d, clear)))
    shown = clear.flips[:FLIPS] or ((clear.deepest,) if clear.deepest else ())
    cards = "".join(_flip_card(d, flip, bool(clear.flips)) for flip in shown)
    right.html(f'<div class="and-cards" style="--and-columns:{FLIPS}">{cards}</div>')


def _effect(d: Dissection, clear: ClearUnlearning) -> str:
    name = clear.concept.replace("_", " ")
    first = (
        f"{clear.count:,} neurons tied to {name} {TIED[clear.strategy]} are silenced. On {clear.clips} clips of {name} "
        f"that they were not chosen from, its output falls by {clear.gap:.2f} more than those of the other classes"
    )
    random = "" if clear.fair_gap != clear.fair_gap else f"; fair random: {clear.fair_gap:+.2f}"
    kept = f"Over all tested clips the accuracy goes from {clear.accuracy[0]:.1f} to {clear.accuracy[1]:.1f} %."
    if clear.flips:
        one = clear.flips[0]
        what = (
            f"{len(clear.flips)} of the {clear.clips} clips {'is' if len(clear.flips) == 1 else 'are'} now taken for "
            f"something else: {one.before[0].replace('_', ' ')} {one.before[1]:.0%} becomes "
            f"{one.after[0].replace('_', ' ')} {one.after[1]:.0%}."
        )
    else:
        what = _why_none(clear, name)
    sentences = [f"{first}{random}.", what, kept]
    lines = "".join(f"<p>{html.explained(line, 'fair-random')}</p>" for line in sentences)
    how = TIED[clear.strategy]
    lines = lines.replace(how, html.term(how, clear.strategy.lower()), 1)
    address = f"/unlearning?dissection={html.text(d.name)}&concept={html.text(clear.concept)}"
    return f'{lines}<a href="{address}&strategy={html.text(clear.strategy)}" target="_self">See all that changes</a>'


def _why_none(clear: ClearUnlearning, name: str) -> str:
    fall = "" if clear.deepest is None else (
        f" The largest fall is from {clear.deepest.before[1]:.0%} to {clear.deepest.after[1]:.0%}."
    )  # fmt: skip
    if clear.beyond <= 0:
        return f"No prediction flips: these neurons matter to {name} no more than random ones.{fall}"
    return f"No prediction flips: the network knows {name} by other neurons as well.{fall}"


def _flip_card(d: Dissection, flip: Flip, flipped: bool) -> str:
    clip = d.clips[flip.clip]
    sound, picture = media_url(d, flip.clip, "flac"), media_url(d, flip.clip, "jpg")
    return html.verdict_card(clip, flip.before, flip.after, (True, not flipped), sound, picture)


def _doors(d: Dissection) -> None:
    for i, (column, (path, label, about)) in enumerate(zip(st.columns(3, gap="medium"), DOORS, strict=True)):
        with column.container(border=True, gap=None, key=f"door_{i}"):
            st.page_link(path, label=f"**{label}** \u2192")
            st.html(html.empty(about))


def _map(d: Dissection) -> None:
    """Draw all neurons near those that are explained alike, with the names of the islands that they form."""
    if not d.has("map") or not d.has("explanations"):
        return
    st.html(
        html.heading(
            "The map: neurons that are explained alike lie together", "click a point to open its neuron", "map"
        )
    )
    event = st.plotly_chart(
        overview_figure(d), config=EXPORT, theme=None, key="overview", on_select="rerun", selection_mode="points"
    )
    st.html(
        html.note(
            "Each point is a neuron: blue where its sentence names a sound, grey where it does not. A name stands "
            "where most of the neurons lie of which it holds."
        )
    )
    chosen = [point["customdata"] for point in (event.selection.points if event else [])]
    if chosen and chosen[0] is not None:
        number = chosen[0]
        open_neuron(d.neuron_id(int(number[0] if isinstance(number, list | tuple) else number)))
