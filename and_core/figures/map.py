"""The map of neurons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc
from plotly.colors import sample_colorscale

from and_core.figures.theme import GREY, INK, LEGEND, PALETTE, plain, themed

CELLS = 24  # a map is looked at in so many cells a side for the densest place of a concept
ISLANDS = 40
VEIL = "rgba(251,250,246,.82)"  # behind a name
POINTS = 5000  # of a map that is an overview
MOST = 6  # colours that can be told apart; the rest is grey


def islands(coordinates: np.ndarray, concepts: np.ndarray, most: int = ISLANDS) -> list[tuple[str, float, float]]:
    """Return where each of the most frequent concepts lies densest on a map.

    Parameters
    ----------
    coordinates : (R, 2) float
        NaN where a neuron has no place.
    concepts : (R,) object
        None where nothing is said.
    most : int
        Concepts that are looked at; one whose place is that of a more frequent one is left out.

    Returns
    -------
    list of (str, float, float)
        Concept and place, the most frequent first.
    """
    placed = np.isfinite(coordinates).all(1) & (concepts != None)  # noqa: E711 - element by element
    if not placed.any():
        return []
    low, span = coordinates[placed].min(0), np.ptp(coordinates[placed], axis=0)
    cells = np.clip((coordinates[placed] - low) / np.where(span > 0, span, 1) * CELLS, 0, CELLS - 1).astype(int)
    names, places = concepts[placed].astype(str), coordinates[placed]
    values, counts = np.unique(names, return_counts=True)
    labels: list[tuple[str, float, float]] = []
    for name in values[np.lexsort((values, -counts))][:most]:
        own = names == name
        grid = np.zeros((CELLS + 2, CELLS + 2))
        np.add.at(grid, tuple(cells[own].T + 1), 1)
        around = np.sum([grid[i : i + CELLS, j : j + CELLS] for i in range(3) for j in range(3)], axis=0)
        peak = np.array(np.unravel_index(int(np.argmax(around)), around.shape))
        inside = own & (np.abs(cells - peak) <= 1).all(1)
        x, y = np.median(places[inside], axis=0)
        near = (abs(x - a) < 0.07 * span[0] and abs(y - b) < 0.05 * span[1] for _, a, b in labels)
        if not any(near):
            labels.append((str(name), float(x), float(y)))
    return labels


def island_map(
    coordinates: np.ndarray, concepts: np.ndarray, titles: np.ndarray, points: int = POINTS, height: int = 460
) -> go.Figure:
    """Return the map of neurons with the name of each island on it: at most `points` of them, drawn at random.

    Parameters
    ----------
    coordinates, concepts
        As in :func:`islands`.
    titles : (R,) object
        Name of each neuron, for the hover; its number travels as `customdata`.
    """
    placed = np.flatnonzero(np.isfinite(coordinates).all(1))
    if len(placed) > points:
        placed = np.sort(np.random.default_rng(0).permutation(placed)[:points])
    labels = islands(coordinates, concepts)
    shown = coordinates[placed]
    named = ["named" if concept else None for concept in concepts[placed].tolist()]
    figure = neuron_map(shown, named, titles[placed], rest="unclear", height=height)
    for trace in figure.data:
        trace.customdata = placed[np.asarray(trace.customdata)]
    for name, x, y in labels:
        figure.add_annotation(
            x=x,
            y=y,
            text=plain(name),
            showarrow=False,
            font={"size": 12, "color": INK},
            bgcolor=VEIL,
        )
    figure.update_layout(showlegend=False)
    figure.update_yaxes(scaleanchor=None)  # what is near counts, not how far things are: the whole width serves
    return figure


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
        legend={**LEGEND, "itemsizing": "constant"},
        dragmode="pan",
        margin={"l": 10, "b": 10},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure
