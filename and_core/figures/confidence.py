"""Tables and figures of how far stated probabilities can be trusted."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from and_core.errors import DataError
from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.theme import GREY, LEGEND, line_styles, themed
from and_core.store.dissection import Dissection

EARS = {
    "concept": "concept", "clips": "clips", "auroc": "AUROC", "taken_for": "taken for", "taken_share": "of its clips",
    "named_right": "neurons named right",
}  # fmt: skip
CURVE = {"from": "from", "to": "to", "explanations": "explanations", "said": "stated", "hold": "hold"}


def reliability_figure(d: Dissection, height: int = 290) -> go.Figure:
    """Return the share that holds against the stated probability, one line for concepts and one for adjectives, on
    units whose concept, and neurons, that the calibration was not fitted on; dotted, what perfect calibration gives."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": GREY, "dash": "dot"}, hoverinfo="skip"
    )
    for (colour, dash), (name, rows) in zip(line_styles(), d.confidence_reliability.items(), strict=False):
        figure.add_scatter(
            x=[row["said"] for row in rows],
            y=[row["hold"] for row in rows],
            customdata=[[row["explanations"]] for row in rows],
            mode="lines+markers",
            name=name,
            line={"color": colour, "dash": dash},
            hovertemplate="stated %{x:.2f}, holds %{y:.2f} of %{customdata[0]:,}<extra>" + name + "</extra>",
        )
    themed(figure, "stated probability, mean of a bin", "share that holds", height)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1.02])
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def confidence_table(d: Dissection) -> PaperTable:
    """Return stated probabilities beside what holds, and how reliable the ears are where no labels are there.

    Raises
    ------
    DataError
        Nothing was calibrated.
    """
    d.require("confidence")
    curves = d.confidence_reliability
    if not curves:
        raise DataError(f"{d.name!r}: {d.calibration_fault or 'nothing was calibrated'}")
    rows: list[dict[str, Any]] = [
        {"of": name, **{column: row[key] for key, column in CURVE.items()}}
        for name, curve in curves.items()
        for row in curve
    ]
    cells = [{name: value if isinstance(value, str) else f"{value:g}" for name, value in row.items()} for row in rows]
    parts = [Part("Stated probability, and what holds", cells, basis(d))]
    heard = [
        {name: _cell(row[column]) for column, name in EARS.items()}
        for row in d.ears_table
    ]  # fmt: skip
    if heard:
        notes = d.notes("confidence")
        parts.append(
            Part(
                f"How reliable the ears ({notes['ears']}) are, on {notes['measured_on']}",
                heard,
                "AUROC of the concept's score on clips of its label; what these clips are taken for most often, and by "
                "how many of them; the share of simulated neurons of that label that are named right.",
            )
        )
    return PaperTable(parts, rows)


def _cell(value: float | int | str | None) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def basis(d: Dissection) -> str:
    """Return where the probabilities of concepts come from, or why there are none, in whole sentences."""
    if d.calibration_fault is not None:
        return f"No probability of a concept is stated here: {d.calibration_fault}."
    notes = d.notes("confidence")
    text = (
        f"Probabilities were calibrated on {notes['planted']:,} units planted in this network on these clips; on "
        f"concepts that were not fitted they are off by {notes['error']:.2f} on average."
    )
    if notes["by"] == "labels":
        return f"{text} Labels of the clips said what is right."
    return (
        f"{text} The clips have no labels: how often the ears are right was measured on {notes['measured_on']}, where "
        f"they take {100 * notes['ears_right']:.0f} % of the clips for what they are."
    )
