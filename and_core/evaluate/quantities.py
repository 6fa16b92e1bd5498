"""Which acoustic measure a neuron follows: rank correlation of every neuron with every measure, as matrix products.

A measure is chosen on one half of the recordings and its correlation is taken from the other, both ways round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from and_core.evaluate.metrics import unit_rows

FLOOR = 0.6  # held-out Spearman correlation from which a neuron follows a measure
LEVEL = 0.01  # of the corrected p
SAME = 0.8  # rank correlation over clips from which the choices of two halves are the same thing
BINS = 10  # of a measure's range, equally full, that activations are predicted by
LEAST = 10  # recordings in each half that a correlation needs
VALUE_BITS = np.int64(32)


@dataclass(frozen=True)
class Ordered:
    """Activations in rising order.

    Attributes
    ----------
    clips : (R, N) int32
        Clips by rising activation.
    tied : (T,) int
        Neurons that have equal activations.
    values : (T, N) int64
        Of these, whole numbers that are equal where activations are and rise with them.
    """

    clips: np.ndarray
    tied: np.ndarray
    values: np.ndarray

    def among(self, clips: np.ndarray) -> Ordered:
        """Return the order of some of the clips (N,) bool alone."""
        count = int(clips.sum())
        if count == self.clips.shape[1]:
            return self
        inside = clips[self.clips]
        values = self.values[inside[self.tied]].reshape(-1, count)
        return Ordered(self.clips[inside].reshape(-1, count), self.tied, values)


def in_order(u: np.ndarray) -> Ordered:
    """Put activations (R, N) in order.

    Sorting whole numbers, the value above 32 bits and the clip below, is several times as quick as sorting places by
    value.
    """
    bits = (np.ascontiguousarray(u, np.float32) + np.float32(0)).view(np.int32)  # + 0: no negative zero
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64) << VALUE_BITS
    keys |= np.arange(u.shape[1], dtype=np.int64)
    keys.sort(axis=1)
    clips = keys.astype(np.int32)
    keys >>= VALUE_BITS
    tied = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).any(1))
    return Ordered(clips, tied, keys[tied])


def unit_ranks(order: np.ndarray, clips: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """Return (R, n) mean ranks among some of the clips, centred and of unit norm; NaN rows where all are equal.

    Parameters
    ----------
    order : (R, n) int32
        These clips by rising activation.
    clips : (N,) bool
        The clips to rank among, n of them.
    values : (R, n) int64, optional
        As in :class:`Ordered`, where any are equal.
    """
    count, rows = int(clips.sum()), len(order)
    if count < 2:
        return np.full((rows, count), np.nan, np.float32)
    if count < len(clips):
        order = (np.cumsum(clips, dtype=np.int32) - 1)[order]
    places = order + (np.arange(rows, dtype=np.int64) * count)[:, None]
    flat = np.empty(rows * count, np.float32)
    middle = (count - 1) / 2
    if values is None:
        norm = np.sqrt((count**3 - count) / 12)
        flat[places] = ((np.arange(count) - middle) / norm).astype(np.float32)
        return flat.reshape(rows, count)
    begins = np.ones((rows, count), bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)  # runs of equal values
    lengths = np.diff(starts, append=begins.size)
    flat[places.ravel()] = np.repeat(((starts % count) + (lengths - 1) / 2 - middle).astype(np.float32), lengths)
    ranks = flat.reshape(rows, count)
    norms = np.sqrt(np.einsum("rn,rn->r", ranks, ranks, dtype=np.float64))[:, None]
    return ranks / np.where(norms > 0, norms, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Ranking:
    """Measures that are defined on the same clips, ranked among these.

    Attributes
    ----------
    clips : (N,) bool
        Clips that count, n of them.
    columns : (q,) int
        Measures.
    ranks : (q, n) float32
        Mean ranks, centred and of unit norm; NaN where a measure is the same on all clips.
    """

    clips: np.ndarray
    columns: np.ndarray
    ranks: np.ndarray


def rankings(measures: np.ndarray, clips: np.ndarray) -> list[Ranking]:
    """Return the ranks of measures (N, Q) among some of the clips, one entry for all that miss the same clips."""
    defined = np.isfinite(measures) & clips[:, None]
    kinds, which = np.unique(defined.T, axis=0, return_inverse=True)
    made = []
    for number, used in enumerate(kinds):
        columns = np.flatnonzero(np.ravel(which) == number)
        if used.any():
            ranks = stats.rankdata(measures[np.ix_(used, columns)], axis=0).T - (used.sum() + 1) / 2
            norm = np.linalg.norm(ranks, axis=1, keepdims=True)
            made.append(Ranking(used, columns, (ranks / np.where(norm > 0, norm, np.nan)).astype(np.float32)))
    return made


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
    measures = np.asarray(measures, float)
    every = np.ones(measures.shape[0], bool) if clips is None else clips
    return _spearman(in_order(u), rankings(measures, every), measures.shape[1])


def _spearman(u: Ordered, ranked: list[Ranking], measures: int) -> np.ndarray:
    """Return (R, Q) correlations, of neurons with equal activations and of the others in turn."""
    out = np.full((len(u.clips), measures), np.nan, np.float32)
    distinct = np.setdiff1d(np.arange(len(out)), u.tied, assume_unique=True)
    for r in ranked:
        x = u.among(r.clips)
        for rows, values in ((distinct, None), (x.tied, x.values)):
            if len(rows):
                order = x.clips if len(rows) == len(out) else x.clips[rows]
                out[np.ix_(rows, r.columns)] = unit_ranks(order, r.clips, values) @ r.ranks.T
    return np.clip(out, -1, 1)


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
    ranked : list of Ranking
        Measures ranked among these clips.
    bins : (n, Q * bins) float32
        As :func:`bin_indicators`, of these clips.
    concepts : (n, C) float32
        Presence of each concept, centred and of unit norm; zeros where it is the same on all clips.
    """

    clips: np.ndarray
    ranked: list[Ranking]
    bins: np.ndarray
    concepts: np.ndarray


@dataclass(frozen=True)
class Split:
    """Both halves, and the measures ranked among all clips that count: prepared once for all neurons."""

    measures: int
    ranked: list[Ranking]
    first: Half
    second: Half


def halves(measures: np.ndarray, concepts: np.ndarray, first: np.ndarray, used: np.ndarray) -> Split:
    """Return both halves of the clips that are used.

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
        made.append(
            Half(clips, rankings(measures, clips), np.ascontiguousarray(indicators[clips]), x.astype(np.float32))
        )
    return Split(measures.shape[1], rankings(measures, used), made[0], made[1])


def predicted(x: np.ndarray, y: np.ndarray, fit: Half, judge: Half, measures: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how well activations are predicted from one half of the clips to the other.

    Parameters
    ----------
    x, y : (R, n) float32
        Activations on the clips of `fit` and of `judge`, centred and of unit norm.
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


def correlate(u: np.ndarray, split: Split) -> Correlations:
    """Return the correlations of a block of neurons.

    Parameters
    ----------
    u : (R, N) float32
        Activations.
    split : Split
        As :func:`halves` gives it.
    """
    ordered, count = in_order(u), split.measures
    first, second = split.first, split.second
    one, other = (unit_rows(np.asarray(u[:, half.clips], np.float32)) for half in (first, second))
    there, back = predicted(one, other, first, second, count), predicted(other, one, second, first, count)
    return Correlations(
        _spearman(ordered, split.ranked, count),
        _spearman(ordered.among(first.clips), first.ranked, count),
        _spearman(ordered.among(second.clips), second.ranked, count),
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
