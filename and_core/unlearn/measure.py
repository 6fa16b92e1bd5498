"""What an ablation did to a classifier (AND section 6): change on the target concept, on all others, and the gap
between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import softmax

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
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, target: int | None, draws: int = 1000, seed: int = 0
) -> Effect:
    """Compare a classifier's outputs on a test split before and after.

    Parameters
    ----------
    before, after : (N, C) float
        Logits, or probabilities.
    labels : (N,) int
        Class of each clip.
    target : int or None
        Class that was to be unlearned; None where the concept is no class: Delta A and the gap are undefined then.
    draws : int
        Bootstrap draws.

    Raises
    ------
    DataError
        Shapes that do not fit, labels out of range, or values that are not finite.
    """
    if before.shape != after.shape or before.ndim != 2 or labels.shape != (len(before),):
        raise DataError(
            f"outputs of shape {before.shape} and {after.shape} and labels of shape {labels.shape} do not belong "
            "together"
        )
    if not np.isfinite(before).all() or not np.isfinite(after).all():
        raise DataError("outputs hold NaN or infinite values")
    classes = before.shape[1]
    if (len(labels) and not (labels.min() >= 0 and labels.max() < classes)) or (
        target is not None and not 0 <= target < classes
    ):
        raise DataError(f"labels or target={target} are out of range; there are {classes} classes")
    own = (after - before)[np.arange(len(labels)), labels].astype(np.float64)
    by_class = _means(own, labels, classes)
    figures = _figures(by_class, target)
    present, starts, picked = _draws(labels.tobytes(), str(labels.dtype), classes, draws, seed)
    drawn = np.full((3, draws), np.nan)
    if draws and len(present):
        sums = np.add.reduceat(own[picked], starts, axis=1) / np.diff(
            np.append(starts, len(labels))
        )  # (draws, classes with clips)
        of_target = np.flatnonzero(present == target) if target is not None else present[:0]
        others = np.delete(sums, of_target, axis=1)
        drawn[1] = others.mean(1) if others.shape[1] else np.nan
        drawn[0] = sums[:, of_target[0]] if len(of_target) else np.nan
        drawn[2] = drawn[1] - drawn[0]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=1) if draws else np.full((2, 3), np.nan)
    names = ("ablating", "remaining", "gap")
    return Effect(*figures, by_class, {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)})


@lru_cache(maxsize=4)
def _draws(labels: bytes, dtype: str, classes: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return classes with clips, where each begins once clips are sorted by class, and (draws, N) clips drawn anew
    within their class.

    The same for every ablation of a split, so it is made once; no class is ever empty.
    """
    numbers = np.frombuffer(labels, dtype)
    order = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers, minlength=classes)
    present = np.flatnonzero(sizes)
    starts = np.cumsum(sizes[present]) - sizes[present]
    first, size = np.repeat(starts, sizes[present]), np.repeat(sizes[present], sizes[present])
    picked = order[first + (np.random.default_rng(seed).random((draws, len(numbers))) * size).astype(int)]
    return present, starts, picked


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return Softmax over classes (N, C), in float64."""
    return softmax(logits.astype(np.float64), axis=1)


def accuracy_by_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (C,) share of each class's clips that are named rightly; NaN for a class without clips."""
    return _means((logits.argmax(1) == labels).astype(float), labels, logits.shape[1])


def _means(values: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    count = np.bincount(labels, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, values, classes) / np.where(count > 0, count, np.nan)


def _figures(by_class: np.ndarray, target: int | None) -> tuple[float, float, float]:
    others = by_class if target is None else np.delete(by_class, target)
    others = others[np.isfinite(others)]
    remaining = float(others.mean()) if len(others) else float("nan")
    ablating = float("nan") if target is None else float(by_class[target])
    return ablating, remaining, remaining - ablating
