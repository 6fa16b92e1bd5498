"""Neurons that fire alike among many clips: candidates by a seeded random projection, then their true correlations.

Memory holds R x :data:`DIMENSIONS` numbers and one chunk of clips; the time is linear in clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

DIMENSIONS = 512  # a correlation's error in the projection is 1 / sqrt(512) at most
CANDIDATES = 96  # neurons whose true correlations are computed
SEED = 0
BLOCK = 1024  # neurons that are compared with all others at once


def alike(
    chunks: Callable[[], Iterable[np.ndarray]], dead: np.ndarray, mean: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's nearest by correlation over clips.

    Parameters
    ----------
    chunks : callable
        Gives activations in chunks of clips, each (n, R); called twice.
    dead : (R,) bool
        Neurons that have no neighbours and are none.
    mean : (R,) float
        About the means, so that little is lost when the true ones are subtracted.
    count : int
        Neighbours.

    Returns
    -------
    neurons : (R, count) int32
        Highest correlation first, -1 for none.
    correlations : (R, count) float32
        NaN for none.
    """
    projected, sums, squares, clips = _project(chunks(), mean.astype(np.float32))
    deviation = np.sqrt(np.maximum(squares - sums**2 / clips, 0))
    unit = projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
    candidates = nearest(unit.astype(np.float32), dead, min(CANDIDATES, len(dead)))
    products = np.zeros(candidates.shape)
    from and_core.dissect import similarity_kernels as kernels  # compiled: a second to load

    for chunk in chunks():
        columns = np.ascontiguousarray((chunk - mean.astype(np.float32)).T)
        kernels.add_products(columns, candidates, products, torch.get_num_threads())
    covariance = products - sums[:, None] * sums[candidates] / clips
    correlations = covariance / np.maximum(deviation[:, None] * deviation[candidates], 1e-12)
    own = candidates == np.arange(len(dead))[:, None]
    correlations[dead[candidates] | own | dead[:, None]] = -2
    order = np.argsort(-correlations, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(correlations, order, 1)
    neurons = np.where(values > -2, np.take_along_axis(candidates, order, 1), -1).astype(np.int32)
    return neurons, np.where(values > -2, np.clip(values, -1, 1), np.nan).astype(np.float32)


def nearest(unit: np.ndarray, dead: np.ndarray, count: int) -> np.ndarray:
    """Return (R, count) int64 rows with the highest products with each row of unit vectors (R, D), dead ones last."""
    vectors, out = torch.from_numpy(unit), np.empty((len(unit), count), np.int64)
    for start in range(0, len(unit), BLOCK):
        products = vectors[start : start + BLOCK] @ vectors.T
        products[:, torch.from_numpy(dead)] = -2
        out[start : start + BLOCK] = products.topk(count, dim=1).indices.numpy()
    return out


def _project(chunks: Iterable[np.ndarray], mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return projections (R, D) of what lies about the mean, its sums and sums of squares (R,), and the clips."""
    rng, clips = np.random.default_rng(SEED), 0
    size = len(mean)
    projected, weight = np.zeros((size, DIMENSIONS)), np.zeros(DIMENSIONS)
    sums, squares = np.zeros(size), np.zeros(size)
    for chunk in chunks:
        x = chunk - mean
        directions = rng.standard_normal((len(x), DIMENSIONS), np.float32)
        projected += x.T @ directions
        weight += directions.sum(0)
        sums += x.sum(0, dtype=np.float64)
        squares += np.square(x, dtype=np.float64).sum(0)
        clips += len(x)
    return projected - sums[:, None] / clips * weight, sums, squares, clips
