"""Tables and figures of neurons that follow an acoustic measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.theme import HIGH, LOW, plain, themed
from and_core.records import NeuronId, direction
from and_core.store.dissection import Dissection

SHOWN = 40
MOST = 5
WEAK = 0.2  # correlation below which a measure is not worth a line
NOTE = (
    "A neuron follows a measure where both halves of the recordings choose the same one, its held-out Spearman "
    "correlation is high and significant after correction for all neurons and measures, and no single concept predicts "
    "the activation better."
)


def quantity_table(d: Dissection) -> PaperTable:
    """Return how many neurons follow each measure, and those that follow one most closely."""
    d.require("quantities")
    table, notes = d.quantities.to_pandas(), d.notes("quantities")
    table = table[table["follows"]].copy()
    table["order"] = -table["spearman"].abs()
    rows = [_row(d, r) for r in table.sort_values(["order", "neuron"], kind="stable").to_dict("records")]
    counts = [
        {"measure": d.quantity_words[name]["name"], "neurons": str(number), "unit": d.quantity_words[name]["unit"]}
        for name, number in sorted(notes["told"].items(), key=lambda item: (-item[1], item[0]))
    ]
    found = f"{notes['follow']} of {notes['neurons']} neurons follow one of {len(notes['measures'])} measures. {NOTE}"
    cells = [{name: f"{v:.3g}" if isinstance(v, float) else str(v) for name, v in row.items()} for row in rows[:SHOWN]]
    more = f"The {SHOWN} closest of {len(rows)}; the CSV has all." if len(rows) > SHOWN else ""
    return PaperTable(
        [Part("Neurons that follow a measure", counts, found), Part("The closest", cells, more)],
        rows,
    )


def _row(d: Dissection, row: dict[str, Any]) -> dict[str, Any]:
    neuron, words = d.neuron_id(row["neuron"]), d.quantity_words[row["measure"]]
    return {
        "layer": neuron.layer,
        "unit": neuron.unit,
        "measure": words["name"],
        "says": direction(words["more"], words["less"], row["sign"]),
        "Spearman": float(row["spearman"]),
        "p": float(row["p"]),
        "predicted by measure": float(row["by_measure"]),
        "by best concept": float(row["by_concept"]),
    }


def measures_of(d: Dissection, neuron: NeuronId) -> list[dict[str, str]]:
    """Return the measures that a neuron correlates with most, strongest first, as rows of a table."""
    index = d.index(neuron)
    values = np.asarray(d.quantity_correlations[index], float)
    strength = np.abs(np.nan_to_num(values))
    clips = d.quantity_clips
    return [
        {
            "measure": d.quantity_words[d.quantity_names[q]]["name"],
            "Spearman": f"{values[q]:+.2f}",
            "clips": str(len(clips) - clips[d.quantity_names[q]].null_count),
        }
        for q in np.argsort(-strength, kind="stable")[:MOST].tolist()
        if strength[q] >= WEAK
    ]


def activation_by_measure(d: Dissection, neuron: NeuronId, measure: str, height: int = 260) -> go.Figure:
    """Return activations of a neuron over one measure, a point a clip; clips without the measure are left out, and
    of very many clips some are drawn."""
    clips = d.drawn_clips
    x = d.quantity_clips[measure].to_numpy(zero_copy_only=False).astype(float)[clips]
    y = np.asarray(d.drawn_activations(neuron), float)
    known = np.flatnonzero(np.isfinite(x))
    words = d.quantity_words[measure]
    rising = float(d.quantity_correlations[d.index(neuron), d.quantity_names.index(measure)]) >= 0
    figure = go.Figure(
        go.Scattergl(
            x=x[known],
            y=y[known],
            mode="markers",
            marker={"color": HIGH if rising else LOW, "size": 5, "opacity": 0.55},
            customdata=[plain(d.clips[i].name) for i in clips[known].tolist()],
            hovertemplate="%{customdata}: %{x:.3g}, %{y:.3g}<extra></extra>",
        )
    )
    return themed(figure, f"{words['name']} ({words['unit'].split(',')[0]})", "activation", height)
