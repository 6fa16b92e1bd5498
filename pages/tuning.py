"""The Tuning page: what sounds of known frequency, level, rate and direction do to a neuron, and to the network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.map import neuron_map
from and_core.figures.theme import EXPORT
from and_core.figures.tuning import (
    frequencies_by_depth,
    frequency_curve,
    level_curve,
    modulation_curve,
    receptive_field,
    repetition_curve,
    response_area,
    ripple_map,
    shares_by_depth,
    sweep_curve,
    time_curve,
)
from and_core.figures.tuning_table import ABOUT_WORDS, rows
from and_core.query.tuning import NeuronTuning, TuningQuery, column, find_tuned, hertz, tuning_of
from and_core.query.word_tuning import word_cells
from pages.ui import html, tuning
from pages.ui.explorer import go
from pages.ui.map import titles
from pages.ui.setup import BOUND, explain, provenance, setup

LISTED = 200
BANDS = (125, 250, 500, 1000, 2000, 4000, 8000)  # Hz: ends of the colours of the map
CURVES = (
    ("Frequency", "pure tones", frequency_curve),
    ("Level", "tone at the best frequency, and noise", level_curve),
    ("Modulation", "sinusoidal, of full depth", modulation_curve),
    ("Sweeps", "over five octaves", sweep_curve),
    ("Ripples", "moving spectral waves", ripple_map),
    ("Duration", "bursts of white noise", time_curve),
    ("Repetition", "trains of clicks", repetition_curve),
)
LOOK_FOR = {"frequency": "best frequency", "rate": "modulation rate", "rising": "rising", "falling": "falling sweeps"}
RATES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


def _neuron(d: Dissection, neuron: NeuronId) -> None:
    t = tuning_of(d, neuron)
    lines = " ".join(html.text(line) for line in tuning.sentences(t))
    st.html(html.about(neuron, f'<div class="and-headline">{lines}</div>'))
    if not t.row["responds"]:
        return
    left, right = st.columns([1.7, 1], gap="medium")
    with left:
        st.html(html.heading("Frequency-response area", "response to tones, SD", "response-area"))
        st.plotly_chart(response_area(t, 370), config=EXPORT, theme=None, key="area")
        st.caption(_about_responses(d))
    with right:
        st.html(html.heading("The stimuli that it answers most and least"))
        strongest = tuning.stimulus_player(d, t.row["strongest"], t.row["strongest_response"], "most")
        weakest = tuning.stimulus_player(d, t.row["weakest"], t.row["weakest_response"], "least")
        st.html(f'<div class="and-cards" style="--and-columns:1">{strongest}{weakest}</div>')
        st.html(html.box(html.plain_table([{"": a, "value": b, "of what": c} for a, b, c in tuning.figures(t)])))
    for i, (name, note, figure) in enumerate(CURVES):
        if i % 3 == 0:
            columns = st.columns(3, gap="medium")
        with columns[i % 3]:
            st.html(html.heading(name, note))
            st.plotly_chart(figure(t), config=EXPORT, theme=None, key=f"curve_{i}")
    with columns[len(CURVES) % 3]:
        _field(d, neuron, t)


def _field(d: Dissection, neuron: NeuronId, t: NeuronTuning) -> None:
    r2 = t.row["field_r2"]
    notes = d.notes("tuning")
    on = f"fitted on {notes['field_chords']} clips of random chords and {notes['field_clips']} probing clips"
    figure = receptive_field(d, neuron)
    st.html(html.heading("Receptive field", "" if figure is None else f"R\u00b2 {r2:.2f} on clips not fitted", "strf"))
    if figure is None:
        told = "nothing" if r2 is None else f"R\u00b2 = {r2:.2f}, an interval that reaches 0"
        st.html(html.box(html.empty(f"None is shown: a spectrogram foretells the neuron too poorly ({told}); {on}.")))
        return
    st.plotly_chart(figure, config=EXPORT, theme=None, key="field")
    step = d.receptive_fields_about["layers"][neuron.layer]["step"]
    kind = "activation over time" if step else "clip's activation, since the layer has no map over time"
    st.caption(f"Ridge regression on 25 mel bands of the {kind}; {on}.")


def _about_responses(d: Dissection) -> str:
    notes = d.notes("tuning")
    return (
        "Responses are counted from the activation on silence, in standard deviations (SD) of the neuron over the "
        f"probing clips, mean of {notes['repeats']} repeats with other phases and noise. {notes['presentation']}"
    )


def _find(d: Dissection) -> None:
    st.html(html.heading("Find neurons by what they are tuned to"))
    one, two, three = st.columns([1.7, 1.5, 0.9], gap="medium")
    by = one.segmented_control(
        "Tuned to", list(LOOK_FOR), default="frequency", key="tuned_by", wrap=True, required=True,
        format_func=LOOK_FOR.__getitem__, **BOUND,
    )  # fmt: skip
    layers = three.multiselect("Layers", [layer.name for layer in d.layers], key="tuned_layers", placeholder="all")
    chosen = tuple(layers)
    if by == "frequency":
        known = column(d, "best_frequency")
        steps = [50.0 * 2 ** (i / 3) for i in range(int(3 * np.log2(max(np.nanmax(known), 100.0) / 50)) + 2)]
        low, high = two.select_slider("Best frequency", steps, (steps[9], steps[15]), format_func=hertz, key="tuned_hz")
        query = TuningQuery(frequency=(low, high), layers=chosen)
    elif by == "rate":
        low, high = two.select_slider("Best rate", RATES, (2.0, 16.0), format_func=hertz, key="tuned_rate")
        query = TuningQuery(rate=(low, high), layers=chosen)
    else:
        query = TuningQuery(direction="rising" if by == "rising" else "falling", layers=chosen)
    neurons = find_tuned(d, query)
    st.caption(
        f"{len(neurons):,} of {d.neuron_count:,} neurons, the clearest first"
        f"{f'; the first {LISTED} are listed' if len(neurons) > LISTED else ''}."
    )
    if not len(neurons):
        st.html(html.empty("No neuron is tuned so. Widen the range, or look at all layers."))
        return
    st.dataframe(_frame(d, neurons[:LISTED]), hide_index=True, height=240, column_config={
        "open": st.column_config.LinkColumn("open", display_text="open", width="small"),
    })  # fmt: skip


def _frame(d: Dissection, neurons: np.ndarray) -> pd.DataFrame:
    table = d.tuning.take(neurons).to_pandas()
    ids = [d.neuron_id(int(i)) for i in neurons]
    said = d.headlines.concept[neurons] if d.has("explanations") else [None] * len(neurons)
    return pd.DataFrame(
        {
            "open": [html.neuron_link(d.name, n).replace("/neurons?", "/tuning?", 1) for n in ids],
            "layer": [n.layer for n in ids],
            "unit": [n.unit for n in ids],
            "best frequency, Hz": table["best_frequency"].round(0),
            "octaves wide": table["bandwidth"].round(2),
            "best rate, Hz": table["best_rate"].round(1),
            "direction index": table["direction_index"].round(2),
            "SD for 10 dB": table["level_slope"].round(2),
            "concept": [text or "" for text in said],
        }
    )


def _network(d: Dissection) -> None:
    st.html(html.heading("How tuning is spread over the network"))
    notes = d.notes("tuning")
    st.html(
        html.note(
            f"{notes['tuned']:,} of {notes['neurons']:,} neurons are tuned to something: their responses come out the "
            "same with other phases and noise, and differ more than shuffled ones. "
            f"{100 * notes['reach']:.0f} % answer some stimulus as strongly as the strongest twentieth of the probing "
            "clips. Even random weights give tuned neurons, as sums of frequency bands are: what is said here is what "
            "each is tuned to, not that it was learned."
        )
    )
    left, right = st.columns(2, gap="medium")
    with left:
        st.html(html.heading("Best frequencies by layer"))
        st.plotly_chart(frequencies_by_depth(d), config=EXPORT, theme=None, key="by_depth")
    with right:
        st.html(html.heading("Distinctly tuned, by layer"))
        st.plotly_chart(shares_by_depth(d), config=EXPORT, theme=None, key="shares")
    st.download_button(
        "Tuning of every neuron (CSV)", lambda: csv_text(pd.DataFrame(rows(d))).encode(), "tuning.csv", "text/csv",
        on_click="ignore",
    )  # fmt: skip


def _words(d: Dissection) -> None:
    if not d.has("explanations"):
        return
    cells = word_cells(d)
    if not cells:
        return
    st.html(html.heading("Words against tuning", "are neurons called high-pitched tuned high?", "adjective"))
    st.html(html.box(html.plain_table(cells)))
    st.caption(ABOUT_WORDS)


def _map(d: Dissection) -> None:
    if not d.has("map") or not d.has("explanations"):
        return
    st.html(html.heading("Best frequencies on the map", "neurons that are explained alike lie together", "map"))
    known = column(d, "best_frequency")
    tuned = np.asarray(column(d, "tuned_to_frequency"), bool) & (column(d, "sign") > 0)
    names = ["up to 125 Hz", *(f"to {hertz(high)}" for high in BANDS[1:]), f"above {hertz(BANDS[-1])}"]
    place = np.searchsorted(BANDS, np.nan_to_num(known))
    groups = [names[i] if yes else None for i, yes in zip(place.tolist(), tuned.tolist(), strict=True)]
    figure = neuron_map(
        np.asarray(d.map_places("explanation")), groups, titles(d), None, names, "not excited by a frequency", 460
    )

    def chosen() -> None:
        points = st.session_state["tonotopy"].selection.points
        number = points[0].get("customdata") if points else None
        if number is not None:
            go(d.neuron_id(int(number[0] if isinstance(number, list | tuple) else number)))

    st.plotly_chart(figure, config=EXPORT, theme=None, key="tonotopy", on_select=chosen, selection_mode="points")
    st.caption("A click on a neuron shows its tuning above.")


def page() -> None:
    """Draw the page."""
    d = setup("Tuning")
    try:
        if not d.has("tuning"):
            st.html('<h1 class="and">Tuning</h1>')
            provenance(d)
            st.html(html.box(html.empty(
                "No stimuli have been played to this network's neurons yet. Write tuning: {} into its configuration "
                "and run", "and-dissect run CONFIG.yaml --only tuning",
            )))  # fmt: skip
            return
        neuron = tuning.chosen_neuron(d)
        provenance(d)
        tuning.title(d, neuron, "Tuning", ("pages/play.py", "Play to it"))
        _neuron(d, neuron)
        for part in (_find, _network, _words, _map):
            part(d)
    except ANDError as error:
        explain(error)


page()
