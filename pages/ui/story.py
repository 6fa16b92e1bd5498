"""Unlearning as it is shown to others: one sound, heard, and what the network takes it for as the dose grows."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from and_core import Dissection
from and_core.audio.media import read_flac
from and_core.errors import ANDError
from and_core.figures.theme import EXPORT, HIGH, INK, LEGEND, LOW, plain, themed
from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.query.flips import clearest_unlearning
from and_core.unlearn.dose import SHARES, first_flip, under_doses
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.runs import read_split
from and_core.unlearn.selection import RankedSelection
from pages.ui import html, player
from pages.ui.media import media_url
from pages.ui.own import brought
from pages.ui.setup import BOUND, explain

SHOWN = 4  # classes beside each other


@st.fragment
def draw(d: Dissection, request: AblationRequest, choice: RankedSelection) -> None:
    """Draw one sound of the concept, or one's own, with a slider for the dose."""
    if request.how == "mean" or not choice.count:
        return
    own = brought()
    use_own = own is not None and st.toggle(f"with your own sound, {own.sound.name}", key="story_own")
    clip = _clip(d, request)
    if clip is None and not use_own:
        return
    st.html(html.heading("One sound, as the dose grows", "drag, and read what the network takes it for", "dose"))
    left, right = st.columns([1, 3.4], gap="medium")
    try:
        if use_own and own is not None:
            wave, rate = own.sound.wave, own.sound.rate
            left.html(player.sound(wave, rate, own.sound.name))
            values = _values(f"{own.sound.identity} {_key(d, request)}", d, (wave, rate), choice, request)
        else:
            assert clip is not None
            sound = html.clip_card(
                d.clips[clip], d.caption(clip), media_url(d, clip, "flac"), media_url(d, clip, "jpg")
            )
            left.html(f'<div class="and-cards" style="--and-columns:1">{sound}</div>')
            values = _values(f"{clip} {_key(d, request)}", d, read_flac(d.audio(clip)), choice, request)
    except ANDError as error:  # the results below need no network
        explain(error, "story")
        return
    with right:
        dose = st.select_slider(
            "Share of the chosen neurons that are silenced, most responsive first",
            [round(100 * share) for share in SHARES],
            value=100,
            format_func=lambda percent: f"{percent} %",
            key="story_dose",
        )
        step = round(dose / 100 * (len(SHARES) - 1))
        st.html(_sentence(d, choice, values, step))
        st.plotly_chart(_curves(d, values, step), config=EXPORT, theme=None, key="story_curves")


def _key(d: Dissection, request: AblationRequest) -> str:
    return f"{d.folder} {d.manifest.stages['split'].key} {request.model_dump_json()}"


@st.cache_data(max_entries=32, show_spinner="Silencing neurons step by step")
def _values(
    key: str,
    _d: Dissection,
    _sound: tuple[np.ndarray, int],
    _choice: RankedSelection,
    _request: AblationRequest,
) -> np.ndarray:
    return under_doses(_d, *_sound, _choice, _request.how)


def _clip(d: Dissection, request: AblationRequest) -> int | None:
    """Return the clip that the story is told with: one whose prediction flips, else the concept's that the network is
    surest of."""
    clear = clearest_unlearning(d) if d.has("unlearning") else None
    if clear is not None and (clear.concept, clear.strategy) == (request.concept, request.strategy) and clear.flips:
        return clear.flips[0].clip
    split = read_split(d)
    numbers = classes_of_concept(class_map_of(d), split.classes, request.concept)
    mine = np.flatnonzero(split.of_concept(request.concept))
    if not len(mine) or not numbers:
        return None
    sure = split.probabilities(split.before)[np.ix_(mine, np.array(numbers))].max(1)
    return int(split.clips[mine[int(sure.argmax())]])


def _sentence(d: Dissection, choice: RankedSelection, values: np.ndarray, step: int) -> str:
    """Return what happens at a dose in one sentence, and where the prediction flips, or that it does not."""
    classes = list(d.network_classes)
    count = round(SHARES[step] * choice.count)

    def likeliest(row: np.ndarray) -> str:
        top = int(row.argmax())
        return f"{classes[top].replace('_', ' ')} ({row[top]:.0%})"

    flip = first_flip(values)
    after = likeliest(values[step])
    changed = values[step].argmax() != values[0].argmax()
    first = f"With {count:,} of the {choice.count:,} neurons silenced the network takes it for {after}"
    whole = likeliest(values[0])
    first += f" instead of {whole}." if changed else f"; with all of its neurons, for {whole}."
    second = (
        f"The prediction changes at {round(SHARES[flip] * choice.count):,} neurons."
        if flip is not None
        else "No dose of these neurons changes the prediction: the network knows this sound by others as well."
    )
    return f'<p class="and-lead">{html.text(first)} {html.text(second)}</p>'


def _curves(d: Dissection, values: np.ndarray, step: int) -> go.Figure:
    """Return the probabilities of the likeliest classes over the dose, the chosen dose marked."""
    classes = list(d.network_classes)
    own = int(values[0].argmax())
    others = [int(c) for c in np.argsort(-values.max(0)) if c != own][: SHOWN - 1]
    figure = go.Figure()
    x = [100 * share for share in SHARES]
    for place, number in enumerate([own, *others]):
        figure.add_scatter(
            x=x,
            y=values[:, number],
            mode="lines",
            name=plain(classes[number]),
            line={"color": HIGH if place == 0 else LOW, "width": 3 if place < 2 else 1.2,
                  "dash": "solid" if place < 2 else "dot"},
            hovertemplate="%{x:.0f} %: %{y:.0%}<extra>" + plain(classes[number]) + "</extra>",
        )  # fmt: skip
    figure.add_vline(x=x[step], line_width=1, line_dash="dash", line_color=INK)
    themed(figure, "share of the chosen neurons silenced, %", "probability", 240)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return figure.update_layout(showlegend=True, legend=LEGEND)


def presented() -> bool:
    """Offer the presenter's view, large type without the side bar, and return whether it is on."""
    on = bool(st.toggle("Presenter's view", key="present", help="Large type, no side bar.", **BOUND))
    if on:
        st.html(
            "<style>[data-testid=stSidebar], [data-testid=stExpandSidebarButton] { display: none; } "
            "html { font-size: 20px; } .stMainBlockContainer { max-width: none; } "
            ".and-lead, .and-headline { font-size: 1.5rem; line-height: 1.35; }</style>"
        )
    return on
