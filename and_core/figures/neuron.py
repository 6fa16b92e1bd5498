"""Figures of one neuron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from and_core.figures.theme import GREY, HELD, HIGH, LOW, plain, themed


def activation_histogram(
    values: np.ndarray,
    labels: Sequence[Sequence[str]],
    highlight: str | None = None,
    bins: int = 40,
    height: int = 190,
    own: float | None = None,
) -> go.Figure:
    """Return all activations of a neuron over the probing set, one class in colour.

    Parameters
    ----------
    values : (N,) float array
        One activation per clip, in the network's own unit.
    labels : sequence of sequence of str, N
        Class of each clip.
    highlight : str, optional
        Class drawn in blue on top of the others.
    own : float, optional
        Activation on a sound of the user's own, drawn as a line.
    """
    edges = np.histogram_bin_edges(values, bins=bins)
    highlighted = (
        np.array([highlight in own for own in labels]) if highlight is not None else np.zeros(len(values), bool)
    )
    centre, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    figure = go.Figure()
    for mask, colour, name in (
        (~highlighted, GREY, "other clips" if highlighted.any() else "clips"),
        (highlighted, HIGH, highlight or ""),
    ):
        if mask.any():
            counts = np.histogram(values[mask], edges)[0]
            figure.add_bar(
                x=centre,
                y=counts,
                width=width * 0.94,
                marker_color=colour,
                name=plain(name),
                customdata=[plain(name)] * len(counts),
                hovertemplate="%{x:.3g}: %{y} %{customdata}<extra></extra>",
            )
    if own is not None:
        figure.add_vline(
            x=own,
            line={"color": HELD, "width": 2},
            annotation={"text": "your sound", "font": {"color": HELD, "size": 12}},
        )
    figure.update_layout(barmode="stack")
    return themed(figure, "activation (the network's own unit)", "clips", height)


def class_means_figure(means: dict[str, float], most: int = 8, height: int = 230) -> go.Figure:
    """Return the classes with the highest and lowest mean activation.

    Blue above the mean of all classes, vermilion below.
    """
    order = sorted((m, c) for c, m in means.items() if m == m)
    shown = order if len(order) <= 2 * most else order[:most] + order[-most:]
    middle = sum(m for m, _ in order) / max(1, len(order))
    figure = go.Figure(go.Bar(
        x=[m for m, _ in shown], y=[plain(c) for _, c in shown], orientation="h",
        marker_color=[HIGH if m > middle else LOW for m, _ in shown], hovertemplate="%{y}: %{x:.3g}<extra></extra>",
    ))  # fmt: skip
    themed(figure, "mean activation (the network's own unit)", "", height + 9 * len(shown))
    figure.update_layout(margin={"l": 120})
    return figure


def activations_together(
    first: np.ndarray, second: np.ndarray, names: Sequence[str], titles: tuple[str, str], height: int = 300
) -> go.Figure:
    """Return the activations of two neurons on the same clips, one against the other.

    Parameters
    ----------
    first, second : (N,) float array
        One activation per clip, in each network's own unit.
    names : sequence of str, N
        What each clip is called.
    titles : tuple of str
        What each neuron is called.
    """
    figure = go.Figure(
        go.Scattergl(
            x=first,
            y=second,
            mode="markers",
            marker={"size": 5, "color": HIGH, "opacity": 0.45},
            customdata=[plain(name) for name in names],
            hovertemplate="%{customdata}: %{x:.3g}, %{y:.3g}<extra></extra>",
        )
    )
    return themed(figure, plain(titles[0], spaces=False), plain(titles[1], spaces=False), height)
