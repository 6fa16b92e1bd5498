"""A map of all neurons: two coordinates for each, so that neurons that say the same, or fire alike, lie together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from and_core.dissect.products import multiply_on, product_on

COMPONENTS = 50  # principal components that distances are taken in
PERPLEXITY = 30
ROUNDS = (100, 200)  # early exaggeration, then plain
MORE, PASSES = 14, 4  # directions beside those that are asked for, and passes over the rows, of `leading_axes`
LEAST = 100  # neurons; fewer are shown by their first two principal components


def components(gram: np.ndarray, count: int = COMPONENTS, device: str = "cpu") -> np.ndarray:
    """Return (N, count) leading eigenvectors of a (N, N) sum of outer products, largest first, found on a device.

    Each with its largest entry positive.
    """
    if device == "cpu":
        values, vectors = np.linalg.eigh(gram.astype(np.float64))
    else:
        import torch

        there = torch.linalg.eigh(torch.from_numpy(gram.astype(np.float64)).to(device))
        values, vectors = (part.cpu().numpy() for part in there)
    chosen = vectors[:, np.argsort(-values)[: min(count, len(values))]]
    signs = np.sign(chosen[np.abs(chosen).argmax(0), np.arange(chosen.shape[1])])
    return (chosen * np.where(signs == 0, 1, signs)).astype(np.float32)


def gram(blocks: Iterable[np.ndarray], device: str = "cpu") -> np.ndarray:
    """Return (D, D) sum of outer products of rows given block by block (each (n, D)), multiplied on a device,
    so that memory holds one block."""
    total: np.ndarray | None = None
    for block in blocks:
        if device == "cpu":
            part = block.T.astype(np.float64) @ block.astype(np.float64)
        else:
            part = multiply_on(device, block.T, block, np.float64)
        total = part if total is None else total + part
    return np.zeros((0, 0)) if total is None else total


def leading_axes(
    blocks: Callable[[], Iterable[np.ndarray]], width: int, seed: int, count: int = COMPONENTS, device: str = "cpu"
) -> np.ndarray:
    """Return (D, count) about what `components` gives of `gram`, without the (D, D) matrix: subspace iteration from a
    random start (Halko, Martinsson and Tropp 2011), linear in D.

    Parameters
    ----------
    blocks : callable
        Gives the rows block by block (each (n, D)); called once for each of :data:`PASSES` and once more.
    width : int
        D.
    seed : int
        Of the start.
    device : str
        Where blocks are multiplied; each is there alone.
    """
    start = np.random.default_rng(seed).standard_normal((width, min(count + MORE, width)), np.float32)
    basis = np.linalg.qr(start)[0]
    product = product_on(device)
    for _ in range(PASSES):
        moved = np.zeros(basis.shape)
        for block in blocks():
            moved += product(block.T, product(block, basis))
        basis = np.linalg.qr(moved)[0].astype(np.float32)
    axes = basis @ components(gram(product(block, basis) for block in blocks()), count)
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return (axes * np.where(signs == 0, 1, signs)).astype(np.float32)


def layout(points: np.ndarray, seed: int, method: str = "tsne") -> tuple[np.ndarray, str]:
    """Return two coordinates for each row.

    Parameters
    ----------
    points : (R, C) float32
        Principal components, the first two with the most spread; rows of NaN (dead neurons) stay NaN.
    seed : int
        The same seed gives the same map; one thread is used for that.
    method : {'tsne', 'pca'}

    Returns
    -------
    places : (R, 2) float32
        t-SNE from the principal components on; or these themselves (``pca``, and below :data:`LEAST` rows).
    method : str
        The one that was used.
    """
    alive = np.isfinite(points).all(1)
    places = np.full((len(points), 2), np.nan, np.float32)
    kept = points[alive]
    start = np.zeros((len(kept), 2), np.float32)
    start[:, : min(2, kept.shape[1])] = kept[:, :2]
    if method == "pca" or len(kept) < LEAST or not kept.std(0).max() > 0:
        places[alive] = start
        return places, "pca"
    from openTSNE import TSNE  # compiled; a second to import

    spread = start / max(float(start.std(0).max()), 1e-12) * 1e-4
    early, plain = ROUNDS
    made = TSNE(
        perplexity=PERPLEXITY, initialization=spread, early_exaggeration_iter=early, n_iter=plain,
        negative_gradient_method="fft" if len(kept) > 1000 else "bh",
        neighbors="annoy" if len(kept) > 10_000 else "exact", n_jobs=1, random_state=seed,
    ).fit(kept)  # fmt: skip
    places[alive] = np.asarray(made, np.float32)
    return places, "tsne"
