"""Scores of a block of neurons on the clips that their explanations were not made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from and_core.evaluate.explanations import PREDICTORS
from and_core.evaluate.metrics import (
    HEADLINE,
    METRICS,
    Ranked,
    auprc,
    auprc_draws,
    balanced_accuracy,
    bootstrap_weights,
    detection_places,
    high_count,
    mad,
    mean_ranks,
    pearson,
    pearson_draws,
    ranked,
    roc_auc,
    shown,
    unit_rows,
)  # fmt: skip

BASELINES = ("shuffled explanation", "shuffled activations", "most common", "empty")
WRONG = 3  # clips kept of those that an explanation gets most wrong, on either side
Predict = Callable[[np.ndarray], np.ndarray]
"""Rows of explanations (n,) -> predictions (n, N); the row -1 stands for the empty text."""


@dataclass(frozen=True)
class HeldOut:
    """The held-out clips of one fold.

    Attributes
    ----------
    clips : (N,) int
        Clip numbers.
    weights : (B, N) float32
        Bootstrap samples.
    places : pair of (n,) int
        What detection draws.
    mixed : (N,) int
        A fixed order of the clips, for shuffled activations.
    """

    clips: np.ndarray
    weights: np.ndarray
    places: tuple[np.ndarray, np.ndarray]
    mixed: np.ndarray


def held_out(clips: np.ndarray, draws: int, seed: int) -> HeldOut:
    """Return everything random about a fold, from one seed."""
    rng = np.random.default_rng(seed)
    return HeldOut(
        clips,
        bootstrap_weights(len(clips), draws, seed),
        detection_places(len(clips), seed),
        rng.permutation(len(clips)),
    )


@dataclass(frozen=True)
class MethodBlock:
    """What a method says of a block of neurons: rows of explanations, the layer's most common one, and the predictors
    that read them."""

    which: np.ndarray
    common: int
    predictors: Mapping[str, Predict]


def score_block(
    u: np.ndarray, split: HeldOut, methods: Mapping[str, MethodBlock], seed: int, threads: int = 2
) -> dict[str, np.ndarray]:
    """Return every metric of every method and predictor.

    Parameters
    ----------
    u : (R, N) float32
        Activations on the held-out clips.
    split : HeldOut
    methods : mapping of str to MethodBlock
    seed : int
        Of the shuffled explanations.
    threads : int
        Methods at once.

    Returns
    -------
    dict of str to array
        ``values`` (methods, predictors, metrics, R) and ``baselines`` (methods, baselines, headline metrics, R), NaN
        where a method says nothing or a predictor can't read it; ``draws`` (methods, headline metrics, R, B) by the
        text predictor; ``missed`` and
        ``false`` (methods, R, :data:`WRONG`) clip numbers, -1 for none.
    """
    activity = _Activity(u, split)
    order = np.random.default_rng(seed).permutation(len(u))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        results = list(pool.map(lambda block: _method(block, activity, order), methods.values()))
    return {name: np.stack([one[name] for one in results]) for name in results[0]}


class _Activity:
    """What all methods share: a block's activations, ranked once."""

    def __init__(self, u: np.ndarray, split: HeldOut) -> None:
        self.u, self.split = np.ascontiguousarray(u, np.float32), split
        r = ranked(self.u)
        self.order, self.ranks = r.order, mean_ranks(r)
        self.positives = r.order[:, : high_count(self.u.shape[1])]
        self.unit, self.unit_ranks = unit_rows(self.u), unit_rows(self.ranks)
        self.mixed_positives = split.mixed[self.positives].astype(np.int32)


def _method(block: MethodBlock, a: _Activity, order: np.ndarray) -> dict[str, np.ndarray]:
    neurons, clips = a.u.shape
    draws = len(a.split.weights)
    out = {
        "values": np.full((len(PREDICTORS), len(METRICS), neurons), np.nan, np.float32),
        "baselines": np.full((len(BASELINES), len(HEADLINE), neurons), np.nan, np.float32),
        "draws": np.full((len(HEADLINE), neurons, draws), np.nan, np.float32),
        "missed": np.full((neurons, WRONG), -1, np.int32), "false": np.full((neurons, WRONG), -1, np.int32),
    }  # fmt: skip
    explained = np.flatnonzero(block.which >= 0)
    if not len(explained):
        return out
    unique, row = np.unique(block.which[explained], return_inverse=True)
    for p, name in enumerate(PREDICTORS):
        predict = block.predictors.get(name)
        if predict is None:
            continue
        values = predict(unique)
        readable = np.asarray(np.isfinite(values).all(axis=1))[row]
        r = ranked(np.nan_to_num(values))
        scored, at = explained[readable], row[readable]
        if not len(scored):
            continue
        out["values"][p][:, scored] = _metrics(r, at, a, scored)
        if name == "text":
            s, full = r.values[at], Ranked(r.values[at], r.order[at], r.reach[at])
            out["draws"][0][scored] = pearson_draws(s, a.u[scored], a.split.weights)
            out["draws"][1][scored] = auprc_draws(full, a.positives[scored], a.split.weights)
            gap = mean_ranks(r)[at] - a.ranks[scored]
            take = min(WRONG, clips // 2)
            out["missed"][scored, :take] = a.split.clips[np.argsort(gap, axis=1, kind="stable")[:, :take]]
            out["false"][scored, :take] = a.split.clips[np.argsort(-gap, axis=1, kind="stable")[:, :take]]
            _baselines(out["baselines"], block, r, scored, at, a, order)
    return out


def _metrics(r: Ranked, row: np.ndarray, a: _Activity, neurons: np.ndarray) -> np.ndarray:
    """Return (metrics, neurons), rows of predictions spread over the neurons that share them."""
    ranks, mask = unit_rows(mean_ranks(r)), shown(r)
    return np.stack(
        [
            np.einsum("rn,rn->r", unit_rows(r.values)[row], a.unit[neurons]),
            auprc(_rows(r, row), a.positives[neurons]),
            np.einsum("rn,rn->r", ranks[row], a.unit_ranks[neurons]),
            balanced_accuracy(r.values[row], a.order[neurons], a.split.places),
            roc_auc(mask[row], a.ranks[neurons]),
            mad(mask[row], a.u[neurons]),
        ]
    )


def _rows(r: Ranked, row: np.ndarray) -> Ranked:
    return Ranked(r.values, r.order, r.reach[row])


def _baselines(
    out: np.ndarray, block: MethodBlock, r: Ranked, neurons: np.ndarray, at: np.ndarray, a: _Activity, order: np.ndarray
) -> None:
    ring = np.argsort(order[neurons], kind="stable")
    other = np.empty_like(at)
    other[ring] = at[np.roll(ring, 1)]  # each takes the next one's, so that none keeps its own
    unit = unit_rows(r.values)
    if len(neurons) > 1:
        out[0][:, neurons] = (
            np.einsum("rn,rn->r", unit[other], a.unit[neurons]),
            auprc(_rows(r, other), a.positives[neurons]),
        )
    mixed = np.empty_like(a.unit[neurons])
    mixed[:, a.split.mixed] = a.unit[neurons]
    out[1][:, neurons] = np.einsum("rn,rn->r", unit[at], mixed), auprc(_rows(r, at), a.mixed_positives[neurons])
    for place, row in ((2, block.common), (3, -1)):
        one = ranked(np.nan_to_num(block.predictors["text"](np.array([row]))))
        same = np.zeros(len(neurons), int)
        out[place][:, neurons] = pearson(one.values[same], a.u[neurons]), auprc(_rows(one, same), a.positives[neurons])
