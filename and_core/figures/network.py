"""Figures of a network as a whole: words, clusters, interpretability, acoustics.

One network or several side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from and_core.figures.theme import GREY, HIGH, INK, LEGEND, LOW, line_styles, plain, themed

KINDS = {
    "adjective": "adjectives",
    "noun": "nouns",
    "verb": "verbs",
    "preposition": "prepositions",
    "tokens": "words in the summary",
}


def adjective_bars(
    counts: Mapping[str, Sequence[Mapping[str, Any]]], sizes: Mapping[str, int], top: int = 20, height: int = 330
) -> go.Figure:
    """Return Figs. 3 and 9: share of neurons that each of the most frequent adjectives is said of, one colour a
    network.

    Parameters
    ----------
    counts : mapping
        Network -> its adjectives, as :func:`and_core.analyze.words.distribution` gives them.
    sizes : mapping
        Network -> its neurons.
    """
    total: dict[str, float] = {}
    for name, rows in counts.items():
        for row in rows:
            total[row["word"]] = total.get(row["word"], 0) + row["neurons"] / max(1, sizes[name])
    words = sorted(total, key=lambda w: (-total[w], w))[:top]
    figure = go.Figure()
    for (colour, _), (name, rows) in zip(line_styles(), counts.items(), strict=False):
        count = {row["word"]: row["neurons"] for row in rows}
        figure.add_bar(
            x=[plain(w) for w in words],
            y=[100 * count.get(w, 0) / max(1, sizes[name]) for w in words],
            name=plain(name, spaces=False),
            marker_color=colour,
            customdata=[count.get(w, 0) for w in words],
            hovertemplate="%{x}: %{customdata} neurons, %{y:.1f} %<extra></extra>",
        )
    themed(figure, "", "neurons, %", height)
    figure.update_layout(barmode="group", showlegend=len(counts) > 1, legend=LEGEND)
    figure.update_xaxes(tickangle=-45)
    figure.update_layout(margin={"b": 90})
    return figure


def words_by_block(networks: Mapping[str, Mapping[str, Any]], kind: str, height: int = 290) -> go.Figure:
    """Return Fig. 5: mean number of words of a kind a neuron in each block, with the linear fit.

    Bars are 95 % bootstrap intervals over neurons.
    """
    figure = go.Figure()
    for (colour, _), (name, row) in zip(line_styles(), networks.items(), strict=False):
        if not row["blocks"]:
            continue
        mean = np.array(row["means"])
        label = plain(name, spaces=False)
        figure.add_scatter(
            x=row["blocks"],
            y=mean,
            mode="markers",
            name=label,
            marker={"color": colour, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.array(row["high"]) - mean,
                "arrayminus": mean - np.array(row["low"]),
                "thickness": 1,
            },
            hovertemplate=f"{label}, block %{{x}}: %{{y:.2f}}<extra></extra>",
        )
        if row["slope"] is not None:
            ends = [row["blocks"][0], row["blocks"][-1]]
            line = {"color": colour, "dash": "dot"}
            figure.add_scatter(
                x=ends,
                y=[row["intercept"] + row["slope"] * b for b in ends],
                mode="lines",
                line=line,
                showlegend=False,
                hoverinfo="skip",
            )
    themed(figure, "block", f"{KINDS[kind]} per neuron, mean", height)
    figure.update_layout(showlegend=len(networks) > 1, legend=LEGEND)
    figure.update_xaxes(dtick=1)
    return figure


def words_by_kind(networks: Mapping[str, Sequence[Mapping[str, Any]]], kind: str, height: int = 290) -> go.Figure:
    """Return the mean number of words of a kind a neuron in each kind of layer, all depths together.

    Parameters
    ----------
    networks : mapping
        Network -> rows by layer, as :func:`and_core.analyze.words.by_layer` gives them.
    kind : str
        A key of `KINDS`.
    """
    figure = go.Figure()
    for (colour, _), (name, rows) in zip(line_styles(), networks.items(), strict=False):
        sums: dict[str, list[float]] = {}
        for row in rows:
            if row[kind] is None:
                continue
            total = sums.setdefault(row["kind"].replace("_", " "), [0.0, 0.0])
            total[0] += row[kind] * row["neurons"]
            total[1] += row["neurons"]
        label = plain(name, spaces=False)
        figure.add_bar(
            x=[plain(k) for k in sums],
            y=[total / max(1.0, neurons) for total, neurons in sums.values()],
            name=label,
            marker_color=colour,
            customdata=[int(neurons) for _, neurons in sums.values()],
            hovertemplate=f"{label}, %{{x}}: %{{y:.2f}}, %{{customdata:,}} neurons<extra></extra>",
        )
    themed(figure, "kind of layer", f"{KINDS[kind]} per neuron, mean", height)
    figure.update_layout(
        barmode="group",
        showlegend=len(networks) > 1,
        legend=LEGEND,
    )
    kinds = dict.fromkeys(str(x) for bar in figure.data for x in bar.x)
    figure.update_xaxes(
        categoryorder="array", categoryarray=sorted(kinds, key=lambda kind: kind == "fc")
    )  # the classifier last
    return figure


def elbow_curve(counts: Sequence[int], inertia: Sequence[float], chosen: int, height: int = 240) -> go.Figure:
    """Sum of squared distances to the centres against the number of clusters; the chosen number in vermilion."""
    figure = go.Figure(
        go.Scatter(
            x=list(counts),
            y=list(inertia),
            mode="lines+markers",
            line={"color": HIGH},
            hovertemplate="%{x} clusters: %{y:.0f}<extra></extra>",
        )
    )
    if chosen in counts:
        figure.add_scatter(
            x=[chosen],
            y=[inertia[list(counts).index(chosen)]],
            mode="markers",
            marker={"color": LOW, "size": 12},
            hoverinfo="skip",
        )
    return themed(figure, "clusters", "sum of squared distances", height)


def word_boxes(values: np.ndarray, word: np.ndarray, name: str, unit: str, height: int = 250) -> go.Figure:
    """Return Fig. 8: a measure of the high clips of neurons with and without a word."""
    finite = np.isfinite(values)
    figure = go.Figure()
    for mask, label, colour in ((word, f"called {name}", HIGH), (~word, "others", GREY)):
        shown = values[finite & mask]
        if len(shown):
            quartiles = np.percentile(shown, [5, 25, 50, 75, 95])
            figure.add_box(
                x=[f"{plain(label)} ({len(shown):,})"],
                lowerfence=[quartiles[0]],
                q1=[quartiles[1]],
                median=[quartiles[2]],
                q3=[quartiles[3]],
                upperfence=[quartiles[4]],
                marker_color=colour,
                line={"color": INK if colour == GREY else colour},
            )
    return themed(figure, "", unit, height)
