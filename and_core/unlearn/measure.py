"""What an ablation did to a classifier (AND section 6): change on the target concept, on all others, and the gap
between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from and_core.errors import DataError


@dataclass(frozen=True)
class Effect:
    """Changes of one ablation, in logits or in probabilities.

    Attributes
    ----------
    ablating : float
        Delta A: mean change of the target class's output on the target class's clips; NaN where the concept is no
        class.
    remaining : float
        Delta R: mean over the other classes of the change of each class's own output on its own clips.
    gap : float
        Delta R - Delta A: larger is better.
    by_class : (C,) float
        Change of each class's own output on its own clips; NaN for a class without clips.
    intervals : dict of str to (float, float)
        95 % bootstrap intervals of the three figures over clips, drawn anew within each class.
    """

    ablating: float
    remaining: float
    gap: float
    by_class: np.ndarray
    intervals: dict[str, tuple[float, float]]


def effect(
    before: np.ndarray, after: np.ndarray, truth: np.ndarray, target: Sequence[int], draws: int = 1000, seed: int = 0
) -> Effect:
    """Compare a classifier's outputs on a test split before and after.

    Parameters
    ----------
    before, after : (N, C) float
        Logits, or probabilities.
    truth : (N, C) bool
        Classes of each clip; a clip of several counts for each of them.
    target : sequence of int
        Classes that were to be unlearned; none where the concept is no class: Delta A and the gap are undefined then.
    draws : int
        Bootstrap draws.

    Raises
    ------
    DataError
        Shapes that do not fit, labels out of range, or values that are not finite.
    """
    if before.shape != after.shape or before.ndim != 2 or truth.shape != before.shape:
        raise DataError(
            f"outputs of shape {before.shape} and {after.shape} and truth of shape {truth.shape} do not belong together"
        )
    if not np.isfinite(before).all() or not np.isfinite(after).all():
        raise DataError("outputs hold NaN or infinite values")
    classes = before.shape[1]
    if not all(0 <= number < classes for number in target):
        raise DataError(f"target={tuple(target)} is out of range; there are {classes} classes")
    clips, labels = np.nonzero(truth)
    own = (after - before)[clips, labels].astype(np.float64)
    by_class = _means(own, labels, classes)
    figures = _figures(by_class, target)
    present, starts, picked = _draws(labels.astype(np.int64).tobytes(), classes, draws, seed)
    drawn = np.full((3, draws), np.nan)
    if draws and len(present):
        sums = np.add.reduceat(own[picked], starts, axis=1) / np.diff(
            np.append(starts, len(labels))
        )  # (draws, classes with clips)
        of_target = np.flatnonzero(np.isin(present, np.asarray(target, int)))
        others = np.delete(sums, of_target, axis=1)
        drawn[1] = others.mean(1) if others.shape[1] else np.nan
        drawn[0] = sums[:, of_target].mean(1) if len(of_target) else np.nan
        drawn[2] = drawn[1] - drawn[0]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=1) if draws else np.full((2, 3), np.nan)
    names = ("ablating", "remaining", "gap")
    return Effect(*figures, by_class, {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)})


@lru_cache(maxsize=4)
def _draws(labels: bytes, classes: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes with clips, where each begins once clips are sorted by class, and (draws, N) clips drawn anew
    within their class.

    The same for every ablation of a split, so it is made once; no class is ever empty.
    """
    numbers = np.frombuffer(labels, np.int64)
    order = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers, minlength=classes)
    present = np.flatnonzero(sizes)
    starts = np.cumsum(sizes[present]) - sizes[present]
    first, size = np.repeat(starts, sizes[present]), np.repeat(sizes[present], sizes[present])
    picked = order[first + (np.random.default_rng(seed).random((draws, len(numbers))) * size).astype(int)]
    return present, starts, picked


def named_rightly(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (N,) bool: whether a clip's highest output (N, C) is a class that it has."""
    return truth[np.arange(len(logits)), logits.argmax(1)]


def accuracy_by_class(logits: np.ndarray, truth: np.ndarray, multi_label: bool = False) -> np.ndarray:
    """Return (C,) share of each class's clips that are named rightly; where a clip may have several classes, each
    class's average precision.

    NaN for a class without clips.
    """
    if multi_label:
        return average_precision(logits, truth)
    clips, labels = np.nonzero(truth)
    return _means(named_rightly(logits, truth)[clips].astype(float), labels, logits.shape[1])


def accuracy(logits: np.ndarray, truth: np.ndarray, multi_label: bool = False) -> float:
    """Return percent of clips that are named rightly; where a clip may have several classes, mean average precision."""
    if multi_label:
        return 100 * float(np.nanmean(average_precision(logits, truth)))
    return 100 * float(np.mean(named_rightly(logits, truth)))


def average_precision(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (C,) mean precision at the ranks of a class's own clips (N, C), sorted by its output; NaN without clips.

    Of clips with the same output the earlier one ranks first.
    """
    order = np.argsort(-logits, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, 0)
    precision = np.cumsum(hits, 0) / np.arange(1, len(hits) + 1)[:, None]
    count = hits.sum(0)
    with np.errstate(invalid="ignore"):
        return (precision * hits).sum(0) / np.where(count > 0, count, np.nan)


def _means(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    count = np.bincount(labels, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, values, classes) / np.where(count > 0, count, np.nan)


def _figures(by_class: np.ndarray, target: Sequence[int]) -> tuple[float, float, float]:
    others = np.delete(by_class, list(target))
    others, own = others[np.isfinite(others)], by_class[list(target)]
    own = own[np.isfinite(own)]
    remaining = float(others.mean()) if len(others) else float("nan")
    ablating = float(own.mean()) if len(own) else float("nan")
    return ablating, remaining, remaining - ablating
