"""Is a neuron tuned at all: reliability over repeats, a permutation test of selectivity, and correction for many."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import false_discovery_control, pearson3

ENOUGH = 10  # permutations that reach the statistic: then their share is the p value
SMALLEST = 1e-12


def reliability(y: np.ndarray) -> np.ndarray:
    """Return (R,) how far means over repeats would come out the same with other repeats.

    The correlation over stimuli between single repeats, averaged over all pairs, stepped up to the number of repeats by
    the Spearman-Brown formula; 0 where nothing varies.

    Parameters
    ----------
    y : (A, n, R) float
        Responses by stimulus and repeat.

    Examples
    --------
    >>> same = np.repeat(np.arange(4.0)[:, None, None], 2, axis=1)
    >>> reliability(same).round(6).tolist()
    [1.0]
    """
    count = y.shape[1]
    centred = y - y.mean(0)
    norms = np.sqrt(np.einsum("anr,anr->nr", centred, centred))
    every = []
    for i, j in combinations(range(count), 2):
        product = norms[i] * norms[j]
        cross = np.einsum("ar,ar->r", centred[:, i], centred[:, j])
        every.append(np.divide(cross, product, out=np.zeros_like(cross), where=product > SMALLEST))
    single = np.mean(every, 0)
    stepped = count * single / np.where(single > -1 / count, 1 + (count - 1) * single, 1)
    return np.clip(stepped, -1, 1)


def permutation_p(y: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Return (R,) p values of the spread of means over a parameter, against presentations whose values are shuffled.

    Presentations are shuffled within a stratum (a level, where frequency is tested). The statistic is the sum of
    squares between values. Beyond what so many permutations can show, the tail of a gamma distribution with their mean,
    variance and skew is taken (Winkler et al. 2016, NeuroImage 141).

    Parameters
    ----------
    y : (G, A, n, R) float
        Responses by stratum, value of the parameter, repeat and neuron.
    permutations : int
    seed : int
    """
    strata, values, repeats, neurons = y.shape
    trials = values * repeats
    centred = (y - y.mean((1, 2), keepdims=True)).astype(np.float32)
    flat = np.ascontiguousarray(centred.reshape(strata, trials, neurons).transpose(1, 0, 2)).reshape(trials, -1)
    scale = np.sqrt(np.mean(np.square(flat.reshape(trials, strata, neurons)), (0, 1)))
    scale = np.where(scale > SMALLEST, scale, 1)
    flat = (flat.reshape(trials, strata, neurons) / scale).astype(np.float32).reshape(trials, -1)

    def statistic(order: np.ndarray) -> np.ndarray:
        sums = flat[order[0::repeats]]
        for k in range(1, repeats):
            sums += flat[order[k::repeats]]
        return np.einsum("ac,ac->c", sums, sums).reshape(strata, neurons).sum(0, dtype=np.float64)

    observed = statistic(np.arange(trials))
    rng = np.random.default_rng(seed)
    first = second = third = np.zeros(neurons)
    reached = np.zeros(neurons)
    middle = (
        float(trials * strata * repeats) / max(1, trials - 1) * (values - 1) or 1.0
    )  # about the mean under shuffling
    for _ in range(permutations):
        drawn = statistic(rng.permutation(trials))
        reached += drawn >= observed * (1 - 1e-6)
        away = drawn / middle - 1
        first, second, third = first + away, second + away**2, third + away**3
    mean = first / permutations
    variance = np.maximum(second / permutations - mean**2, SMALLEST)
    skew = (third / permutations - 3 * mean * variance - mean**3) / variance**1.5
    far = pearson3.sf((observed / middle - 1 - mean) / np.sqrt(variance), np.clip(skew, 0.01, 10))
    counted = (reached + 1) / (permutations + 1)
    return np.where(reached >= ENOUGH, counted, np.clip(far, SMALLEST, 1))


def corrected(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number (Benjamini and Hochberg); NaN stays, and is not counted.

    Examples
    --------
    >>> corrected(np.array([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    known = np.isfinite(p)
    q = np.full(len(p), np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
