"""Units planted in a network as it is dissected: linear read-outs of activations that are stored already.

A read-out is fitted on one half of the recordings and read on the other, both ways round, so that on every clip it
shows what it does on recordings that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from and_core.records import Layer

RIDGE = 100.0  # of features of unit variance
STRENGTHS = (1.0, 0.8, 0.6, 0.4, 0.2)  # share of the read-out in a unit; the rest is a neuron of the layer
SILENT = 100  # units of a layer that mean nothing: independent noise
LAYERS = 6  # that are read, at most
NARROWEST = 8  # neurons that a layer must have to be read
MOST = 60  # concepts that are planted, at most


def read_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers to plant in: hidden ones, evenly spaced over depth."""
    hidden = [layer for layer in layers if layer.kind != "fc" and layer.size >= NARROWEST]
    return [hidden[i] for i in np.unique(np.linspace(0, len(hidden) - 1, LAYERS).round().astype(int))] if hidden else []


def standardised(x: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and variance 1; constant ones become 0."""
    x = np.asarray(x, np.float64)
    spread = x.std(0)
    return (x - x.mean(0)) / np.where(spread > 1e-9 * np.maximum(np.abs(x).max(0, initial=0), 1e-30), spread, np.inf)


def cross_fitted(x: np.ndarray, targets: np.ndarray, first: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """Return read-outs by ridge regression on the other half of the recordings than the one they are read on.

    Parameters
    ----------
    x : (N, D)
        Activations of a layer.
    targets : (N, T)
        What each read-out is fitted to.
    first : (N,) bool
        Clips of the first half.

    Returns
    -------
    (N, T) float64
        Mean 0 and variance 1 in each half.
    """
    x, out = standardised(x), np.zeros((len(x), targets.shape[1]))
    for half in (first, ~first):
        own, middle = x[half], x[half].mean(0)
        centred = own - middle
        wanted = targets[half] - targets[half].mean(0)
        if x.shape[1] <= len(own):
            weights = np.linalg.solve(centred.T @ centred + ridge * np.eye(x.shape[1]), centred.T @ wanted)
        else:  # fewer clips than neurons: the same through the clips
            weights = centred.T @ np.linalg.solve(centred @ centred.T + ridge * np.eye(len(own)), wanted)
        out[~half] = standardised((x[~half] - middle) @ weights)
    return out


def planted(
    x: np.ndarray, truth: np.ndarray, first: np.ndarray, seed: int, ridge: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Plant units of known meaning and of none in a layer.

    Parameters
    ----------
    x : (N, D)
        Activations of the layer.
    truth : (N, M) bool
        Which clips have which concept; those with too few clips are not planted.
    first : (N,) bool

    Returns
    -------
    units : (N, U) float32
        Read-outs of concepts mixed with neurons of the layer in :data:`STRENGTHS`, then :data:`SILENT` of noise.
    concept : (U,) int
        Concept of each, -1 for noise.
    """
    rng = np.random.default_rng(seed)
    fits = np.minimum(truth[first].sum(0), truth[~first].sum(0)) >= 4
    concepts = np.flatnonzero(fits & (truth.sum(0) < len(truth)))
    concepts = np.sort(rng.permutation(concepts)[:MOST])
    alive = standardised(x)
    alive = alive[:, np.abs(alive).max(0, initial=0) > 0]
    units: list[np.ndarray] = []
    if len(concepts) and alive.shape[1]:
        signal = cross_fitted(x, truth[:, concepts].astype(np.float64), first, ridge)
        for strength in STRENGTHS:
            beside = alive[:, rng.integers(0, alive.shape[1], len(concepts))]
            units.append(strength * signal + np.sqrt(1 - strength**2) * beside)
    units.append(rng.standard_normal((len(x), SILENT)))
    which = np.concatenate([np.tile(concepts, len(units) - 1), np.full(SILENT, -1)])
    return np.concatenate(units, 1).astype(np.float32), which.astype(int)
