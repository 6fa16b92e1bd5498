"""Fitting planted units to what they are to mean, and telling which of them a layer can hold.

A unit of one meaning is one read-out. A unit of two meanings at once fires as much as the weaker of two read-outs, one
for each: a single direction of a layer hears their sum, which is high where only one of them is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, spearmanr

from and_core.evaluate.planted_units import Unit, auroc, halves_of, meant

RIDGE = 100.0  # of features of unit variance
RIDGES = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # tried where the best one is chosen by cross-validation
FOLDS = 5  # of the fitting recordings
FOLLOWS = 0.7  # cross-validated rank correlation from which a layer holds a quantity
HOLDS = 0.85  # cross-validated AUROC of each of two meanings among the clips of the other, from which it holds both


@dataclass(frozen=True)
class Fitted:
    """Units of one layer: ``min(x @ weight.T + bias, x @ second_weight.T + second_bias)``.

    Attributes
    ----------
    weight, second_weight : (U, D) float32
        The same where a unit has one meaning.
    bias, second_bias : (U,) float32
        Such that each unit has mean 0 and variance 1 on the fitting clips.
    valid : (U,) bool
        Quantities and two meanings at once: whether read-outs hold them on recordings that they were not fitted on;
        every other unit is valid.
    """

    weight: np.ndarray
    bias: np.ndarray
    second_weight: np.ndarray
    second_bias: np.ndarray
    valid: np.ndarray

    def of(self, features: np.ndarray) -> np.ndarray:
        """Return activations (N, U) from features (N, D)."""
        return np.minimum(features @ self.weight.T + self.bias, features @ self.second_weight.T + self.second_bias)

    def some(self, units: Sequence[int]) -> Fitted:
        """Return some of the units."""
        chosen = list(units)
        return Fitted(*(column[chosen] for column in vars(self).values()))


def fit_units(
    features: np.ndarray,
    units: Sequence[Unit],
    labels: Sequence[Sequence[str]],
    words: Sequence[frozenset[str]],
    seed: int,
    measures: Mapping[str, np.ndarray] | None = None,
    sources: np.ndarray | None = None,
) -> Fitted:
    """Return the units of one layer.

    Parameters
    ----------
    features : (N, D) float32
        Pooled activations of the layer on the fitting clips.
    measures : mapping of str to (N,) float, optional
        What units of kind ``quantity`` are fitted to; clips without the measure are left out of their fit.
    sources : (N,) int, optional
        Recording of each clip: cross-validation keeps its clips together. Default: each clip is one.
    """
    x = features.astype(np.float64)
    middle, spread = x.mean(0), x.std(0)
    spread[spread <= 1e-9] = np.inf  # a dead neuron tells nothing
    x = (x - middle) / spread
    folds = _folds(np.arange(len(x)) if sources is None else sources, seed)
    masks = [meant(unit, labels, words) for unit in units]
    weight = _ridge(x, np.stack([np.zeros(len(x)) if mask is None else mask.astype(float) for mask in masks], 1))
    valid = np.ones(len(units), bool)
    _fit_quantities(x, units, measures or {}, folds, weight, valid)
    rng = np.random.default_rng(seed)
    nothing = [i for i, unit in enumerate(units) if unit.kind == "random"]
    weight[:, nothing] = rng.standard_normal((x.shape[1], len(nothing)))
    second, offset, second_offset = weight.copy(), np.zeros(len(units)), np.zeros(len(units))
    pairs = {i: pair for i, unit in enumerate(units) if (pair := halves_of(unit, labels, words)) is not None}
    if pairs:
        both = np.stack([half for pair in pairs.values() for half in pair], 1)
        read = _read_halves(x, both, folds)
        numbers = list(pairs)
        weight[:, numbers], second[:, numbers] = read.weight[:, ::2], read.weight[:, 1::2]
        offset[numbers], second_offset[numbers] = read.offset[::2], read.offset[1::2]
        valid[numbers] = [
            _holds_both(np.minimum(*read.values[:, 2 * n : 2 * n + 2].T), *pair)
            for n, pair in enumerate(pairs.values())
        ]
    values = np.minimum(x @ weight + offset, x @ second + second_offset)
    mean, scale = values.mean(0), np.maximum(values.std(0), 1e-12)
    first, other = weight / scale / spread[:, None], second / scale / spread[:, None]
    return Fitted(
        np.ascontiguousarray(first.T, np.float32),
        ((offset - mean) / scale - middle @ first).astype(np.float32),
        np.ascontiguousarray(other.T, np.float32),
        ((second_offset - mean) / scale - middle @ other).astype(np.float32),
        valid,
    )


def _fit_quantities(
    x: np.ndarray,
    units: Sequence[Unit],
    measures: Mapping[str, np.ndarray],
    folds: np.ndarray,
    weight: np.ndarray,
    valid: np.ndarray,
) -> None:
    """Fit units that follow a measure, in place."""
    fits: dict[str, tuple[np.ndarray, bool]] = {}
    for i, unit in enumerate(units):
        if unit.kind != "quantity":
            continue
        if unit.measure not in fits:
            values = np.asarray(measures[unit.measure], float)
            known = np.isfinite(values)
            ranks = rankdata(values[known])[:, None] / known.sum()
            read, held_out = cross_validated(x[known], ranks, folds[known])
            fits[unit.measure] = read[:, 0], bool(spearmanr(held_out[:, 0], ranks[:, 0]).statistic >= FOLLOWS)
        weight[:, i], valid[i] = unit.sign * fits[unit.measure][0], fits[unit.measure][1]


@dataclass(frozen=True)
class _Halves:
    """Read-outs of single meanings, on a scale on which clips without it lie around -.5 and those with it around .5.

    ``weight`` (D, T), ``offset`` (T,), and ``values`` (N, T) on recordings that they were not fitted on.
    """

    weight: np.ndarray
    offset: np.ndarray
    values: np.ndarray


def _read_halves(x: np.ndarray, masks: np.ndarray, folds: np.ndarray) -> _Halves:
    """Fit read-outs to masks (N, T)."""
    weight, held_out = cross_validated(x, masks.astype(float), folds)
    middle, width = _scale(x @ weight, masks)
    own_middle, own_width = _scale(held_out, masks)
    return _Halves(weight / width, -middle / width, (held_out - own_middle) / own_width)


def _scale(values: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (T,) middle and distance of the mean values of clips without and with each meaning."""
    count = masks.sum(0)
    without = (values * ~masks).sum(0) / np.maximum(len(masks) - count, 1)
    having = (values * masks).sum(0) / np.maximum(count, 1)
    return (without + having) / 2, np.maximum(having - without, 1e-9)


def _holds_both(values: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether activations tell each of two meanings among the clips of the other."""
    return bool(min(auroc(values[one], other[one]), auroc(values[other], one[other])) >= HOLDS)


def cross_validated(x: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return read-outs by ridge regression, each at the penalty of :data:`RIDGES` that predicts left-out folds best.

    Parameters
    ----------
    x : (N, D)
        Features of mean 0 and variance 1.
    targets : (N, T)
    folds : (N,) int

    Returns
    -------
    weight : (D, T)
    held_out : (N, T)
        What read-outs at the chosen penalty, fitted without a clip's fold, give on the clip.
    """
    predicted = np.zeros((len(RIDGES), *targets.shape))
    for fold in np.unique(folds):
        out = folds == fold
        predicted[:, out] = x[out] @ _ridge_path(x[~out], targets[~out])
    centred = targets - targets.mean(0)
    left = predicted - predicted.mean(1, keepdims=True)
    norm = np.maximum(np.linalg.norm(left, axis=1), 1e-12)
    best, rows = ((left * centred).sum(1) / norm).argmax(0), np.arange(targets.shape[1])
    return _ridge_path(x, targets)[best, :, rows].T, predicted[best, :, rows].T


def _ridge_path(x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return (penalties, D, T) weights at every penalty of :data:`RIDGES`, from one factorisation."""
    values, vectors = np.linalg.eigh(x.T @ x)
    projected = vectors.T @ (x.T @ (targets - targets.mean(0)))
    return np.stack([vectors @ (projected / (values + ridge)[:, None]) for ridge in RIDGES])


def _ridge(x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return (D, T) weights of ridge regression."""
    return np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (targets - targets.mean(0)))


def _folds(sources: np.ndarray, seed: int) -> np.ndarray:
    """Return (N,) fold of each clip, clips of one recording in one fold."""
    every, of_clip = np.unique(sources, return_inverse=True)
    return (np.random.default_rng([seed, FOLDS]).permutation(len(every)) % min(FOLDS, len(every)))[of_clip]
