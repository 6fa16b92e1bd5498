"""Is a neuron selective by sound alone? The automatic intruder test, and the nearest clips that do not fire.

No explanation is read. From one half of the clips a neuron gets a direction among the sound vectors; on the other half
the direction must tell the neuron's high clips from its low ones. All functions work on a block of neurons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

HIGH = 0.05  # share of a half's clips that are a neuron's high clips
FIRES = 0.2  # share in which a neuron counts as firing
LEAST_HIGH = 5  # high clips of a half, however few clips there are
HAND = 4  # high clips that one low clip, the intruder, hides among
LEAST_CLIPS = 2 * LEAST_HIGH  # of a half
NEGATIVES = 5  # nearest clips that do not fire, kept of each neuron
DRAWS = 9_999  # neurons that fire at random, for the p-value
COLUMNS = ("auroc", "found", "neighbours_fire", "neighbours_chance", "z")


@dataclass(frozen=True)
class Firing:
    """Which clips are high, firing and low for a block of neurons, each (R, N) bool.

    Told by activation, never by place, so that equal activations are treated alike: `low` is at or below the median;
    `high` and `fires` are above it. A neuron that rests on most clips has as many low ones, and fewer high ones than
    others have.
    """

    high: np.ndarray
    fires: np.ndarray
    low: np.ndarray


def high_count(clips: int) -> int:
    """Return how many of so many clips are high."""
    return max(LEAST_HIGH, round(HIGH * clips))


def firing(u: np.ndarray) -> Firing:
    """Tell high, firing and low clips by activations (R, N)."""
    clips = u.shape[1]
    middle, top, active = (clips - 1) // 2, clips - high_count(clips), clips - firing_count(clips)
    ordered = np.partition(u, sorted({middle, top, active}), axis=1)
    low = u <= ordered[:, middle, None]
    return Firing((u >= ordered[:, top, None]) & ~low, (u >= ordered[:, active, None]) & ~low, low)


def firing_count(clips: int) -> int:
    """Return how many of so many clips a neuron without equal activations fires in."""
    return max(high_count(clips), round(FIRES * clips))


def sound_vectors(embeddings: np.ndarray) -> np.ndarray:
    """Return (N, D) float32 embeddings less their mean, of unit length, so that near means a high cosine."""
    x = np.asarray(embeddings, np.float32)
    x = x - x.mean(0)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1)


def measure_vectors(measures: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (N, measures) float32 acoustic measures of mean 0 and variance 1; what is missing lies at the mean.

    A measure that is the same for all clips is left out.
    """
    table = np.stack([np.asarray(values, float) for values in measures.values()], 1)
    known = np.isfinite(table)
    count = np.maximum(1, known.sum(0))
    x = np.where(known, table - np.where(known, table, 0).sum(0) / count, 0)
    spread = np.sqrt((x * x).sum(0) / count)
    varies = spread > 1e-9 * np.maximum(1, np.abs(np.where(known, table, 0)).max(0, initial=0))
    return (x[:, varies] / spread[varies]).astype(np.float32)


def means(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (R, D) mean sound vector of each neuron's clips; zeros where it has none."""
    return mask.astype(np.float32) @ x / np.maximum(1, mask.sum(1))[:, None].astype(np.float32)


def nearness(centres: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (R, N) what grows as the Euclidean distance of a clip from a neuron's centre falls."""
    return centres @ x.T - (x * x).sum(1) / 2


def told_apart(scores: np.ndarray, high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how well scores tell high clips from low ones.

    Parameters
    ----------
    scores : (R, N) float
    high, low : (R, N) bool
        Disjoint.

    Returns
    -------
    auroc : (R,) float
        Area under the ROC curve, equal scores counted half; NaN without high or low clips.
    found : (R,) float
        Probability that of :data:`HAND` high clips and one low clip, all drawn at random, the low one has the lowest
        score, shared evenly with those that equal it; exact, by counting every draw. NaN with fewer high clips.
    """
    order = np.argsort(-scores, axis=1)
    falling = np.take_along_axis(scores, order, 1)
    hits, lows = np.take_along_axis(high, order, 1), np.take_along_axis(low, order, 1)
    changes, edge = falling[:, 1:] < falling[:, :-1], np.ones((len(scores), 1), bool)
    begins, ends = np.concatenate([edge, changes], 1), np.concatenate([changes, edge], 1)
    level = hits.cumsum(1, dtype=np.int32)
    above = np.maximum.accumulate(np.where(begins, level - hits, 0), axis=1)  # high clips that score higher
    until = np.where(ends, level, np.iinfo(np.int32).max)
    level = np.minimum.accumulate(until[:, ::-1], axis=1)[:, ::-1]  # and those that score the same besides
    highs, total = high.sum(1), low.sum(1)
    pairs = ((above + level) * lows).sum(1) / 2
    auroc = np.where(highs * total > 0, pairs / np.maximum(1, highs * total), np.nan)
    # g high clips above the intruder and t equal to it: the sum over j of C(g, 4 - j) C(t, j) / (j + 1) is
    # (C(g + t + 1, 5) - C(g, 5)) / (t + 1), by Vandermonde's identity
    sizes = np.arange(scores.shape[1] + 2, dtype=float)
    hands = np.prod([sizes - i for i in range(HAND + 1)], 0) / np.prod(np.arange(1, HAND + 2))
    draws = ((hands[level + 1] - hands[above]) / (level - above + 1) * lows).sum(1)
    every = np.prod([highs - i for i in range(HAND)], 0) / np.prod(np.arange(1, HAND + 1))
    return auroc, np.where((highs >= HAND) & (total > 0), draws / np.maximum(1, every * total), np.nan)


def standard(auroc: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return AUROC less chance, in standard deviations of the Mann-Whitney statistic of as many clips."""
    n, m = high.astype(float), low.astype(float)
    return (auroc - 0.5) / np.sqrt((n + m + 1) / (12 * np.maximum(1, n * m)))


def both_ways(u: np.ndarray, x: np.ndarray, first: np.ndarray) -> dict[str, np.ndarray]:
    """Test a block of neurons on each half by the direction that the other half gives.

    Parameters
    ----------
    u : (R, N) float32
        Activations.
    x : (N, D) float32
        Sound vectors, see :func:`sound_vectors` and :func:`measure_vectors`.
    first : (N,) bool
        The first half; the others are the second.

    Returns
    -------
    dict of str to array
        (R,) each, means of both ways: ``auroc`` (chance .5) and ``found`` (chance .2), see :func:`told_apart`;
        ``neighbours_fire``, the share that fires of the clips nearest to the other half's high clips, as many as there
        are high ones, and ``neighbours_chance``, the share of all clips that fires; ``z``, the mean of
        :func:`standard`. NaN for a neuron of which fewer than :data:`HAND` clips of either half lie above its median.
    """
    parts = [np.flatnonzero(first), np.flatnonzero(~first)]
    sounds = [x[part] for part in parts]
    fired = [firing(u[:, part]) for part in parts]
    centres = [means(f.high, sound) for f, sound in zip(fired, sounds, strict=True)]
    directions = [centre - means(f.low, sound) for centre, f, sound in zip(centres, fired, sounds, strict=True)]
    ways = []
    for a, b in ((0, 1), (1, 0)):
        f = fired[b]
        auroc, found = told_apart(directions[a] @ sounds[b].T, f.high, f.low)
        nearest = highest(nearness(centres[a], sounds[b]), high_count(len(parts[b])))
        near = np.take_along_axis(f.fires, nearest, 1).mean(1)
        ways.append((auroc, found, near, f.fires.mean(1), standard(auroc, f.high.sum(1), f.low.sum(1))))
    tested = (fired[0].high.sum(1) >= HAND) & (fired[1].high.sum(1) >= HAND)
    return {name: np.where(tested, (one + other) / 2, np.nan) for name, one, other in zip(COLUMNS, *ways, strict=True)}


def selectivity(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what sound alone says of a block of neurons, as features (R,) of confidence; 0, chance, where nothing was
    tested.

    ``apart``: how far the AUROC of high against low clips lies above chance; ``neighbours``: how much more often the
    nearest clips fire than clips do, so that a neuron with many hard negatives has little.
    """
    gain = np.asarray(columns["neighbours_fire"], float) - columns["neighbours_chance"]
    return {"apart": np.nan_to_num(np.asarray(columns["auroc"], float) - 0.5), "neighbours": np.nan_to_num(gain)}


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """Return (R, count) places of the highest values, highest first."""
    count = min(count, values.shape[1])
    places = np.argpartition(-values, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(values, places, 1), axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


def hard_negatives(u: np.ndarray, x: np.ndarray, count: int = NEGATIVES) -> np.ndarray:
    """Return (R, count) clips at or below a neuron's median that sound most like its high clips.

    Nearest to the mean of the high clips first; -1 where there are fewer, or no high ones.
    """
    f = firing(u)
    near = np.where(f.low, nearness(means(f.high, x), x), -np.inf)
    places = highest(near, count)
    there = np.take_along_axis(f.low, places, 1) & np.any(f.high, axis=1, keepdims=True)
    clips = np.full((len(u), count), -1, np.int32)
    clips[:, : places.shape[1]] = np.where(there, places, -1)
    return clips


def random_neurons(sources: np.ndarray, count: int, seed: int | Sequence[int]) -> np.ndarray:
    """Return (count, N) float32 activations of neurons that fire at random, alike on all clips of one recording.

    A neuron that hears the recording, and nothing of what the clips are, is as good as that by chance.

    Parameters
    ----------
    sources : (N,) int
        Source recording of each clip.
    """
    rng = np.random.default_rng(seed)
    number = np.unique(sources, return_inverse=True)[1]
    of_source = rng.standard_normal((count, int(number.max()) + 1), np.float32)
    return of_source[:, number] + 1e-3 * rng.standard_normal((count, len(sources)), np.float32)


def p_values(z: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return share of random neurons that do at least as well, the neuron itself counted; NaN where `z` is.

    Parameters
    ----------
    z : (R,) float
    null : (B,) float
        Of random neurons.
    """
    ordered = np.sort(null[np.isfinite(null)])
    better = len(ordered) - np.searchsorted(ordered, z, "left")
    return np.where(np.isfinite(z), (1 + better) / (1 + len(ordered)), np.nan)
