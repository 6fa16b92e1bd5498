"""Interpretable neurons: those whose high clips share a cluster of captions (AND section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from and_core.records import Layer

TAUS: dict[int, tuple[int, ...]] = {5: (3, 4, 5), 10: (6, 8, 10), 20: (12, 16, 20)}  # K -> the paper's tau
BLOCK = 4096  # neurons at once
DRAWS = 5000  # random sets of clips
PERMUTED_CLIPS = 4096  # up to these, each set comes of an order of all clips; beyond, clip by clip


def most_shared(tops: np.ndarray, related: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each neuron, the cluster that most of its high clips are related to.

    Parameters
    ----------
    tops : (R, K) int
        Clips, -1 for none.
    related : (N, C) bool
        Clips by clusters.

    Returns
    -------
    most : (R,) int16
        Number of the clips related to that cluster; 0 where there are none.
    cluster : (R,) int32
        The cluster (the lowest number at ties), -1 where no clip is related to any.
    """
    most, cluster = np.zeros(len(tops), np.int16), np.full(len(tops), -1, np.int32)
    for start in range(0, len(tops), BLOCK):
        part = tops[start : start + BLOCK]
        shared = (related[np.maximum(part, 0)] & (part >= 0)[..., None]).sum(1)
        most[start : start + BLOCK] = shared.max(1, initial=0)
        cluster[start : start + BLOCK] = (
            np.where(shared.max(1, initial=0) > 0, shared.argmax(1), -1) if shared.shape[1] else -1
        )
    return most, cluster


def random_sets(
    allowed: np.ndarray, k: int, seed: int, sources: np.ndarray | None = None, count: int = DRAWS
) -> np.ndarray:
    """Return (count, k) sets of clips drawn at random.

    Parameters
    ----------
    allowed : (A,) int
        Clips that are drawn from.
    k : int
        Clips of a set, no more than are allowed.
    sources : (A,) int, optional
        Source recording of each; a set then holds no two clips of one.
    count : int
        Sets.
    """
    rng = np.random.default_rng(seed)
    if len(allowed) > PERMUTED_CLIPS:
        return allowed[_distinct(rng, np.arange(len(allowed)) if sources is None else sources, k, count)]
    if sources is None:
        return np.stack([rng.choice(allowed, k, replace=False) for _ in range(count)])
    mixed = (rng.permutation(len(allowed)) for _ in range(count))
    return np.stack([allowed[order[np.sort(np.unique(sources[order], return_index=True)[1])[:k]]] for order in mixed])


def _distinct(rng: np.random.Generator, groups: np.ndarray, k: int, count: int) -> np.ndarray:
    """Return (count, k) places drawn one after the other, again while a set has the group (N,) of a place already; as
    the first of each group in an order of all, without an order of all."""
    places = np.empty((count, k), np.int64)
    for column in range(k):
        again = np.arange(count)
        while len(again):
            places[again, column] = rng.integers(0, len(groups), len(again))
            taken = groups[places[again, :column]] == groups[places[again, column]][:, None]
            again = again[taken.any(1)]
    return places


def shares(sets: np.ndarray, related: np.ndarray) -> np.ndarray:
    """Return (K + 1,) share of sets (S, K) of clips whose best cluster holds 0..K of them."""
    most, _ = most_shared(sets, related)
    return np.bincount(most, minlength=sets.shape[1] + 1) / len(sets)


def by_chance(
    related: np.ndarray, allowed: np.ndarray, k: int, seed: int, sources: np.ndarray | None = None
) -> np.ndarray:
    """Return (K + 1,) share of random sets of `k` clips (:func:`random_sets`) whose best cluster holds 0..k of them.

    Parameters
    ----------
    related : (N, C) bool
        Clips by clusters.
    """
    return shares(random_sets(allowed, k, seed, sources), related)


def uninterpretable(most: np.ndarray, alive: np.ndarray, tau: int, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """Return the percentage of uninterpretable neurons by layer (Figs. 6, 11 to 14); dead neurons are not counted."""
    rows = []
    for layer in layers:
        units = slice(layer.offset, layer.offset + layer.size)
        counted = int(alive[units].sum())
        low = int((most[units][alive[units]] < tau).sum())
        rows.append(
            {
                "layer": layer.name,
                "block": layer.block,
                "kind": layer.kind,
                "neurons": counted,
                "uninterpretable": low,
                "percent": 100 * low / counted if counted else float("nan"),
            }
        )
    return rows
