"""The Play page: sounds from dials, what one neuron answers, and which neurons answer most."""

from __future__ import annotations

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.figures.neuron import activation_histogram
from and_core.figures.theme import EXPORT
from and_core.figures.tuning import response_area
from and_core.query.tuning import hertz, tuning_of
from and_core.tuning.compose import EVERYTHING, Dials
from and_core.tuning.stimulus import LEVEL, LOWEST, top_of
from and_core.uploads.played import Played, play, sample_rate, strongest
from pages.ui import html, player, tuning
from pages.ui.explorer import go
from pages.ui.setup import explain, provenance, setup

AN_OCTAVE = 12
WIDTHS = (0.0, 1 / 6, 1 / 3, 0.5, 1.0, 2.0, 4.0, EVERYTHING)
RATES = (0.0, *(2.0 ** (i / 2) for i in range(17)))
SPEEDS = (-64.0, -32.0, -16.0, -8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SOFTEST, LOUDEST = -60, -5
OWNER = "play_owner"  # whose best stimulus the dials were set to


def _frequencies(d: Dissection) -> list[float]:
    octaves = np.log2(top_of(sample_rate(d)) / LOWEST)
    return [round(LOWEST * 2 ** (i / AN_OCTAVE), 1) for i in range(int(octaves * AN_OCTAVE) + 1)]


def _set_dials(d: Dissection, neuron: NeuronId, frequencies: list[float]) -> None:
    """Set the dials to the tone that the neuron answers most, where another neuron was shown before."""
    key = f"{d.name}/{neuron}"
    if st.session_state.get(OWNER) == key:
        return
    best, level = 440.0, LEVEL
    if d.has("tuning"):
        row = tuning_of(d, neuron).row
        best, level = row["best_frequency"] or best, row["best_frequency_level"] or level
    st.session_state[OWNER] = key
    st.session_state["play_frequency"] = min(frequencies, key=lambda f: abs(np.log2(f / best)))
    st.session_state["play_level"] = int(np.clip(round(level), SOFTEST, LOUDEST))
    st.session_state.update(play_width=0.0, play_rate=0.0, play_speed=0.0)


def _width(octaves: float) -> str:
    if octaves == 0:
        return "pure tone"
    return "all frequencies" if octaves >= EVERYTHING else f"{octaves:.2g} octaves"


def _dials(frequencies: list[float]) -> Dials:
    frequency = st.select_slider("Frequency", frequencies, key="play_frequency", format_func=hertz)
    level = st.slider("Level, dB re full scale", SOFTEST, LOUDEST, key="play_level")
    width = st.select_slider("Bandwidth", WIDTHS, key="play_width", format_func=_width)
    rate = st.select_slider(
        "Amplitude modulation", RATES, key="play_rate", format_func=lambda r: "none" if r == 0 else hertz(r)
    )
    depth = 100
    if rate > 0:
        st.session_state.setdefault("play_depth", depth)  # forgotten while it is not drawn
        depth = st.slider("Depth of modulation, %", 0, 100, key="play_depth")
    speed = st.select_slider(
        "Sweep, octaves a second", SPEEDS, key="play_speed",
        format_func=lambda v: "none" if v == 0 else f"{'rising' if v > 0 else 'falling'} {abs(v):.0f}",
    )  # fmt: skip
    return Dials(frequency, level, width, rate, depth / 100, speed)


@st.fragment
def _bench(d: Dissection, neuron: NeuronId) -> None:
    """Draw dials and what comes of them; alone drawn anew when one is moved."""
    frequencies = _frequencies(d)
    _set_dials(d, neuron, frequencies)
    left, middle, right = st.columns([1, 1.25, 1], gap="medium")
    with left:
        st.html(html.heading("The sound"))
        dials = _dials(frequencies)
    try:
        played = play(d, dials)
    except ANDError as error:
        with middle:
            explain(error, "bench")
        return
    with middle:
        st.html(html.heading("Hear it"))
        st.html(player.sound(played.wave, played.rate, "the sound"))
        _answer(d, neuron, played)
        _place(d, neuron, dials)
    with right:
        st.html(html.heading("Neurons that answer most", "SD above their mean"))
        _strongest(d, played)


def _answer(d: Dissection, neuron: NeuronId, played: Played) -> None:
    index = d.index(neuron)
    value = float(played.activations[index])
    if d.dead[index]:
        st.html(html.box(html.empty("This neuron gives the same value for every sound.")))
        return
    values = np.asarray(d.activations(neuron), float)
    deviation, below = float(played.deviations[index]), float(np.mean(values < value))
    st.html(
        html.about(
            neuron,
            html.heading(f"What {neuron} answers")
            + f'<div class="and-headline" data-and-played="{value:.4f}"><mark>{deviation:+.2f} SD</mark> '
            f"from its mean over the probing clips; activation {value:.3g}, above {below:.0%} of them.</div>",
        )
    )
    figure = activation_histogram(values, [()] * len(values), None, own=value, height=200)
    st.plotly_chart(figure, config=EXPORT, theme=None, key="played")


def _place(d: Dissection, neuron: NeuronId, dials: Dials) -> None:
    """Draw what the neuron answered to tones, with the place of the dials."""
    if not d.has("tuning") or dials.width >= EVERYTHING:
        return
    st.html(html.heading("Among tones that were played before", "the ring: the dials", "response-area"))
    figure = response_area(tuning_of(d, neuron), 210, (dials.frequency, dials.level))
    st.plotly_chart(figure, config=EXPORT, theme=None, key="place")


def _turn_to(d: Dissection, neuron: NeuronId) -> None:
    """Show another neuron, and leave the dials as they are."""
    go(neuron)
    st.session_state[OWNER] = f"{d.name}/{neuron}"


def _strongest(d: Dissection, played: Played) -> None:
    said = d.headlines.concept if d.has("explanations") else None
    for i, (other, deviation) in enumerate(strongest(d, played)):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"answers_{i}"):
            label, help_ = html.markdown(str(other)), "play to this one"
            if st.button(label, type="tertiary", key=f"played_{i}", help=help_, on_click=_turn_to, args=(d, other)):
                st.rerun()
            concept = said[d.index(other)] if said is not None else None
            st.html(f"<small>{html.text((concept or '').replace('_', ' '))} <b>{deviation:+.1f}</b></small>")


def page() -> None:
    """Draw the page."""
    d = setup("Play to it")
    try:
        neuron = tuning.chosen_neuron(d)
        provenance(d)
        tuning.title(d, neuron, "Play to it", ("pages/tuning.py", "Its tuning"))
        st.html(
            html.note(
                "Move a dial: the sound is made anew, the network hears it, and what this neuron answers is shown. The "
                "dials begin at the tone that the neuron answers most."
                if d.has("tuning")
                else "Move a dial: the sound is made anew, the network hears it, and what this neuron answers is shown."
            )
        )
        _bench(d, neuron)
    except ANDError as error:
        explain(error)


page()
