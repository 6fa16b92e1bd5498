"""Last-layer evaluation (AND section 2): classifier unit k is known to stand for class k."""

from __future__ import annotations

import numpy as np


def last_layer_scores(best: np.ndarray, right: np.ndarray, embeddings: np.ndarray) -> dict[str, float]:
    """Return how often the right concept is named.

    Parameters
    ----------
    best : (C, top) int
        Concept numbers of each classifier unit, best first, -1 for none.
    right : (C, M) bool
        Which concepts of the set are right for each unit; units without any are not counted.
    embeddings : (M, D) float32
        Unit vectors of the concepts.

    Returns
    -------
    dict
        ``top1``, ``top5`` (percent), ``cos`` (mean cosine of the predicted concept and of the nearest that is right),
        ``classes`` (number counted).
    """
    rows = np.flatnonzero(right.any(1))
    if not len(rows):
        return {"top1": float("nan"), "top5": float("nan"), "cos": float("nan"), "classes": 0}
    first = best[rows, 0]
    cosines = np.where(right[rows], embeddings[first] @ embeddings.T, -np.inf).max(1)
    hits = np.take_along_axis(right[rows], np.maximum(best[rows, :5], 0), 1) & (best[rows, :5] >= 0)
    return {
        "top1": float(100 * np.mean(hits[:, 0])),
        "top5": float(100 * np.mean(hits.any(1))),
        "cos": float(np.where(first >= 0, cosines, 0.0).mean()),
        "classes": len(rows),
    }
