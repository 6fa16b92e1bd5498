"""Last-layer evaluation (AND section 2): classifier unit k is known to stand for class k."""

from __future__ import annotations

import numpy as np

from and_core.names import numbers_by_name, plain_name


def last_layer_scores(
    best: np.ndarray, classes: list[str], concepts: list[str], embeddings: np.ndarray
) -> dict[str, float]:
    """Return how often the right concept is named.

    Parameters
    ----------
    best : (C, top) int
        Concept numbers of each classifier unit, best first, -1 for none.
    classes : list of str, C
        Name of each unit.
    concepts : list of str, M
        The concept set; only classes that are in it are counted.
    embeddings : (M, D) float32
        Unit vectors of the concepts.

    Returns
    -------
    dict
        ``top1``, ``top5`` (percent), ``cos`` (mean cosine of predicted and true concept), ``classes`` (number counted).
    """
    number = numbers_by_name(concepts)
    units = [(unit, number[plain_name(name)]) for unit, name in enumerate(classes) if plain_name(name) in number]
    if not units:
        return {"top1": float("nan"), "top5": float("nan"), "cos": float("nan"), "classes": 0}
    rows = np.array([u for u, _ in units])
    truth = np.array([t for _, t in units])
    named = best[rows, 0] >= 0
    cosine = np.where(named, (embeddings[best[rows, 0]] * embeddings[truth]).sum(1), 0.0)
    return {
        "top1": float(100 * np.mean(best[rows, 0] == truth)),
        "top5": float(100 * np.mean((best[rows, :5] == truth[:, None]).any(1))),
        "cos": float(cosine.mean()),
        "classes": len(units),
    }
