"""What was drawn around on a map: an outline as text, and what lies inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CORNERS = 40  # of an outline that stands in an address


def written_outline(x: Sequence[float], y: Sequence[float]) -> str:
    """Return an outline as text, of at most :data:`CORNERS` corners; of a box, given by two corners, all four."""
    if len(x) == 2:
        x, y = [x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]]
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CORNERS)).round().astype(int))
    return " ".join(f"{x[i]:.3g},{y[i]:.3g}" for i in kept)


def read_outline(text: str) -> np.ndarray | None:
    """Return (corners, 2) float of an outline, None where the text is none.

    Examples
    --------
    >>> read_outline("0,0 2,0 2,2").tolist()
    [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]]
    >>> read_outline("elsewhere")
    """
    try:
        corners = np.array([[float(v) for v in pair.split(",")] for pair in text.split()[:CORNERS]], float)
    except ValueError:
        return None
    return corners if corners.ndim == 2 and corners.shape[1] == 2 and len(corners) > 2 else None


def inside(coordinates: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Return the numbers of the points inside an outline, by how often a ray to the right crosses it.

    Parameters
    ----------
    coordinates : (R, 2) float
        NaN where there is no place; that lies nowhere inside.
    outline : (corners, 2) float
    """
    x, y = coordinates.T
    odd = np.zeros(len(coordinates), bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, 0), strict=True):
            crosses = (y1 > y) != (y2 > y)
            odd ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return np.flatnonzero(odd)
