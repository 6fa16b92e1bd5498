"""Sparse non-negative matrix factorisation of spectrograms: the dictionary W, learned once, then frozen ("Listen to
Interpret")."""

from __future__ import annotations

import numpy as np

from and_core.progress import Steps

FLOOR = 1e-9


def normalise(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of (F, K) at unit length, and the lengths (K,)."""
    length = np.maximum(np.linalg.norm(w, axis=0), FLOOR)
    return w / length, length


def activations(
    x: np.ndarray, w: np.ndarray, sparsity: float = 0.0, steps: int = 100, h: np.ndarray | None = None
) -> np.ndarray:
    """Return non-negative H (K, T) for fixed W: ``H <- H * (W'X) / (W'WH + sparsity)``.

    Parameters
    ----------
    x : (F, T)
        Log-magnitude spectrogram.
    w : (F, K)
    h : (K, T), optional
        Where to begin.
    """
    top, gram = w.T @ x, w.T @ w
    h = np.maximum(top, FLOOR).astype(np.float32) if h is None else h
    for _ in range(steps):
        h = h * top / (gram @ h + sparsity + FLOOR)
    return h


def learn(
    x: np.ndarray,
    components: int,
    sparsity: float,
    steps: int = 200,
    seed: int = 0,
    progress: Steps = lambda done, total: None,
) -> np.ndarray:
    """Return dictionary W (F, K) of unit columns from frames X (F, N), by multiplicative updates.

    ``W <- W * (A + W diag(1'(B * W))) / (B + W diag(1'(A * W)))`` with A = X H', B = W H H' keeps columns at unit
    length up to rounding.

    Raises
    ------
    ValueError
        Fewer frames than components.
    """
    if x.shape[1] < components:
        raise ValueError(f"components={components} is more than the {x.shape[1]} frames there are to learn from")
    rng = np.random.default_rng(seed)
    w, _ = normalise(x[:, rng.choice(x.shape[1], components, replace=False)] + 0.01 * rng.random((len(x), components)))
    w = w.astype(np.float32)
    h = np.maximum(w.T @ x, FLOOR).astype(np.float32)
    for step in range(steps):
        h = h * (w.T @ x) / ((w.T @ w) @ h + sparsity + FLOOR)
        a, b = x @ h.T, w @ (h @ h.T)
        w = w * (a + w * (b * w).sum(0)) / (b + w * (a * w).sum(0) + FLOOR)
        w, _ = normalise(np.maximum(w, FLOOR))
        w = w.astype(np.float32)
        progress(step + 1, steps)
    return w


def coherence(w: np.ndarray) -> dict[str, float]:
    """Return the mean and largest cosine between two components.

    Published dictionaries are very coherent (mean .57 and .86).
    """
    gram = normalise(w)[0].T @ normalise(w)[0]
    off = gram[~np.eye(len(gram), dtype=bool)]
    return {"mean": float(off.mean()), "max": float(off.max())} if len(off) else {"mean": 0.0, "max": 0.0}


def error(x: np.ndarray, w: np.ndarray, h: np.ndarray) -> float:
    """Return the relative reconstruction error ``|X - WH| / |X|`` (Frobenius)."""
    return float(np.linalg.norm(x - w @ h) / max(float(np.linalg.norm(x)), FLOOR))


def groups(w: np.ndarray, cosine: float = 0.8) -> list[list[int]]:
    """Return components joined where they are closer than `cosine` (single linkage), so that no group can stand in for
    another."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if w.shape[1] == 1:
        return [[0]]
    gram = normalise(w)[0].T @ normalise(w)[0]
    distance = np.clip(1 - gram, 0, None)
    np.fill_diagonal(distance, 0)
    label = fcluster(linkage(squareform((distance + distance.T) / 2, checks=False), "single"), 1 - cosine, "distance")
    return [
        np.flatnonzero(label == g).tolist()
        for g in sorted(set(label), key=lambda g: int(np.flatnonzero(label == g)[0]))
    ]


def soft_masks(w: np.ndarray, h: np.ndarray, members: list[list[int]]) -> np.ndarray:
    """Return (G, F, T) share of each group in the whole: non-negative, summing to 1 everywhere.

    Where nothing sounds, in equal parts.
    """
    parts = np.stack([w[:, group] @ h[group] for group in members]) + FLOOR
    return (parts / parts.sum(0)).astype(np.float32)
