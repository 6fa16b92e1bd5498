"""The map of neurons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc
from plotly.colors import sample_colorscale

from and_core.figures.theme import GREY, INK, PALETTE, plain, themed

MOST = 6  # colours that can be told apart; the rest is grey


def neuron_map(
    coordinates: np.ndarray,
    groups: Sequence[str | None],
    titles: Sequence[str] | np.ndarray,
    highlight: np.ndarray | None = None,
    ordered: Sequence[str] = (),
    rest: str = "others",
    height: int = 560,
) -> go.Figure:
    """Return all neurons as points, the largest groups in colour.

    Parameters
    ----------
    coordinates : (R, 2) float
        NaN where a neuron has no place.
    groups : sequence of str or None, R
        What each is coloured by; None and all but the most frequent are grey.
    titles : sequence of str, R
        Name of each neuron, for the hover; its number travels as `customdata`.
    highlight : (n,) int, optional
        Neurons drawn on top.
    rest : str
        What the grey points are called.
    ordered : sequence of str, optional
        Groups that have an order, such as blocks: all of them in colour, along a scale.
    """
    placed = np.isfinite(coordinates).all(1)
    encoded = pa.array(groups, pa.string()).dictionary_encode()
    values, codes = encoded.dictionary.to_pylist(), pc.fill_null(encoded.indices, -1).to_numpy()
    counts = np.bincount(codes[placed & (codes >= 0)], minlength=len(values))
    order = [i for i in sorted(range(len(values)), key=lambda i: (-counts[i], values[i])) if counts[i]][:MOST]
    colours: Sequence[str] = PALETTE
    if ordered:
        order = [values.index(name) for name in ordered if name in values]
        colours = sample_colorscale("Viridis", np.linspace(0, 0.95, max(2, len(order))).tolist())
    names = pa.array(titles, pa.string())
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Plotly reads markup
        names = pc.replace_substring(names, mark, safe)
    text = names.to_numpy(zero_copy_only=False)
    figure = go.Figure()

    def points(mask: np.ndarray, name: str, colour: str, size: float, opacity: float) -> None:
        index = np.flatnonzero(mask)
        if len(index):
            figure.add_scattergl(
                x=coordinates[index, 0],
                y=coordinates[index, 1],
                mode="markers",
                name=plain(name),
                customdata=index,
                text=text[index],
                marker={"color": colour, "size": size, "opacity": opacity},
                hovertemplate="%{text}<extra></extra>",
            )

    size = 5 if placed.sum() < 10_000 else 3
    points(placed & ~np.isin(codes, order), rest, GREY, size, 0.5)
    for colour, number in zip(colours, order, strict=False):
        points(placed & (codes == number), values[number], colour, size, 0.75)
    if highlight is not None and len(highlight):
        chosen = np.zeros(len(coordinates), bool)
        chosen[highlight] = True
        points(chosen & placed, "found", INK, size + 3, 1.0)
    themed(figure, "", "", height)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.06, "x": 0, "itemsizing": "constant"},
        dragmode="pan",
        margin={"l": 10, "b": 10},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure
