"""Figures and tables of ablation (AND sections 6 and 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from and_core.figures.class_changes import UNITS
from and_core.figures.paper import NETWORKS, TABLE_4
from and_core.figures.tables import NOT_RUN, column_name
from and_core.figures.theme import GREY, HIGH, INK, LEGEND, LOW, PALETTE, plain, themed
from and_core.labels.outputs import probabilities
from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.store.dissection import Dissection

ORDER = ("random", "TAB", "DB", "OCP")
FEWEST = 5  # tested clips of a concept below which nothing is said of its unlearning
ABOUT_UNLEARNING = (
    "Averages over concepts. \u0394A is the change of the concept's own logit on its clips, \u0394R the mean change of "
    "every other class's own logit on its "
    "clips, gap is \u0394R \u2212 \u0394A: larger is better. Fair random ablates as many neurons in the same layers; p "
    "is Wilcoxon's, paired by concept; "
    "brackets hold 95 % bootstrap intervals over concepts. The networks, data and captions differ from the paper's."
)
CURVES = {  # figure -> what it compares
    "a": "Neurons with most nouns, adjectives, verbs or prepositions, or the longest calibrated summary",
    "b": "Neurons with most basic adjectives against most high-level ones",
    "c": "Neurons called by one basic adjective",
}


def layer_counts(titles: Sequence[str], counts: Sequence[int], sizes: Sequence[int]) -> go.Figure:
    """Share of each layer's neurons that is chosen, deepest layer at the bottom; the count stands at the bar."""
    share = [100 * c / s for c, s in zip(counts, sizes, strict=True)]
    hover = [f"{plain(t)}: {c} of {s}" for t, c, s in zip(titles, counts, sizes, strict=True)]
    figure = go.Figure(
        go.Bar(
            x=share,
            y=[plain(t) for t in titles],
            orientation="h",
            marker_color=HIGH,
            text=list(counts),
            textposition="outside",
            cliponaxis=False,
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    themed(figure, "% of the layer", "", 70 + 17 * len(titles))
    figure.update_yaxes(autorange="reversed", tickfont={"size": 10.5})
    figure.update_layout(margin={"l": 150, "r": 30})
    return figure


def dose_figure(rows: Sequence[Mapping[str, Any]], prefix: str = "", height: int = 260) -> go.Figure:
    """Change on the concept and on the others against the number of neurons ablated, the most responsive first."""
    fair = sorted((r for r in rows if r["control"]), key=lambda r: r["count"])
    rows = sorted((r for r in rows if not r["control"]), key=lambda r: r["count"])
    counts = [0, *(r["count"] for r in rows)]
    figure = go.Figure()
    for name, label, colour in (("remaining", "other classes", HIGH), ("ablating", "the concept", LOW)):
        values = [0.0, *(r[prefix + name] for r in rows)]
        if all(math.isnan(v) for v in values[1:]):
            continue
        low, high = ([0.0, *(r[f"{prefix}{name}_{side}"] for r in rows)] for side in ("low", "high"))
        figure.add_scatter(
            x=counts + counts[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor=colour,
            opacity=0.12,
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=counts,
            y=values,
            mode="lines+markers",
            name=label,
            line={"color": colour},
            hovertemplate=f"%{{x}} neurons, {label}: %{{y:.3f}}<extra></extra>",
        )
    for name, colour in (("remaining", HIGH), ("ablating", LOW)):
        if fair and not math.isnan(fair[0][prefix + name]):
            at, y = [0, *(r["count"] for r in fair)], [0.0, *(r[prefix + name] for r in fair)]
            figure.add_scatter(
                x=at,
                y=y,
                mode="lines",
                line={"color": colour, "dash": "dot"},
                showlegend=False,
                hovertemplate="fair random, %{x}: %{y:.3f}<extra></extra>",
            )
    themed(
        figure,
        "neurons ablated, the most responsive first",
        f"change, {UNITS['probabilities' if prefix else 'logits']}",
        height,
    )
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def importance_figure(
    rows: Sequence[Mapping[str, Any]], figure_name: str, accuracy: float, height: int = 330, measure: str = "accuracy"
) -> go.Figure:
    """Return Fig. 4 a, b or c: accuracy against the share really ablated, mean and spread over seeds.

    Dotted, as many at random in the same layers.
    """
    figure = go.Figure()
    criteria = list(dict.fromkeys(r["criterion"] for r in rows if r["figure"] == figure_name))
    colours = dict(zip(criteria, (c for c in PALETTE if c != PALETTE[-1]), strict=False)) | {"random": INK}
    for criterion in ["random", *criteria]:
        for control in (False, True):
            points = [
                r
                for r in rows
                if r["criterion"] == criterion and r["control"] is control and r["figure"] in (figure_name, "")
            ]
            if not points or all(r["count"] == 0 for r in points):
                continue
            x, mean, low, high = _by_share(points)
            label = f"{criterion}, fair random" if control else criterion
            figure.add_scatter(
                x=[0.0, *x],
                y=[accuracy, *mean],
                mode="lines+markers",
                name=label,
                opacity=0.55 if control else 1.0,
                showlegend=not control,
                line={
                    "color": colours.get(criterion, GREY),
                    "dash": "dot" if control or criterion == "random" else "solid",
                },
                marker={"size": 5},
                error_y=None
                if control
                else {
                    "type": "data",
                    "symmetric": False,
                    "array": [0, *(h - m for h, m in zip(high, mean, strict=True))],
                    "arrayminus": [0, *(m - v for m, v in zip(mean, low, strict=True))],
                    "thickness": 1,
                    "width": 3,
                },
                hovertemplate=f"{plain(label)}, %{{x:.1f}} %: %{{y:.1f}} %<extra></extra>",
            )
    themed(figure, "hidden neurons ablated, %", f"{measure} on the tested clips, %", height)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def _by_share(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float], list[float], list[float]]:
    shares = sorted({r["share"] for r in rows})
    groups = [[r for r in rows if r["share"] == share] for share in shares]
    accuracy = [np.array([r["accuracy"] for r in group]) for group in groups]
    x = [100 * float(np.mean([r["ablated"] for r in group])) for group in groups]
    return (
        x,
        [float(a.mean()) for a in accuracy],
        [float(a.min()) for a in accuracy],
        [float(a.max()) for a in accuracy],
    )


def importance_table(rows: Sequence[Mapping[str, Any]], accuracy: float) -> list[dict[str, str]]:
    """Return the loss of accuracy in points, by criterion and share: mean over seeds, fair random in brackets."""
    shares = sorted({r["share"] for r in rows})
    table = []
    for figure, criterion in dict.fromkeys((r["figure"], r["criterion"]) for r in rows):
        cells = {"figure": f"4 {figure}" if figure else "4 a, b, c", "criterion": criterion}
        for share in shares:
            losses = {
                c: [
                    r
                    for r in rows
                    if (r["figure"], r["criterion"], r["share"], r["control"]) == (figure, criterion, share, c)
                ]
                for c in (False, True)
            }
            mean = {c: np.mean([r["accuracy"] for r in group]) - accuracy for c, group in losses.items() if group}
            really = 100 * np.mean([r["ablated"] for r in losses[False]])
            short = "" if really > 99 * share else f", {really:.1f} % ablated"
            fair = f" ({mean[True]:+.1f})" if True in mean else ""
            cells[f"{100 * share:g} %"] = "none has it" if really == 0 else f"{mean[False]:+.1f}{fair}{short}"
        table.append(cells)
    return table


def tested_clips(d: Dissection) -> list[int]:
    """Return how many tested clips each class of the network has, for those that have any."""
    return [int(count) for count in d.tested_truth.sum(0) if count]


def tested_clips_of(d: Dissection, concept: str) -> int:
    """Return how many tested clips have a class of a concept."""
    return int(d.tested_truth[:, list(classes_of_concept(class_map_of(d), d.network_classes, concept))].any(1).sum())


def tested_on(counts: Sequence[int], clips: int | None = None) -> str:
    """Say on how many clips of how many classes an ablation was tested, from the clips of each class; their sum, where
    a clip has one."""
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"tested on {sum(counts) if clips is None else clips} clips of {len(counts)} classes, {each} a class"


def unlearning_rows(networks: Sequence[Dissection]) -> list[dict[str, Any]]:
    """Return Table 4 as rows: one per network, strategy and number of neurons; the paper's follow."""
    rows = []
    for d in networks:
        counts = tested_clips(d)
        tested = {"tested_clips": len(d.tested_clips), "tested_classes": len(counts)}
        for row in d.unlearning_averages["strategies"]:
            rows.append({"network": column_name(d), "source": "ours", **row, **tested})
    for (network, strategy), (count, ablating, remaining, gap) in TABLE_4.items():
        rows.append(
            {
                "network": network,
                "source": "paper",
                "strategy": strategy,
                "number": "own",
                "concepts": 50,
                "count": count,
                "ablating": ablating,
                "remaining": remaining,
                "gap": gap,
            }
        )
    return rows


def unlearning_table(networks: Sequence[Dissection]) -> list[dict[str, str]]:
    """Return Table 4: per network and strategy the average number ablated and the changes.

    Beside ours the fair random gap and the paired test.
    """
    rows = unlearning_rows(networks)
    table = []
    for row in sorted(
        (r for r in rows if r["source"] == "ours"),
        key=lambda r: (r["network"], r["number"] == "equal", ORDER.index(r["strategy"])),
    ):
        control = (
            {
                "fair random gap": _signed(row["fair_gap"]),
                "gap beyond fair random": _gap(row, "difference"),
                "p": _p(row["p"]),
            }
            if "fair_gap" in row
            else {}
        )
        table.append(
            {
                "network": row["network"],
                "strategy": row["strategy"] + (", equal number" if row["number"] == "equal" else ""),
                "neurons": f"{row['count']:.0f}",
                "\u0394A": _signed(row["ablating"]),
                "\u0394R": _signed(row["remaining"]),
                "gap": _gap(row, "gap"),
                "gap in probability": _gap(row, "p_gap", 3),
                **{"fair random gap": "", "gap beyond fair random": "", "p": ""},
                **control,
                "concepts": f"{row['concepts']}" + (f", {row['none']} without neuron" if row["none"] else ""),
                "tested on": f"{row['tested_clips']} clips of {row['tested_classes']} classes",
            }
        )
    return table


def paper_unlearning_table() -> list[dict[str, str]]:
    """Return Table 4 as the paper prints it: neurons, change on the concept, on the others, gap."""
    return [
        {"strategy": s, **{f"paper {n}": "{} / {:+.2f} / {:+.2f} / {:+.2f}".format(*TABLE_4[(n, s)]) for n in NETWORKS}}
        for s in ORDER
    ]


def verdicts(d: Dissection) -> list[str]:
    """Say what this data shows of the paper's ranking, a sentence per comparison.

    Nothing where a concept has fewer than :data:`FEWEST` tested clips.
    """
    averages, clips = d.unlearning_averages, {concept: tested_clips_of(d, concept) for concept in d.unlearning_notes}
    few = sorted(concept for concept, count in clips.items() if count < FEWEST)
    if few:
        which = ", ".join(f"{name.replace('_', ' ')} ({clips[name]})" for name in few[:4]) + (
            " and others" if len(few) > 4 else ""
        )
        return [
            f"No verdict: fewer than {FEWEST} tested clips of {which}. More folds in unlearning.test_folds would give "
            "more."
        ]
    lines = []
    for row in averages["strategies"]:
        if row["number"] == "own" and row.get("difference") is not None:
            p = f", p {_p(row['p'])}" if row["p"] is not None else ""
            claim = _claim(row, "more selective than fair random", "less selective than fair random")
            lines.append(
                f"{row['strategy']}: {claim} (gap beyond it {_gap(row, 'difference')}{p}, {row['pairs']} concepts)."
            )
    for pair in averages["pairs"]:
        if pair["difference"] is None:
            continue
        p = "" if pair["p"] is None else f", p {_p(pair['p'])}"
        verdict = _claim(pair, f"{pair['one']} is more selective", f"{pair['other']} is more selective")
        lines.append(
            f"{pair['one']} against {pair['other']} at equal numbers ({pair['count']:.0f} neurons): {verdict} "
            f"({_gap(pair, 'difference')}{p})."
        )
    return lines


def _claim(row: Mapping[str, Any], more: str, less: str) -> str:
    """Return what a paired difference shows: its interval leaves out nothing and the test agrees, or it only points
    that way, or neither."""
    low, high, p = row["difference_low"], row["difference_high"], row["p"]
    if low is None or low <= 0 <= high:
        return "no difference is shown"
    side = more if low > 0 else less
    return side if p is not None and p < 0.05 else f"the interval says {side}, the test does not"


def _gap(row: Mapping[str, Any], name: str, digits: int = 2) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return _signed(row[name], digits) + (
        f" [{low:+.{digits}f}, {high:+.{digits}f}]" if low is not None and high is not None else ""
    )


def _signed(value: float | None, digits: int = 2) -> str:
    return NOT_RUN if value is None or math.isnan(value) else f"{value:+.{digits}f}"


def _p(p: float | None) -> str:
    return "" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0")


def clip_verdict(
    classes: Sequence[str], logits: np.ndarray, multi_label: bool = False, among: Sequence[int] = ()
) -> tuple[str, float]:
    """Return what the network takes a clip for (among some classes), and with which probability."""
    p = probabilities(logits, multi_label)
    best = max(among, key=lambda c: p[c]) if len(among) else int(p.argmax())
    return classes[best], float(p[best])
