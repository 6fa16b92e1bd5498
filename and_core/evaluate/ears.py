"""What a pair of ears hears: scores of clips for concepts, as the probability that a clip holds each concept.

Ears are what compares clips with concepts: a text encoder that reads captions, or an encoder that hears the clips.
Their scores are shaped by three numbers fitted once on a collection whose labels are known (see
:mod:`and_core.evaluate.reliability`); without such a collection they have plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from and_core.evaluate.metrics import mean_ranks, ranked

EARS = ("captions", "sounds")
LEAST = 3  # clips of a concept in a draw, below which it can't be a neuron's best
STARTS = ((2.0, 1.0, 1.0), (1.0, 0.5, 0.5), (1.0, 0.9, 0.0))
BIAS_PRIOR = 2.0  # standard deviation of a concept's own error, in log odds, before anything is seen
DIGITS = 12  # kept of what is fitted


@dataclass(frozen=True)
class Hearing:
    """How the scores of a pair of ears become log odds.

    Attributes
    ----------
    scale : float
        Log odds for a standard deviation of scores.
    level : float
        How far a concept's mean score over the clips is taken away: 1, and one that is near to all clips counts no more
        than the others.
    spread : float
        How far each concept's scores are brought to the same standard deviation: 1, wholly.
    bias : float
        Standard deviation of what the ears add to or take from a concept on all clips alike, in log odds.
    """

    scale: float = 2.0
    level: float = 1.0
    spread: float = 1.0
    bias: float = 0.0


def log_odds(scores: np.ndarray, hearing: Hearing) -> np.ndarray:
    """Return (N, M) log odds of each concept, up to a constant of each clip.

    Parameters
    ----------
    scores : (N, M)
        Of clips and concepts: cosines, or logarithms of probabilities.
    """
    scores = np.asarray(scores, np.float64)
    mean, deviation = scores.mean(0), scores.std(0)
    known = deviation > 1e-9 * max(1.0, float(np.abs(scores).max(initial=0)))
    if not known.any():
        return np.zeros(scores.shape, np.float32)
    typical = np.exp(np.log(deviation[known]).mean())
    ratio = np.where(known, deviation, typical) / typical
    shaped = (scores - mean) + (1 - hearing.level) * (mean - mean.mean())
    return (hearing.scale * shaped / typical / ratio**hearing.spread).astype(np.float32)


def softmax(odds: np.ndarray) -> np.ndarray:
    """Return (N, M) float32 probability that a clip holds each concept and no other."""
    power = np.exp(odds - odds.max(1, keepdims=True))
    return (power / power.sum(1, keepdims=True)).astype(np.float32)


def fit_hearing(scores: np.ndarray, truth: np.ndarray) -> Hearing:
    """Fit a hearing by maximum likelihood on clips whose concepts are known.

    Parameters
    ----------
    scores : (N, M)
    truth : (N, M) bool
        Concepts that each clip has; clips without any are left out.

    Returns
    -------
    Hearing
        The plain one where fewer than two concepts occur.
    """
    from scipy.optimize import minimize

    of_clip = truth.any(1)
    concepts = np.flatnonzero(truth[of_clip].any(0))
    if len(concepts) < 2:
        return Hearing()
    scores, truth = np.asarray(scores, np.float64)[of_clip], truth[of_clip]

    def loss(values: np.ndarray) -> float:
        return _surprise(log_odds(scores, Hearing(*values)), truth) + 0.002 * float(((values[1:] - 1) ** 2).sum())

    fits = [minimize(loss, start, method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-3}) for start in STARTS]
    scale, level, spread = (float(v) for v in min(fits, key=lambda fit: fit.fun).x)
    odds = log_odds(scores, Hearing(scale, level, spread)).astype(np.float64)

    def penalised(values: np.ndarray) -> float:
        shifted = odds.copy()
        shifted[:, concepts] += values
        return len(odds) * _surprise(shifted, truth) + float((values**2).sum()) / (2 * BIAS_PRIOR**2)

    biases = minimize(penalised, np.zeros(len(concepts)), method="L-BFGS-B").x
    return Hearing(*(round(value, DIGITS) for value in (scale, level, spread, float(biases.std()))))


def _surprise(odds: np.ndarray, truth: np.ndarray) -> float:
    """Return mean negative log probability of what each clip has."""
    odds = odds - odds.max(1, keepdims=True)
    power = np.exp(odds)
    return float(-np.log((power * truth).sum(1) / power.sum(1) + 1e-12).mean())


# -- draws of what is true -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """One draw of what may be true of clips: a bootstrap sample of the recordings, and the concepts of each clip.

    Attributes
    ----------
    counts : (N,) float32
        How often each clip is in the sample.
    holds : (M, N) csr_matrix
        `counts` where a clip has the concept.
    """

    counts: np.ndarray
    holds: csr_matrix


def drawn_truths(
    odds: np.ndarray | None, truth: np.ndarray | None, bias: float, sources: np.ndarray, count: int, seed: int
) -> list[Draw]:
    """Draw what may be true of clips: their labels where they are known, else one concept a clip by its log odds.

    Every draw shifts each concept by an error of its own (`bias`), common to all clips, so that ears which mistake one
    concept for another are not trusted the more, the more clips there are.

    Parameters
    ----------
    odds : (N, M) or None
        By :func:`log_odds`.
    truth : (N, M) bool or None
        Known concepts; comes before `odds`.
    sources : (N,) int
        Number of each clip's recording; recordings are drawn whole.
    """
    rng, made = np.random.default_rng(seed), []
    recordings = np.unique(sources, return_inverse=True)[1]
    for _ in range(count):
        drawn = rng.multinomial(recordings.max() + 1, np.full(recordings.max() + 1, 1 / (recordings.max() + 1)))
        counts = drawn[recordings].astype(np.float32)
        if truth is None:
            assert odds is not None
            shifted = odds + bias * rng.standard_normal(odds.shape[1]) + rng.gumbel(size=odds.shape)
            clip, concept, shape = np.arange(len(odds)), shifted.argmax(1), odds.shape
        else:
            (clip, concept), shape = np.nonzero(truth), truth.shape
        made.append(Draw(counts, csr_matrix((counts[clip], (concept, clip)), shape=shape[::-1])))
    return made


def rank_shares(u: np.ndarray) -> np.ndarray:
    """Return (R, N) float32 rank of each clip's activation, equal ones sharing their mean, divided by N."""
    return (mean_ranks(ranked(np.asarray(u, np.float32))) / max(1, u.shape[1])).astype(np.float32)


def whole_draw(truth: np.ndarray) -> Draw:
    """Return what is known of clips, (N, M) bool, as the one draw that has each clip once."""
    return Draw(np.ones(len(truth), np.float32), csr_matrix(truth.T.astype(np.float32)))


def aurocs(ranks: np.ndarray, draw: Draw, least: float = LEAST) -> tuple[np.ndarray, np.ndarray]:
    """Return how well neurons tell the clips of each concept from the others.

    Parameters
    ----------
    ranks : (R, N) float32
        By :func:`rank_shares`.
    least : float
        Clips in the draw that a concept, and what is not it, must have.

    Returns
    -------
    area : (R, M) float32
        Area under the ROC curve; NaN for concepts with too few clips.
    z : (R, M) float32
        Its distance from chance in standard deviations of the rank-sum test.
    """
    total = float(draw.counts.sum())
    inside = np.asarray(draw.holds.sum(1)).ravel()
    known = (inside >= least) & (total - inside >= least)
    middle = ranks @ draw.counts / total
    sums = np.asarray((draw.holds @ ranks.T).T)
    share = np.where(known, total / np.maximum(total - inside, 1e-9), np.nan)
    area = (sums / np.maximum(inside, 1e-9) - middle[:, None]) * share
    z = area * np.sqrt(12 * inside * np.maximum(total - inside, 0) / (total + 1))
    return (0.5 + area).astype(np.float32), z.astype(np.float32)


def best_of_draws(ranks: np.ndarray, draws: Sequence[Draw], least: float = LEAST) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each concept is a neuron's best, by area under the ROC curve, and its mean distance from chance.

    Returns
    -------
    share : (R, M) float32
        Of the draws.
    z : (R, M) float32
        Mean over the draws in which the concept has enough clips, 0 where there are none.
    """
    shape = (len(ranks), draws[0].holds.shape[0])
    share, distance, times = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape[1], np.float32)
    for draw in draws:
        area, z = aurocs(ranks, draw, least)
        known = np.isfinite(area[0]) if len(area) else np.zeros(shape[1], bool)
        if known.any():
            share[np.arange(shape[0]), np.where(known, area, -1).argmax(1)] += 1 / len(draws)
        distance[:, known] += z[:, known]
        times += known
    return share, distance / np.maximum(times, 1)


def best_concepts(u: np.ndarray, truth: np.ndarray, least: float = LEAST) -> tuple[np.ndarray, np.ndarray]:
    """Return each neuron's best concept by area under the ROC curve.

    Parameters
    ----------
    u : (R, N)
        Activations.
    truth : (N, M) bool

    Returns
    -------
    concept : (R,) int
        -1 where no concept has enough clips.
    area : (R,) float32
        Its area; NaN where there is none.
    """
    area, _ = aurocs(rank_shares(u), whole_draw(truth), least)
    known = np.isfinite(area).any(0)
    if not known.any():
        return np.full(len(u), -1), np.full(len(u), np.nan, np.float32)
    best = np.where(np.isfinite(area), area, -1).argmax(1)
    return best, area[np.arange(len(u)), best]
