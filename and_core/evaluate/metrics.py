"""How well a prediction made from an explanation agrees with a neuron, for many neurons at once.

Every function takes predictions `s` and activations `u`, both (R, N): neurons by clips that no explanation was made
from. Pearson correlation and AUPRC are the scores to trust; the others are there to be compared with other tools, since
known checks
fail on them (missing and extra labels, see :mod:`and_core.evaluate.sanity`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

TOP = 0.05  # of a neuron's activations that AUPRC, ROC-AUC and MAD call high
DECILES = 10
HEADLINE = ("pearson", "auprc")
COMPARED = ("spearman", "balanced_accuracy", "roc_auc", "mad")
METRICS = HEADLINE + COMPARED


@dataclass(frozen=True)
class Ranked:
    """Predictions in order.

    Attributes
    ----------
    values : (R, N) float32
    order : (R, N) int32
        Clips by falling prediction.
    reach : (R, N) int32
        For each clip, the number of clips predicted at least as high.
    """

    values: np.ndarray
    order: np.ndarray
    reach: np.ndarray


def ranked(values: np.ndarray) -> Ranked:
    """Put predictions (R, N) in order; equal ones share their place."""
    values = np.ascontiguousarray(values, np.float32)
    order = np.argsort(-values, axis=1, kind="stable").astype(np.int32)
    falling = np.take_along_axis(values, order, 1)
    total = values.shape[1]
    ends = np.where(
        np.diff(falling, axis=1, append=-np.inf) < 0, np.arange(1, total + 1, dtype=np.int32), np.int32(total)
    )
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    reach = np.empty_like(order)
    np.put_along_axis(reach, order, last.astype(np.int32), 1)
    return Ranked(values, order, reach)


def mean_ranks(r: Ranked) -> np.ndarray:
    """Return (R, N) rank of each value from 1 (lowest), equal ones sharing their mean."""
    total = r.values.shape[1]
    last = np.take_along_axis(r.reach, r.order, 1)
    begins = np.diff(last, axis=1, prepend=0) > 0
    first = np.maximum.accumulate(np.where(begins, np.arange(1, total + 1, dtype=np.int32), 0), axis=1)
    out = np.empty(last.shape, np.float32)
    np.put_along_axis(out, r.order, (total + 1 - (first + last) / 2).astype(np.float32), 1)
    return out


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Return rows centred and of unit norm; constant rows become 0."""
    size = np.abs(x).max(1, keepdims=True)
    x = x - x.mean(1, keepdims=True)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    flat = norm <= 1e-6 * np.sqrt(x.shape[1]) * np.maximum(size, 1e-30)  # what is left of a constant is rounding
    return np.where(flat, 0, x / np.where(norm > 0, norm, 1)).astype(np.float32)


def pearson(s: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return (R,) Pearson correlation; 0 where either is constant, since a constant tells nothing."""
    return np.einsum("rn,rn->r", unit_rows(s), unit_rows(u))


def highest(u: np.ndarray, share: float = TOP) -> np.ndarray:
    """Return (R, P) clips of each neuron's highest activations, `share` of all and at least one.

    Ties go to the lowest clip.
    """
    return np.argsort(-u, axis=1, kind="stable")[:, : high_count(u.shape[1], share)].astype(np.int32)


def high_count(clips: int, share: float = TOP) -> int:
    """Return how many of so many activations are called high: `share` of them, at least one."""
    return max(1, round(share * clips))


def auprc(r: Ranked, positives: np.ndarray) -> np.ndarray:
    """Return (R,) average precision of the predictions for a neuron's highest clips, by thresholds at distinct
    predictions.

    Chance is the share of positives.
    """
    reach = np.sort(np.take_along_axis(r.reach, positives, 1), axis=1)
    return (_last_of_equals(reach) / reach).mean(1).astype(np.float32)


def _last_of_equals(reach: np.ndarray) -> np.ndarray:
    """Return (R, P) for sorted rows: number of entries up to and including the last that is equal."""
    count = reach.shape[1]
    ends = np.where(np.diff(reach, axis=1, append=np.iinfo(np.int32).max) > 0, np.arange(1, count + 1), count)
    return np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def spearman(r: Ranked, u_ranks: np.ndarray) -> np.ndarray:
    """Return (R,) Pearson correlation of ranks."""
    return pearson(mean_ranks(r), u_ranks)


def shown(r: Ranked, share: float = TOP) -> np.ndarray:
    """Return (R, N) bool: clips that the explanation says hold it: the highest `share` of predictions, none of the
    lowest value."""
    count = max(1, round(share * r.values.shape[1]))
    least = np.take_along_axis(r.values, r.order[:, count - 1 : count], 1)
    return (r.values >= least) & (r.values > r.values.min(1, keepdims=True))


def roc_auc(mask: np.ndarray, u_ranks: np.ndarray) -> np.ndarray:
    """Return (R,) area under the ROC curve of the activations for the clips of `mask`, as in CoSy.

    0.5 where it is all or none.
    """
    inside = mask.sum(1).astype(np.float64)
    outside = mask.shape[1] - inside
    above = (u_ranks * mask).sum(1) - inside * (inside + 1) / 2
    return np.where(inside * outside > 0, above / np.maximum(1, inside * outside), 0.5)


def mad(mask: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return (R,) ``(mean A1 - mean A0) / std A0`` of the activations inside and outside `mask`, as in CoSy.

    0 where it is all or none.
    """
    inside, outside = mask.sum(1), (~mask).sum(1)
    one = (u * mask).sum(1) / np.maximum(1, inside)
    other = (u * ~mask).sum(1) / np.maximum(1, outside)
    spread = np.sqrt((((u - other[:, None]) ** 2) * ~mask).sum(1) / np.maximum(1, outside))
    defined = (inside > 0) & (outside > 0) & (spread > 0)
    return np.where(defined, (one - other) / np.where(spread > 0, spread, 1), 0)


def detection_places(clips: int, seed: int, each: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return places in the order of falling activation that detection draws: positives equally from ten bins of the
    upper half, as many of the lower half."""
    rng = np.random.default_rng(seed)
    half = clips // 2
    bins = [part for part in np.array_split(np.arange(half), min(DECILES, half)) if len(part)]
    positives = np.concatenate([rng.permutation(part)[:each] for part in bins]) if bins else np.zeros(0, int)
    negatives = half + rng.permutation(clips - half)[: len(positives)]
    return np.sort(positives), np.sort(negatives)


def balanced_accuracy(s: np.ndarray, u_order: np.ndarray, positions: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return (R,) detection: ``(TP/P + TN/N) / 2`` with a clip called active where its prediction is above the mean of
    the clips drawn."""
    drawn = [np.take_along_axis(s, u_order[:, part], 1) for part in positions]
    middle = np.concatenate(drawn, 1).mean(1, keepdims=True)
    return ((drawn[0] > middle).mean(1) + (drawn[1] <= middle).mean(1)) / 2


def bootstrap_weights(clips: int, draws: int, seed: int) -> np.ndarray:
    """Return (B, N) float32: how often each clip is drawn in each bootstrap sample."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), draws).astype(np.float32)


def pearson_draws(s: np.ndarray, u: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (R, B) Pearson correlation in each bootstrap sample."""
    s, u, total = unit_rows(s), unit_rows(u), weights.sum(1)
    w = weights.T
    mean_s, mean_u = s @ w / total, u @ w / total
    cross = (s * u) @ w / total - mean_s * mean_u
    spread = np.maximum((s * s) @ w / total - mean_s**2, 0) * np.maximum((u * u) @ w / total - mean_u**2, 0)
    return np.where(spread > 0, cross / np.sqrt(np.where(spread > 0, spread, 1)), 0).astype(np.float32)


def auprc_draws(r: Ranked, positives: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (R, B) average precision in each bootstrap sample of clips; the positives stay those of all clips."""
    neurons, count = positives.shape
    total = r.order.shape[1]
    reach = np.take_along_axis(r.reach, positives, 1)
    by_reach = np.argsort(reach, axis=1, kind="stable")
    reach, chosen = np.take_along_axis(reach, by_reach, 1), np.take_along_axis(positives, by_reach, 1)
    drawn = np.ascontiguousarray(weights.T)
    # one sparse row a positive: the clips predicted at least as high as it, but lower than the positive before it
    inside = np.arange(total) < reach[:, -1:]
    pointers = np.concatenate([[0], np.cumsum(np.diff(reach, axis=1, prepend=0).ravel())])
    between = csr_matrix(
        (np.ones(int(pointers[-1]), np.float32), r.order[inside], pointers), shape=(neurons * count, total)
    )
    predicted = (between @ drawn).reshape(neurons, count, -1).cumsum(1)
    own = drawn[chosen]
    hits = np.take_along_axis(own.cumsum(1), (_last_of_equals(reach) - 1)[..., None], 1)
    return ((own * hits / np.maximum(predicted, 1)).sum(1) / np.maximum(own.sum(1), 1)).astype(np.float32)
