"""The Steering page: what a neuron does to the decision, turned by a dial, and what drives it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from and_core import Dissection, NeuronId
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.steering import agreement_figure, dose_figure, steering_table
from and_core.figures.theme import EXPORT
from and_core.names import readable
from and_core.query.openings import surest_neuron
from and_core.query.steering import DoseResponse, most_moving_neuron, pushed_classes
from and_core.steer.dials import DOSES
from and_core.steer.live import dose_response, dose_response_of_sound, upstream
from pages.ui import html, steering
from pages.ui.explorer import choose_neuron, go, neuron_button
from pages.ui.own import bring_in, brought
from pages.ui.setup import explain, provenance, setup
from pages.ui.tuning import title

TURNED = "steering_turned"  # the neuron whose dial was asked for
LISTED = 8  # classes


def _neuron(d: Dissection) -> NeuronId:
    """Return the chosen neuron; where none is named, the one that moves the class of its headline most."""
    named = any(key in st.session_state or key in st.query_params for key in ("layer", "unit"))
    if not named:
        go(most_moving_neuron(d) if d.has("steering") else surest_neuron(d))
    return choose_neuron(d)


def _pushes(d: Dissection, neuron: NeuronId) -> None:
    st.html(html.about(neuron, f'<div class="and-headline">{steering.sentence(d, neuron)}</div>'))
    rows = pushed_classes(d, neuron, LISTED)
    if rows:
        st.html(html.heading("Classes that it moves", "one standard deviation more of it, change of the logit"))
        table = [{"class": readable(name), "change": f"{change:+.3f}"} for name, change in rows]
        st.html(html.box(html.plain_table(table)))


def _read(response: DoseResponse, classes: list[str], what: str) -> None:
    """Draw a dose-response, and say what is unusual of it."""
    st.plotly_chart(dose_figure(response, classes), config=EXPORT, theme=None, key=f"dose_{what}")
    beyond = response.doses[response.beyond]
    lines = []
    if len(beyond):
        named = ", ".join(f"{dose:+g}" for dose in beyond)
        lines.append(f"At {named} SD the neuron lies beyond anything that it did on the probing clips.")
    flips = response.flips.max()
    lines.append(
        f"The likeliest class changes on up to {flips:.0%} of them."
        if flips
        else "The likeliest class stays what it was at every dose."
    )
    st.caption(" ".join(lines))


@st.fragment
def _dial(d: Dissection, neuron: NeuronId, classes: list[str]) -> None:
    st.html(html.heading("Turn it", "all classes by dose, random directions of the same length beside"))
    key = f"{d.name}/{neuron}"
    if st.session_state.get(TURNED) != key:
        st.html(html.empty("The network runs once for each dose, which takes a second or two."))
        if not st.button("Turn the dial", type="primary", key="turn"):
            return
        st.session_state[TURNED] = key
    try:
        with st.spinner("Turning the neuron up and down"):
            response = dose_response(d, neuron)
        _read(response, classes, "clips")
    except ANDError as error:
        explain(error, "dial")


def _own_sound(d: Dissection, neuron: NeuronId, classes: list[str]) -> None:
    with st.expander("Steer your own sound"):
        bring_in()
        own = brought()
        if own is None:
            st.html(html.empty("Record or upload a sound, and hear what the network takes it for as the dial turns."))
            return
        dose = st.select_slider(
            "Added to the neuron, standard deviations", DOSES, 0.0, format_func=lambda v: f"{v:+g}", key="own_dose"
        )
        try:
            response = dose_response_of_sound(d, neuron, own.sound.wave, own.sound.rate)
        except ANDError as error:
            explain(error, "own dial")
            return
        rows = [
            {"class": readable(classes[c]), "without": f"{base:.1%}", f"at {dose:+g} SD": f"{now:.1%}"}
            for c, base, now in _likeliest(response, dose)
        ]
        st.html(html.box(html.plain_table(rows)))
        _read(response, classes, "own")


def _likeliest(response: DoseResponse, dose: float) -> list[tuple[int, float, float]]:
    base = response.base
    now = response.shares[list(response.doses).index(dose)]
    order = np.argsort(-np.maximum(base, now), kind="stable")[:5]
    return [(int(c), float(base[c]), float(now[c])) for c in order]


@st.fragment
def _upstream(d: Dissection, neuron: NeuronId) -> None:
    st.html(html.heading("What drives it", "neurons of the layer before, on its own highest clips"))
    if not st.button("Look upstream", key="look_upstream"):
        return
    try:
        with st.spinner("Following gradients back"):
            rows = upstream(d, neuron)
    except ANDError as error:
        explain(error, "upstream")
        return
    if not rows:
        st.html(html.empty("There is no dissected layer before this one."))
        return
    for i, driver in enumerate(rows):
        other = NeuronId(layer=driver.layer, unit=driver.unit)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"driver_{i}"):
            neuron_button(str(other), d.name, other, f"drives_{i}")
            said = d.headline(other).text if d.has("explanations") else ""
            st.html(
                f"<small>{html.text(said)} <b>adds {driver.attribution:+.3g}</b>; without it this neuron falls by "
                f"{driver.drop:.3g}, without a random one of its layer it changes by {driver.random_drop:.3g}.</small>"
            )


def _network(d: Dissection) -> None:
    st.html(html.heading("Is what a neuron fires on what it does?", "", "steering"))
    st.html(html.note(steering.summary(d)))
    if any(row["headlines"] for row in d.steering_layers):
        st.plotly_chart(agreement_figure(d), config=EXPORT, theme=None, key="agreement")
    for part in steering_table(d).parts:
        st.html(html.box(html.plain_table(part.cells)))
        st.caption(part.note)
    st.download_button(
        "What every neuron moves (CSV)", lambda: csv_text(_frame(d)).encode(), "steering.csv", "text/csv",
        on_click="ignore",
    )  # fmt: skip


def _frame(d: Dissection) -> pd.DataFrame:
    frame: pd.DataFrame = d.pushed.to_pandas()
    frame.insert(0, "name", [str(d.neuron_id(i)) for i in range(len(frame))])
    return frame


def page() -> None:
    """Draw the page."""
    d = setup("Steering")
    try:
        neuron = _neuron(d)
        provenance(d)
        title(d, neuron, "Steering", ("pages/tuning.py", "Its tuning"))
        classes = d.target_classes
        if not classes:
            st.html(html.box(html.empty("This network has no classifier, so its neurons push no class.")))
            return
        left, right = st.columns([1, 1.5], gap="medium")
        with left:
            if d.has("steering"):
                _pushes(d, neuron)
            else:
                st.html(html.box(html.empty(
                    "What neurons push has not been measured yet. Write steering: {} into the configuration and run",
                    "and-dissect run CONFIG.yaml --only steering",
                )))  # fmt: skip
            _upstream(d, neuron)
        with right:
            _dial(d, neuron, classes)
            _own_sound(d, neuron, classes)
        if d.has("steering") and "reason" not in d.notes("steering"):
            _network(d)
    except ANDError as error:
        explain(error)


page()
