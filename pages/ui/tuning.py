"""What the pages on tuning share: the neuron that they open on, and what is said of its tuning."""

from __future__ import annotations

import numpy as np
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.query.openings import surest_neuron
from and_core.query.tuning import NeuronTuning, best_tuned_neuron, hertz, in_words, stimulus_of, tuned_families
from and_core.tuning.stimulus import waveform
from pages.ui import html, player
from pages.ui.explorer import choose_neuron, go

SLOPE = 0.25  # standard deviations for 10 dB, above which loudness counts
SIDED = 0.2  # of the direction index
LOPSIDED = 1 / 3  # of the tone-noise index


def chosen_neuron(d: Dissection) -> NeuronId:
    """Return the chosen neuron; where neither the address nor the session names one, the one that is tuned best."""
    asked = st.session_state.get("layer") or st.query_params.get("layer")
    named = asked is not None or "unit" in st.query_params or "unit" in st.session_state
    if not named or (asked is not None and asked not in {x.name for x in d.layers}):
        if d.has("tuning"):
            go(best_tuned_neuron(d))
        elif d.has("explanations"):
            go(surest_neuron(d))
    return choose_neuron(d)


def title(d: Dissection, neuron: NeuronId, page: str, other: tuple[str, str]) -> None:
    """Draw the neuron's name, and links that lead to its other pages."""
    layer = d.layer(neuron.layer)
    parts = [page, *layer.title.split(" / "), str(neuron.unit)]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="tuning_header"):
        st.html(f'<h1 class="and">{" <span>/</span> ".join(html.text(p) for p in parts)}</h1>', width="content")
        for path, label in (("pages/neurons.py", "What it listens to"), other):
            st.page_link(path, label=f"{label} \u2192", width="content")  # the session holds the neuron


def sentences(t: NeuronTuning) -> list[str]:
    """Return what is said of a neuron's tuning, a sentence each."""
    row = t.row
    if not row["responds"]:
        return ["This neuron gives one and the same value, or none, for every sound: there is no tuning."]
    made = []
    if not row["tuned"]:
        return ["It is not tuned: nothing that it answers comes out the same again and differs more than by chance."]
    if row["tuned_to_frequency"]:
        way = "rises most" if row["sign"] > 0 else "falls most"
        edge = ", at the end of what was played" if row["at_edge"] else ""
        made.append(
            f"Of pure tones it {way} at {hertz(row['best_frequency'])}{edge}, by {row['best_frequency_height']:.1f} SD "
            f"more than at most others, and by half of that over {row['bandwidth']:.1f} octaves."
        )
    if row["level_shape"] == "flat":
        made.append("How loud they are hardly matters.")
    elif row["tuned_to_level"]:
        rise = row["level_slope"]
        if row["level_shape"] == "non-monotone":
            made.append(f"It answers tones of {row['best_level']:.0f} dB most, and louder ones less.")
        elif abs(rise) >= SLOPE:
            made.append(f"Each 10 dB {'raise' if rise > 0 else 'lower'} it by {abs(rise):.1f} SD.")
    index = row["tone_noise"]
    if index is not None and abs(index) >= LOPSIDED:
        made.append("It prefers tones to noise." if index > 0 else "It prefers noise to tones.")
    if row["tuned_to_modulation"] and row["modulation_shape"] in ("band-pass", "low-pass", "high-pass"):
        on = "noise" if row["carrier"] is None else f"a tone of {hertz(row['carrier'])}"
        way = "raises" if row["rate_sign"] > 0 else "lowers"
        rates = {"low-pass": "Slow modulation", "high-pass": "Fast modulation"}.get(
            row["modulation_shape"], f"Modulation at {hertz(row['best_rate'])}"
        )
        made.append(f"{rates} of {on} {way} it most.")
    if row["tuned_to_direction"] and abs(row["direction_index"] or 0) >= SIDED:
        up, down = ("rising", "falling") if row["rises_more"] > 0 else ("falling", "rising")
        made.append(f"It answers {up} sweeps more than {down} ones.")
    return made or [f"It is tuned to {', '.join(tuned_families(row))}, though to nothing sharply."]


def figures(t: NeuronTuning) -> list[tuple[str, str, str]]:
    """Return what stands beside the sentences: label, value, what it is."""
    row = t.row

    def number(name: str, form: str, unit: str = "") -> str:
        return "-" if row[name] is None else f"{row[name]:{form}}{unit}"

    return [
        ("reliability", number("reliability", ".2f"), "over repeats"),
        ("lowest level", number("characteristic_level", ".0f", " dB"), "at which the best frequency holds"),
        ("tone or noise", number("tone_noise", "+.2f"), "1 tone, -1 noise"),
        ("harmonic", number("harmonicity", "+.2f"), "against inharmonic"),
        ("direction", number("direction_index", "+.2f"), "1 rising, -1 falling"),
        ("longer by half", number("duration_slope", "+.2f", " SD"), "for twice the duration"),
    ]


def stimulus_player(d: Dissection, condition: int, response: float, label: str) -> str:
    """Return a player of a stimulus, with what the neuron answers."""
    notes = d.notes("tuning")
    stimulus = stimulus_of(d, condition)
    first = int(np.flatnonzero(d.stimuli["condition"].to_numpy() == condition)[0])
    wave = waveform(stimulus, notes["rate"], notes["seconds"], d.stimuli["seed"][first].as_py())
    name = f"{label}: {in_words(stimulus)}"
    return player.sound(wave, notes["rate"], name, low=True, note=f"{response:+.1f} SD from silence")
