"""What pages say of a neuron's pushes."""

from __future__ import annotations

import streamlit as st

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.figures.steering import dose_figure
from and_core.figures.theme import EXPORT
from and_core.names import readable
from and_core.query.steering import names_what_it_moves, pushed_classes
from pages.ui import html
from pages.ui.setup import explain, fold


def sentence(d: Dissection, neuron: NeuronId) -> str:
    """Return, as HTML, which classes the neuron moves most, and whether its headline names the first."""
    rows = pushed_classes(d, neuron, len(d.target_classes or []))
    if not rows:
        return "What it pushes is not known: it is dead, or of attention heads."
    index = d.index(neuron)
    up, down = max(rows, key=lambda row: row[1]), min(rows, key=lambda row: row[1])
    effective = d.pushed["effective"][index].as_py()
    made = (
        f"One standard deviation more of it moves <mark>{html.text(readable(up[0]))}</mark> up most (logit "
        f"{up[1]:+.2f}) and {html.text(readable(down[0]))} down ({down[1]:+.2f})."
    )
    if not effective:
        made += " That is no more than a random direction of its layer does."
    named = names_what_it_moves(d, index) if d.has("explanations") else None
    if named is not None:
        made += (
            " It is what its headline names."
            if named
            else " Its headline names another: it fires on that, and does this."
        )
    return made


def line(d: Dissection, neuron: NeuronId) -> None:
    """Draw one line on what the neuron pushes, with a link to its dial."""
    if not d.has("steering") or "reason" in d.notes("steering"):
        return
    link = html.neuron_link(d.name, neuron).replace("/neurons?", "/steering?", 1)
    body = f'{sentence(d, neuron)} <a href="{link}" target="_self">Turn it</a>'
    st.html(html.heading("What it does to the decision", "", "steering") + html.box(f"<p>{body}</p>"))
    opened = fold("Classes by dose", "by_dose")
    if opened.open:  # the network runs for it
        with opened:
            _small_curve(d, neuron)


def _small_curve(d: Dissection, neuron: NeuronId) -> None:
    from and_core.steer.live import dose_response  # here, so that browsing loads no torch

    try:
        with st.spinner("Turning the neuron up and down"):
            figure = dose_figure(dose_response(d, neuron), d.target_classes, 330)
    except ANDError as error:
        explain(error, "by dose")
        return
    st.plotly_chart(figure, config=EXPORT, theme=None, key="small_dose")


def summary(d: Dissection) -> str:
    """Return how often headlines name what neurons move, over all hidden layers."""
    rows = [row for row in d.steering_layers if row["headlines"] and row["layer"] != "fc"]
    total, agree = sum(row["headlines"] for row in rows), sum(row["agree"] for row in rows)
    inert = sum(row["inert"] for row in rows)
    if not total:
        return "No neuron of a hidden layer is named with confidence after one of the network's classes."
    return (
        f"Of {total:,} hidden neurons that are named with confidence after a class, {agree / total:.0%} move that "
        f"class up most. {inert / total:.0%} move no class further than random directions of the same length do: what "
        "they fire on is right, and by itself decides little."
    )
