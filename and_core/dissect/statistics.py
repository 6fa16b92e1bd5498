"""Statistics of neurons over the probing set: extreme clips, moments, histograms, class means.

Vectorised over neurons.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import stats

from and_core.config import MAX_K


def extreme(u: np.ndarray, sources: np.ndarray | None = None, k: int = MAX_K) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` highest clips of each neuron, highest first; ties go to the lowest clip index.

    Parameters
    ----------
    u : (N, R) float32
        Activations; negate for the lowest clips.
    sources : (N,) int, optional
        Source recording of each clip; with it, each source counts once, by its best clip.

    Returns
    -------
    clips : (R, k) int32
        Clip indices, -1 where there are fewer than `k`.
    values : (R, k) float32
        Their activations, NaN where there are none.
    """
    from and_core.dissect.top_kernels import highest  # compiled: a second to load

    count = ranked_count(len(u), sources, k)
    order = highest(np.ascontiguousarray(u, np.float32), count, torch.get_num_threads()).T
    return once_a_source(order, np.take_along_axis(u, order, 0), sources, k)


def ranked_count(clips: int, sources: np.ndarray | None, k: int) -> int:
    """Return how many of the highest clips hold clips of `k` sources for sure."""
    most = 1 if sources is None or not len(sources) else int(np.bincount(sources).max())
    return min(k * most, clips)


def once_a_source(
    order: np.ndarray, values: np.ndarray, sources: np.ndarray | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (R, k) clips and activations of what is ranked, (n, R) each, every source counted once by its best."""
    if sources is not None:
        ranked = sources[order]
        first = np.zeros(order.shape, bool)
        for column in range(order.shape[1]):
            first[np.unique(ranked[:, column], return_index=True)[1], column] = True
        position = np.argsort(~first, axis=0, kind="stable")
        order = np.where(np.take_along_axis(first, position, 0), np.take_along_axis(order, position, 0), -1)
        values = np.take_along_axis(values, position, 0)
    top = order[:k]
    values = np.where(top >= 0, values[:k], np.nan)
    if len(top) < k:
        top = np.pad(top, ((0, k - len(top)), (0, 0)), constant_values=-1)
        values = np.pad(values, ((0, k - len(values)), (0, 0)), constant_values=np.nan)
    return top.T.astype(np.int32), values.T.astype(np.float32)


def moments(u: np.ndarray) -> dict[str, np.ndarray]:
    """Return the mean, standard deviation, skewness, excess kurtosis, minimum and maximum of each column, and whether
    it is dead (constant)."""
    low, high = u.min(0), u.max(0)
    dead = (high - low) <= 1e-6 * np.maximum(np.abs(u).max(0), 1e-12)
    x = u.astype(np.float64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # dead columns, set to 0 below
        skew, kurtosis = stats.skew(x, axis=0), stats.kurtosis(x, axis=0)
    return {
        "mean": x.mean(0),
        "std": x.std(0),
        "skewness": np.where(dead, 0.0, skew),
        "kurtosis": np.where(dead, 0.0, kurtosis),
        "minimum": low.astype(np.float64),
        "maximum": high.astype(np.float64),
        "dead": dead,
    }


def histograms(u: np.ndarray, bins: int) -> np.ndarray:
    """Return (R, bins) counts over each neuron's own range, equal widths from its minimum to its maximum."""
    low, high = u.min(0), u.max(0)
    width = np.where(high > low, high - low, 1)
    index = np.minimum(((u - low) / width * bins).astype(np.int64), bins - 1)
    flat = index + np.arange(u.shape[1]) * bins
    return np.bincount(flat.ravel(), minlength=u.shape[1] * bins).reshape(-1, bins).astype(np.int32)


def class_means(u: np.ndarray, label_mask: np.ndarray) -> np.ndarray:
    """Return (R, classes) mean activation (N, R) of each class over the clips that have it (N, classes); NaN where none
    does."""
    member = label_mask.astype(np.float32)
    count = member.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (u.T @ member / np.where(count > 0, count, np.nan)).astype(np.float32)
