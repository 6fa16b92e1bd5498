"""Tables and figures of how good explanations are: scores, planted neurons, checks of the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from and_core.errors import DataError
from and_core.figures.gallery import together
from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.theme import GREY, LEGEND, line_styles, plain, themed
from and_core.store.dissection import Dissection
from and_core.store.score_results import OUTCOMES

SAID = {
    "DB": "DB (captions)",
    "TAB": "TAB (sound)",
    "ICL": "ICL (language model)",
    "SUM": "summary",
    "OPEN": "open concepts",
}
SURE_NOTE = (
    "Concepts: at the threshold where 80 % of the planted ones are confident and right. Summaries and "
    "adjectives: at the dashboard's threshold."
)
CURVE_NOTE = (
    "Of the explanations given a probability between the first two columns, how many name the unit's best concept by "
    "label. "
    "The probability was calibrated on read-outs of this network's activations, not on these units."
)
QUANTITY_NOTE = (
    "Units that are said to follow an acoustic measure. Right: the planted measure, or one that goes with it at a rank "
    "correlation of .9 or more, with the right sign. Spearman .8+: the unit follows its own measure on the probing set."
)
FORM_NOTE = (
    "Told: units that are said to mean several things. Right: the very composition that was planted; of kinds of one "
    "meaning, that none is said. Fire as planted: on the probing set AUROC .9 or more, and of two halves of a meaning "
    "each told among the clips of the other at .7 or more. Fully: the headline says all that was planted; partly: a "
    "part of it; wrong: only other things."
)
METRIC = {"pearson": "Pearson correlation", "auprc": "AUPRC"}
BESIDE = {
    "shuffled_explanation": "another neuron's",
    "shuffled_activations": "shuffled activations",
    "most_common": "the layer's most common",
    "empty": "empty",
}


def score_table(d: Dissection) -> PaperTable:
    """Return the mean score by network, method and metric over all explained neurons, with baselines."""
    if not d.scored_methods:
        raise DataError(f"{d.name!r}: {d.notes('scores').get('reason', 'nothing was scored')}")
    rows: list[dict[str, Any]] = []
    for x in (x for x in together(d, "scores") if x.scored_methods):
        rows += [{"network": x.name, **row} for row in x.score_layers.to_pylist()]
    cells = []
    for name, method, metric in dict.fromkeys((r["network"], r["method"], r["metric"]) for r in rows):
        scored = [r for r in rows if (r["network"], r["method"], r["metric"]) == (name, method, metric)]
        known, total = [r for r in scored if r["explained"]], sum(r["explained"] for r in scored)

        def mean(column: str, known: list[dict[str, Any]] = known, total: int = total) -> str:
            return f"{sum(r[column] * r['explained'] for r in known) / total:.3f}" if total else "-"

        share = f"{100 * total / max(1, sum(r['neurons'] for r in scored)):.0f}"
        cells.append(
            {
                "network": name,
                "method": method,
                "metric": metric,
                "neurons explained %": share,
                "score": mean("score"),
                **{label: mean(column) for column, label in BESIDE.items()},
            }
        )
    notes = d.notes("scores")
    note = (
        f"Explanations made from one half of the clips, scored on the other ({notes['clips'][0]} and "
        f"{notes['clips'][1]} clips), by similarity to captions; DB "
        f"and TAB by {notes['similarity']}. Beside them what shuffled and trivial explanations score."
    )
    return PaperTable([Part("Held-out scores", cells, note)], rows)


def scores_by_depth(
    networks: Mapping[str, Sequence[Mapping[str, Any]]], method: str, metric: str, height: int = 290
) -> go.Figure:
    """Return the mean held-out score of a method by block, one line a network; dotted, another neuron's explanation.

    Parameters
    ----------
    networks : mapping
        Network -> rows of the table `scores/layers`.
    """
    figure = go.Figure()
    null: dict[int, list[float]] = {}
    for (colour, dash), (name, rows) in zip(line_styles(), networks.items(), strict=False):
        explained_rows = [
            r
            for r in rows
            if r["method"] == method and r["metric"] == metric and r["block"] is not None and r["explained"]
        ]
        blocks = sorted({r["block"] for r in explained_rows})

        def mean(block: int, column: str, explained_rows: list[Mapping[str, Any]] = explained_rows) -> float:
            inside = [r for r in explained_rows if r["block"] == block]
            return float(np.average([r[column] for r in inside], weights=[r["explained"] for r in inside]))

        for block in blocks:
            null.setdefault(block, []).append(mean(block, "shuffled_explanation"))
        label = plain(name, spaces=False)
        figure.add_scatter(
            x=blocks,
            y=[mean(b, "score") for b in blocks],
            mode="lines+markers",
            name=label,
            line={"color": colour, "dash": dash},
            hovertemplate=f"{label}, block %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    if null:
        figure.add_scatter(
            x=sorted(null),
            y=[float(np.mean(null[b])) for b in sorted(null)],
            mode="lines",
            name="another neuron's explanation",
            line={"color": GREY, "dash": "dot"},
            hovertemplate="another neuron's: %{y:.3f}<extra></extra>",
        )
    themed(figure, "block", METRIC[metric], height)
    figure.update_xaxes(dtick=1)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def planted_table(d: Dissection) -> PaperTable:
    """Return what was planted, and what each module and method says of it."""
    d.require("planted")
    rows, notes = d.planted_rows, d.notes("planted")
    about = (
        f"{notes['units']} units with a meaning, {notes['fires_as_planted']} of which fire on it (AUROC .9 or more "
        "on the probing set)."
    )
    grid: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        if "top-1 %" in row:
            units = f"{row['units']} ({row['number']})"
            cells = grid.setdefault(
                (row["planted"], units, row["method"]),
                {"planted": row["planted"], "units": units, "method": row["method"]},
            )
            top5 = row.get("top-5 %")
            cells[row["similarity"] or "named"] = f"{row['top-1 %']:.1f}" + (
                f" / {top5:.1f}" if top5 is not None else ""
            )
    columns = dict.fromkeys(name for cells in grid.values() for name in cells)
    heard = [
        {
            "planted": r["planted"],
            "units": f"{r['units']} ({r['number']})",
            **{k: f"{r[k]:.1f}" for k in r if k.endswith("%")},
        }
        for r in rows
        if "recall %" in r
    ]
    sure = [
        {k: v if isinstance(v, str) else "-" if v is None else f"{v:.3g}" for k, v in row.items()}
        for row in _ordered(d.planted_confident, "method", "threshold")
    ]
    keys = ("from", "to", "explanations", "said", "hold")
    curves = [
        {"method": name, **{k: f"{row[k]:g}" for k in keys}}
        for name, curve in d.planted_reliability.items()
        for row in curve
    ]
    precise = (
        "Precision counts the planted word alone; most other words said are true of the neuron's clips by their "
        "measures."
    )
    lost = [
        {k: v if isinstance(v, str) else "-" if v is None else f"{v:.1f}" for k, v in row.items()}
        for row in _ordered(d.planted_lost, "step", "all %")
    ]
    return PaperTable(
        [
            Part(
                "Planted neurons: the concept, top-1 / top-5 %",
                [{c: cells.get(c, "") for c in columns} for cells in grid.values()],
                about,
            ),
            Part("Planted neurons: the adjective", heard, precise),
            *_planted_quantities(d),
            *_planted_forms(d),
            Part("Where planted adjectives get lost", lost, "Share that is still there after each step."),
            Part("Named with confidence", sure, SURE_NOTE),
            Part("Confidence", curves, CURVE_NOTE),
        ],
        rows,
    )


def _planted_quantities(d: Dissection) -> list[Part]:
    """Return how many planted units are told to follow a measure; nothing where none were compared."""
    columns = ("planted", "units", "number", "told %", "right %")
    cells = [
        {c: "-" if row[c] is None else f"{row[c]:.1f}" if c.endswith("%") else str(row[c]) for c in columns}
        for row in d.planted_quantity_rows
    ]
    return [Part("Planted neurons: the quantity", cells, QUANTITY_NOTE)] if cells else []


def _planted_forms(d: Dissection) -> list[Part]:
    """Return how many planted units get the composition that they mean; nothing where none were looked for."""
    rows = d.planted_form_rows
    columns = ("planted", "units", "number", "told %", "right %", *(f"{o} %" for o in OUTCOMES))
    known = [c for c in columns if rows and c in rows[0]]  # a dissection made before tells less
    cells = [
        {c: "-" if row[c] is None else f"{row[c]:.1f}" if c.endswith("%") else str(row[c]) for c in known}
        for row in rows
    ]
    return [Part("Planted neurons: several meanings", cells, FORM_NOTE)] if cells else []


def _ordered(rows: list[dict[str, Any]], *first: str) -> list[dict[str, Any]]:
    """Return rows with some columns before the others; a store of JSON sorts them by name."""
    return [{**{name: row[name] for name in first}, **row} for row in rows]


def sanity_table(d: Dissection) -> PaperTable:
    """Return which scores notice that an explanation was made worse."""
    d.require("scores")
    rows = _ordered(d.score_sanity, "score", "passes") if d.scored_methods else []
    if not rows:
        raise DataError(f"{d.name!r}: {d.notes('scores').get('reason', 'nothing was scored')}")
    cells = [
        {k: f"{v:.0f}" if isinstance(v, float) else {True: "yes", False: "no"}.get(v, str(v)) for k, v in row.items()}
        for row in rows
    ]
    note = (
        "Share of neurons whose score falls by a tenth of its distance from chance or more when half of the labels are "
        "missing, or as many wrong ones "
        "are added (NeuronEval's checks); a score passes where at least 90 % of the neurons notice, everywhere."
    )
    return PaperTable([Part("Which scores notice a worse explanation", cells, note)], rows)
