"""Module B of AND: drop from the high summary what the low summary says too, and keep the reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from and_core.records import Point

Embed = Callable[[list[str]], np.ndarray]


def calibrate(high: list[Point], low: list[Point], embed: Embed, t: float = 0.7) -> list[Point]:
    """Return points of `high`, each marked as kept or dropped (AND section 4).

    A point is dropped when its similarity to *any* low point exceeds `t`; the closest low point and the similarity are
    recorded for dropped and kept points alike. Similarity is the cosine of the embeddings, except for attributes taken
    by
    lexicon: the same value counts as 1, and an attribute is never compared with its opposite, nor with anything else.

    Parameters
    ----------
    high, low : list of Point
        Summaries of the highest and lowest clips.
    embed : callable
        Texts -> (n, D) unit vectors.
    t : float
        Threshold (paper: 0.7).

    Examples
    --------
    >>> vectors = {"a dog barks": [1.0, 0.0], "rain falls": [0.0, 1.0], "steady rain": [0.1, 0.995]}
    >>> high = [Point(text="a dog barks", count=4, of=5), Point(text="rain falls", count=3, of=5)]
    >>> low = [Point(text="steady rain", count=5, of=5)]
    >>> points = calibrate(high, low, lambda texts: np.array([vectors[text] for text in texts]))
    >>> [(point.text, point.kept, point.removed_by) for point in points]
    [('a dog barks', True, 'steady rain'), ('rain falls', False, 'steady rain')]
    """
    texts = [p.text for p in (*high, *low) if p.attribute is None]
    vectors = dict(zip(texts, embed(texts), strict=True)) if texts else {}
    out = []
    for point in high:
        scored = [(s, p) for p in low if (s := _similarity(point, p, vectors)) is not None]
        if not scored:
            out.append(point)
            continue
        value, nearest = max(scored, key=lambda pair: pair[0])
        out.append(
            point.model_copy(
                update={"kept": not value > t, "removed_by": nearest.text, "similarity": round(float(value), 4)}
            )
        )
    return out


def _similarity(one: Point, other: Point, vectors: dict[str, np.ndarray]) -> float | None:
    if one.attribute is not None or other.attribute is not None:
        same = one.attribute == other.attribute and one.text == other.text
        return 1.0 if same else None
    return float(vectors[one.text] @ vectors[other.text])
