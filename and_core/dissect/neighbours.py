"""Neurons that fire alike among many clips: candidates by a seeded random projection, then their true correlations.

Memory holds R + N times :data:`DIMENSIONS` numbers and one chunk of clips; the time is linear in clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from and_core.dissect.products import product_on

DIMENSIONS = 512  # directions among clips that candidates are compared in
CANDIDATES = 96  # neurons whose true correlations are computed
SEED = 0
BLOCK = 1024  # neurons that are compared with all others at once


def alike(
    chunks: Callable[[], Iterable[np.ndarray]], dead: np.ndarray, mean: np.ndarray, count: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's nearest by correlation over clips.

    Parameters
    ----------
    chunks : callable
        Gives activations in chunks of clips, each (n, R); called five times.
    dead : (R,) bool
        Neurons that have no neighbours and are none.
    mean : (R,) float
        About the means, so that little is lost when the true ones are subtracted.
    count : int
        Neighbours.
    device : str
        Where candidates are looked for; it holds :data:`DIMENSIONS` numbers a neuron, and a chunk of clips.

    Returns
    -------
    neurons : (R, count) int32
        Highest correlation first, -1 for none.
    correlations : (R, count) float32
        NaN for none.
    """
    sums, squares, clips = _sums(chunks(), about := mean.astype(np.float32))
    deviation = np.sqrt(np.maximum(squares - sums**2 / clips, 0))
    centre, scale = about + (sums / clips).astype(np.float32), np.maximum(deviation, 1e-12).astype(np.float32)
    scale[dead] = np.inf

    def standard() -> Iterator[np.ndarray]:
        return ((chunk - centre) / scale for chunk in chunks())

    projected = coordinates(standard, len(dead), device)
    candidates = nearest(projected, dead, min(CANDIDATES, len(dead)), device)
    products = np.zeros(candidates.shape)
    from and_core.dissect import similarity_kernels as kernels  # compiled: a second to load

    for chunk in chunks():
        columns = np.ascontiguousarray((chunk - about).T)
        kernels.add_products(columns, candidates, products, torch.get_num_threads())
    covariance = products - sums[:, None] * sums[candidates] / clips
    correlations = covariance / np.maximum(deviation[:, None] * deviation[candidates], 1e-12)
    own = candidates == np.arange(len(dead))[:, None]
    correlations[dead[candidates] | own | dead[:, None]] = -2
    order = np.argsort(-correlations, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(correlations, order, 1)
    neurons = np.where(values > -2, np.take_along_axis(candidates, order, 1), -1).astype(np.int32)
    return neurons, np.where(values > -2, np.clip(values, -1, 1), np.nan).astype(np.float32)


def nearest(vectors: np.ndarray, dead: np.ndarray, count: int, device: str = "cpu") -> np.ndarray:
    """Return (R, count) int64 rows with the highest products with each row of vectors (R, D), dead ones last."""
    every, out = torch.from_numpy(vectors).to(device), np.empty((len(vectors), count), np.int64)
    gone = torch.from_numpy(dead).to(device)
    for start in range(0, len(vectors), BLOCK):
        products = every[start : start + BLOCK] @ every.T
        products[:, gone] = -2
        out[start : start + BLOCK] = products.topk(count, dim=1).indices.cpu().numpy()
    return out


def coordinates(chunks: Callable[[], Iterable[np.ndarray]], neurons: int, device: str = "cpu") -> np.ndarray:
    """Return (R, D) float32 coordinates of standardised columns in about the D directions among clips that hold most of
    them: a random projection, and one step of subspace iteration (Halko, Martinsson and Tropp 2011).

    Products of coordinates are correlations but for what lies outside of these directions.
    """
    rng, product = np.random.default_rng(SEED), product_on(device)
    drawn = np.zeros((neurons, DIMENSIONS), np.float32)
    for x in chunks():
        drawn += product(x.T, rng.standard_normal((len(x), DIMENSIONS), np.float32))
    basis = np.linalg.qr(np.concatenate([product(x, drawn) for x in chunks()]))[0]
    projected, start = np.zeros((neurons, basis.shape[1]), np.float32), 0
    for x in chunks():
        projected += product(x.T, basis[start : start + len(x)])
        start += len(x)
    return projected


def _sums(chunks: Iterable[np.ndarray], mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return sums and sums of squares (R,) of what lies about the mean, and the clips."""
    sums, squares, clips = np.zeros(len(mean)), np.zeros(len(mean)), 0
    for chunk in chunks:
        x = chunk - mean
        sums += x.sum(0, dtype=np.float64)
        squares += np.square(x, dtype=np.float64).sum(0)
        clips += len(x)
    return sums, squares, clips
