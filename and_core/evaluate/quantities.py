"""Which acoustic measure a neuron follows: rank correlation of every neuron with every measure, as matrix products.

A measure is chosen on one half of the recordings and its correlation is taken from the other, both ways round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

FLOOR = 0.6  # held-out Spearman correlation from which a neuron follows a measure
LEVEL = 0.01  # of the corrected p
SAME = 0.8  # rank correlation over clips from which the choices of two halves are the same thing
BINS = 10  # of a measure's range, equally full, that activations are predicted by
LEAST = 10  # recordings in each half that a correlation needs
VALUE_BITS = np.int64(32)


def sorted_keys(u: np.ndarray) -> np.ndarray:
    """Return (R, N) int64: each row's values in rising order, their order above 32 bits and their clip below.

    Sorting whole numbers is several times as quick as sorting places by value.
    """
    bits = (np.ascontiguousarray(u, np.float32) + np.float32(0)).view(np.int32)  # + 0: no negative zero
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64) << VALUE_BITS
    keys |= np.arange(u.shape[1], dtype=np.int64)
    keys.sort(axis=1)
    return keys


def unit_ranks(keys: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return (R, n) mean ranks among some of the clips, centred and of unit norm; NaN rows where all are equal.

    Parameters
    ----------
    keys : (R, N) int64
        As :func:`sorted_keys` gives them.
    clips : (N,) bool
        The clips to rank among, n of them.
    """
    order = (keys & 0xFFFFFFFF).astype(np.int32)
    count, rows = int(clips.sum()), len(keys)
    values = keys >> VALUE_BITS
    if count < len(clips):
        inside = clips[order]
        order, values = order[inside].reshape(rows, count), values[inside].reshape(rows, count)
        order = (np.cumsum(clips, dtype=np.int32) - 1)[order]
    if not count:
        return np.zeros((rows, 0), np.float32)
    begins = np.ones((rows, count), bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)  # runs of equal values
    lengths = np.diff(starts, append=begins.size)
    mean = ((starts % count) + (lengths - count) / 2).astype(np.float32)  # rank less the mean of all ranks
    flat = np.empty(rows * count, np.float32)
    flat[(order + (np.arange(rows, dtype=np.int64) * count)[:, None]).ravel()] = np.repeat(mean, lengths)
    ranks = flat.reshape(rows, count)
    norm = np.sqrt(np.einsum("rn,rn->r", ranks, ranks, dtype=np.float64))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks /= np.where(norm > 0, norm, np.nan).astype(np.float32)
    return ranks


def spearman(u: np.ndarray, measures: np.ndarray, clips: np.ndarray | None = None) -> np.ndarray:
    """Return the Spearman correlation of every neuron with every measure.

    Parameters
    ----------
    u : (R, N) float
        Activations.
    measures : (N, Q) float
        NaN where a measure has no meaning for a clip; such clips don't count for it.
    clips : (N,) bool, optional
        The clips that count; default: all.

    Returns
    -------
    (R, Q) float32
        NaN where the neuron or the measure is the same on all clips that count.
    """
    every = np.ones(measures.shape[0], bool) if clips is None else clips
    return _spearman(sorted_keys(u), np.asarray(measures, float), every)


def _spearman(keys: np.ndarray, measures: np.ndarray, clips: np.ndarray) -> np.ndarray:
    out = np.full((len(keys), measures.shape[1]), np.nan, np.float32)
    for used, columns in groups(measures, clips):
        ranks = unit_ranks(keys, used)
        out[:, columns] = ranks @ _columns(measures[np.ix_(used, columns)]).T
    return np.clip(out, -1, 1)


def groups(measures: np.ndarray, clips: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (N,) clips on which measures are defined, with the (q,) columns that are defined on just these."""
    defined = np.isfinite(measures) & clips[:, None]
    kinds, which = np.unique(defined.T, axis=0, return_inverse=True)
    which = np.ravel(which)
    return [(kinds[g], np.flatnonzero(which == g)) for g in range(len(kinds)) if kinds[g].any()]


def _columns(values: np.ndarray) -> np.ndarray:
    """Return (q, n) unit ranks of measures (n, q), in the precision that they are measured in."""
    ranks = stats.rankdata(values, axis=0).T - (len(values) + 1) / 2
    norm = np.linalg.norm(ranks, axis=1, keepdims=True)
    return (ranks / np.where(norm > 0, norm, np.nan)).astype(np.float32)


def recordings(measures: np.ndarray, sources: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return (Q,) number of source recordings with a clip on which each measure is defined."""
    defined = np.isfinite(measures) & clips[:, None]
    return np.array([len(np.unique(sources[column])) for column in defined.T])


def p_values(correlation: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return two-sided p values of Spearman correlations by Student's t.

    Parameters
    ----------
    correlation : (R, Q) float
    count : (Q,) int
        Independent observations behind each column: recordings, since clips of one recording are alike.

    Returns
    -------
    (R, Q) float64
        NaN where there is no correlation or fewer than three observations.
    """
    r = np.asarray(correlation, np.float64)
    free = np.where(count > 2, count - 2, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * stats.t.sf(np.abs(r) * np.sqrt(free / np.maximum(1 - r * r, 0)), free)


def corrected(p: np.ndarray) -> np.ndarray:
    """Return p values corrected over all that are defined, by Benjamini and Yekutieli, whatever the tests share."""
    out = np.full(p.shape, np.nan)
    defined = np.isfinite(p)
    if defined.any():
        out[defined] = stats.false_discovery_control(p[defined], method="by")
    return out


def bin_indicators(measures: np.ndarray, clips: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return (N, Q, bins) float32: which equally full part of a measure's range each clip lies in; none where it is not
    defined.

    Parameters
    ----------
    measures : (N, Q) float
    clips : (N,) bool
        The clips whose values set the bounds.
    """
    out = np.zeros((*measures.shape, bins), np.float32)
    for q, values in enumerate(np.asarray(measures, float).T):
        known = np.isfinite(values)
        if (known & clips).any():
            bounds = np.quantile(values[known & clips], np.arange(1, bins) / bins)
            out[known, q, np.searchsorted(bounds, values[known], side="right")] = 1
    return out


@dataclass(frozen=True)
class Half:
    """One half of the clips, prepared: what a measure and a concept are chosen on, or judged on.

    Attributes
    ----------
    clips : (N,) bool
    bins : (n, Q * bins) float32
        As :func:`bin_indicators`, of these clips.
    concepts : (n, C) float32
        Presence of each concept, centred and of unit norm; zeros where it is the same on all clips.
    """

    clips: np.ndarray
    bins: np.ndarray
    concepts: np.ndarray


def halves(measures: np.ndarray, concepts: np.ndarray, first: np.ndarray, used: np.ndarray) -> tuple[Half, Half]:
    """Return both halves of the clips that are used, prepared once for all neurons.

    Parameters
    ----------
    measures : (N, Q) float
    concepts : (N, C) float
        Presence of concepts: labels, or how probable a caption makes each. C may be 0.
    first, used : (N,) bool
        Clips of the first half; clips that count.
    """
    indicators = bin_indicators(measures, used).reshape(len(measures), -1)
    made = []
    for clips in (used & first, used & ~first):
        x = np.asarray(concepts, np.float64)[clips]
        x = x - x.mean(0) if len(x) else x
        norm = np.linalg.norm(x, axis=0)
        x = x / np.where(norm > 1e-9, norm, np.inf)
        made.append(Half(clips, np.ascontiguousarray(indicators[clips]), x.astype(np.float32)))
    return made[0], made[1]


def predicted(u: np.ndarray, fit: Half, judge: Half, measures: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how well activations are predicted from one half of the clips to the other.

    Parameters
    ----------
    u : (R, N) float
    fit, judge : Half
        What the means of activations are taken from, and what they are judged on.
    measures : int
        Q.

    Returns
    -------
    by_measure : (R, Q) float32
        Pearson correlation on `judge` of the activation with its mean over `fit` at like values of each measure, so
        that any shape of the dependence counts; a clip without the measure is predicted the mean.
    by_concept : (R,) float32
        The same by the one concept that fits best on `fit`; NaN without concepts.
    """
    x, y = (_centred(np.asarray(u[:, half.clips], np.float32)) for half in (fit, judge))
    size = len(x)
    full, other = fit.bins.sum(0), judge.bins.sum(0)
    mean = ((x @ fit.bins) / np.maximum(full, 1)).reshape(size, measures, -1)
    cross = np.einsum("rqb,rqb->rq", mean, (y @ judge.bins).reshape(mean.shape))
    weight = other.reshape(measures, -1) / max(1, len(judge.bins))
    middle, square = np.einsum("rqb,qb->rq", mean, weight), np.einsum("rqb,qb->rq", mean**2, weight)
    spread = np.sqrt(np.maximum(square - middle**2, 0) * max(1, len(judge.bins)))
    by_measure = np.where(spread > 1e-9, cross / np.where(spread > 1e-9, spread, 1), 0)
    if not fit.concepts.shape[1]:
        return by_measure, np.full(size, np.nan, np.float32)
    on_fit = x @ fit.concepts
    best = np.abs(on_fit).argmax(1)
    rows = np.arange(size)
    return by_measure, np.sign(on_fit[rows, best]) * np.einsum("rn,nr->r", y, judge.concepts[:, best])


def _centred(x: np.ndarray) -> np.ndarray:
    """Return rows centred and of unit norm; zeros where all are equal."""
    x = x - x.mean(1, keepdims=True)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 1e-12, norm, np.inf)


@dataclass(frozen=True)
class Followed:
    """The measure that each neuron goes with best, as columns of R.

    Attributes
    ----------
    measure : (R,) int
        Column of the measure; -1 where there is no correlation at all.
    spearman : (R,) float32
        Held-out correlation with it, the mean of both halves, with its sign.
    p : (R,) float64
        Of the correlation over all clips, corrected over all neurons and measures.
    by_measure, by_concept : (R,) float32
        Held-out correlation of the activation with what the measure, and the best single concept, predict.
    follows : (R,) bool
        Both halves choose the measure or one that is the same thing, the correlation is high and significant, and no
        single concept predicts the activation better.
    """

    measure: np.ndarray
    spearman: np.ndarray
    p: np.ndarray
    by_measure: np.ndarray
    by_concept: np.ndarray
    follows: np.ndarray


@dataclass(frozen=True)
class Correlations:
    """Rank correlations of neurons with measures over all clips and in each half, and what predicts activations.

    ``every``, ``first``, ``second`` are (R, Q) Spearman correlations; ``by_measure`` is (2, R, Q) and ``by_concept``
    (2, R), from the first half to the second and back, see :func:`predicted`.
    """

    every: np.ndarray
    first: np.ndarray
    second: np.ndarray
    by_measure: np.ndarray
    by_concept: np.ndarray


def correlate(u: np.ndarray, measures: np.ndarray, pair: tuple[Half, Half]) -> Correlations:
    """Return the correlations of a block of neurons.

    Parameters
    ----------
    u : (R, N) float32
        Activations.
    measures : (N, Q) float
        NaN where a measure has no meaning for a clip.
    pair : pair of Half
        As :func:`halves` gives them.
    """
    keys = sorted_keys(u)
    first, second = pair
    there = predicted(u, first, second, measures.shape[1])
    back = predicted(u, second, first, measures.shape[1])
    return Correlations(
        _spearman(keys, measures, first.clips | second.clips),
        _spearman(keys, measures, first.clips),
        _spearman(keys, measures, second.clips),
        np.stack([there[0], back[0]]).astype(np.float32),
        np.stack([there[1], back[1]]).astype(np.float32),
    )


def likeness(measures: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return (Q, Q) Spearman correlation of measures with each other, 0 where they share too few clips to tell."""
    values = np.asarray(measures, float)[clips]
    out = np.eye(values.shape[1])
    for i in range(values.shape[1]):
        for j in range(i):
            both = np.isfinite(values[:, [i, j]]).all(1)
            if both.sum() >= 2 * LEAST and np.ptp(values[both, i]) > 0 and np.ptp(values[both, j]) > 0:
                out[i, j] = out[j, i] = stats.spearmanr(values[both, i], values[both, j]).statistic
    return out


def followed(c: Correlations, like: np.ndarray, count: np.ndarray) -> Followed:
    """Return the measure that each neuron goes with, chosen on one half and judged on the other.

    Parameters
    ----------
    c : Correlations
        Of all neurons.
    like : (Q, Q) float
        As :func:`likeness` gives it.
    count : (Q,) int
        Recordings behind each measure, as :func:`recordings` gives them.
    """
    enough = count >= 2 * LEAST
    every, first, second = (np.where(enough & np.isfinite(r), r, 0) for r in (c.every, c.first, c.second))
    rows = np.arange(len(every))
    if not every.shape[1]:
        nothing = np.full(len(every), np.nan, np.float32)
        return Followed(np.full(len(every), -1), nothing, nothing, nothing, np.nanmean(c.by_concept, 0), rows < 0)
    on_first, on_second = np.abs(first).argmax(1), np.abs(second).argmax(1)
    measure = np.where(np.abs(every[rows, on_first]) >= np.abs(every[rows, on_second]), on_first, on_second)
    other = np.where(measure == on_first, on_second, on_first)
    sign = np.sign(every[rows, measure])
    # a half's own choice in the direction that it has there, turned into that of the measure that is told
    turned = np.sign(like[measure, other])
    ours, theirs = (np.where(measure == chosen, sign, sign * turned) for chosen in (on_first, on_second))
    from_second = ours * second[rows, on_first]  # chosen on the first half, judged on the second
    from_first = theirs * first[rows, on_second]
    held = (from_second + from_first) / 2
    p = corrected(np.where(enough, p_values(c.every, count), np.nan))[rows, measure]
    by_measure = (c.by_measure[0, rows, on_first] + c.by_measure[1, rows, on_second]) / 2
    by_concept = c.by_concept.mean(0)
    follows = (
        (np.abs(like[on_first, on_second]) >= SAME)
        & (np.minimum(from_first, from_second) > 0)
        & (ours * first[rows, on_first] > 0)
        & (theirs * second[rows, on_second] > 0)
        & (held >= FLOOR)
        & (p < LEVEL)
        & ~(by_measure < by_concept)
    )
    none = sign == 0
    spearman_held = np.where(none, np.nan, sign * held).astype(np.float32)
    return Followed(np.where(none, -1, measure), spearman_held, p, by_measure, by_concept, follows & ~none)
