"""Figures and the table of steering: classes by dose, and headlines beside what neurons move, by layer."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.theme import GREY, HIGH, LEGEND, LOW, PALETTE, themed
from and_core.names import readable
from and_core.query.steering import DoseResponse
from and_core.store.dissection import Dissection

SHOWN = 5  # classes
NOTE = (
    "Headlines: neurons named with confidence after one of the network's classes. Their class moved up most: of one "
    "standard deviation more of the neuron, added at every position, by gradients on {clips} clips; interval: 95 %, "
    "Wilson; by chance: if the same headlines stood at each other's neurons. Move nothing: no class further than 95 % "
    "of {directions} random directions of the same length do. Dials: rank correlation of what gradients say with what "
    "turning {checked} neurons of the layer does to all classes; over all layers {overall}."
)


def dose_figure(response: DoseResponse, classes: list[str], height: int = 300) -> go.Figure:
    """Return the probabilities of the classes that are moved most by dose, with what random directions move."""
    figure = go.Figure()
    moved = np.abs(response.shares - response.base).max(0)
    for place, c in enumerate(np.argsort(-moved, kind="stable")[:SHOWN].tolist()):
        colour = PALETTE[place % len(PALETTE)]
        figure.add_scatter(
            x=response.doses, y=response.shares[:, c], name=readable(classes[c]), mode="lines+markers",
            line={"color": colour, "width": 2}, marker={"size": 6},
            hovertemplate="%{x:+g} SD: %{y:.1%}<extra>" + readable(classes[c]) + "</extra>",
        )  # fmt: skip
    known = np.isfinite(response.random).all(1)
    widest = np.nanmax(response.random[known], axis=1)
    top = response.base.max()
    figure.add_scatter(
        x=response.doses[known], y=np.full(int(known.sum()), top), mode="markers", name="random directions, at most",
        marker={"color": GREY, "symbol": "line-ew-open", "size": 10}, error_y={"array": widest, "color": GREY},
        hovertemplate="random directions change no class by more than %{customdata:.1%}<extra></extra>",
        customdata=widest,
    )  # fmt: skip
    themed(figure, "added to the neuron, SD", "mean probability", height)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def agreement_figure(d: Dissection, height: int = 340) -> go.Figure:
    """Return by layer the share of confident headlines whose class is the one moved up most, with its interval and
    chance."""
    rows = [row for row in d.steering_layers if row["headlines"]]
    names = [row["layer"] for row in rows]
    share = np.array([row["agree"] / row["headlines"] for row in rows])
    figure = go.Figure(
        go.Bar(
            x=names, y=share, marker={"color": HIGH}, name="class moved up most",
            error_y={
                "array": [row["high"] - s for row, s in zip(rows, share, strict=True)],
                "arrayminus": [s - row["low"] for row, s in zip(rows, share, strict=True)],
                "thickness": 1,
            },
            customdata=[[row["agree"], row["headlines"]] for row in rows],
            hovertemplate="%{x}: %{customdata[0]} of %{customdata[1]}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_scatter(
        x=names, y=[row["chance"] for row in rows], mode="markers", name="by chance",
        marker={"color": LOW, "symbol": "line-ew-open", "size": 16, "line": {"width": 3}},
    )  # fmt: skip
    themed(figure, "", "share of headlines", height)
    figure.update_xaxes(automargin=True, tickangle=-35)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def steering_table(d: Dissection) -> PaperTable:
    """Return by layer how many headlines name the class that the neuron moves most, and the check by dials."""
    d.require("steering")
    notes = d.notes("steering")
    if "reason" in notes:
        return PaperTable([Part("Headlines and what neurons move", [], f"{d.name!r}: {notes['reason']}.")], [])
    cells = []
    for row in d.steering_layers:
        n = row["headlines"]
        cells.append(
            {
                "layer": row["layer"],
                "neurons": str(row["neurons"]),
                "headlines": str(n),
                "their class moved up most": f"{100 * row['agree'] / n:.0f} %" if n else "-",
                "interval": f"{100 * row['low']:.0f} to {100 * row['high']:.0f} %" if n else "-",
                "by chance": f"{100 * row['chance']:.0f} %" if n else "-",
                "move nothing": f"{100 * row['inert'] / n:.0f} %" if n else "-",
                "dials": "-" if row["spearman"] is None else f"{row['spearman']:.2f}",
            }
        )
    return PaperTable(
        [
            Part(
                "Headlines and what neurons move",
                cells,
                NOTE.format(**notes, overall="-" if notes["spearman"] is None else f"{notes['spearman']:.2f}"),
            )
        ],
        d.steering_layers,
    )
