"""Does a score notice when an explanation is made worse? The checks "missing labels" and "extra labels" of NeuronEval
(ICML 2025).

A neuron whose concept is known is explained by that concept's labels, then by labels half of which are taken away, then
by labels to which as many wrong ones are added. A score that can be trusted falls both times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.evaluate.metrics import (
    METRICS,
    TOP,
    auprc,
    balanced_accuracy,
    detection_places,
    highest,
    mad,
    mean_ranks,
    pearson,
    ranked,
    roc_auc,
    shown,
    spearman,
)

CHANCE = {"pearson": 0.0, "auprc": TOP, "spearman": 0.0, "balanced_accuracy": 0.5, "roc_auc": 0.5, "mad": 0.0}
LEAST_FALL = 0.1  # of a score's distance from chance, for it to count as noticed
PASSING = 0.9  # of the neurons that must notice
FREQUENCIES = (0.01, 0.05, 0.2)  # of the concept of a made-up neuron


def scores(s: np.ndarray, u: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return every metric of predictions (R, N) for activations (R, N)."""
    r, active = ranked(s), ranked(u)
    ranks, mask = mean_ranks(active), shown(r)
    values = (
        pearson(s, u),
        auprc(r, highest(u)),
        spearman(r, ranks),
        balanced_accuracy(r.values, active.order, detection_places(s.shape[1], seed)),
        roc_auc(mask, ranks),
        mad(mask, u),
    )
    return dict(zip(METRICS, values, strict=True))


def worse(truth: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return labels (R, N) made worse: half of each neuron's taken away, or as many wrong ones added."""
    rng = np.random.default_rng(seed)
    labels = {"missing labels": truth.copy(), "extra labels": truth.copy()}
    for row in range(len(truth)):
        inside, outside = np.flatnonzero(truth[row]), np.flatnonzero(~truth[row])
        labels["missing labels"][row, rng.permutation(inside)[: len(inside) // 2]] = False
        labels["extra labels"][row, rng.permutation(outside)[: len(inside)]] = True
    return labels


def noticed(truth: np.ndarray, u: np.ndarray, seed: int) -> dict[str, dict[str, float]]:
    """Return, for each check and metric, the share of neurons whose score falls by a tenth of its distance from chance
    or more."""
    before = scores(truth.astype(np.float32), u, seed)
    shares: dict[str, dict[str, float]] = {}
    for name, labels in worse(truth, seed).items():
        after = scores(labels.astype(np.float32), u, seed)
        shares[name] = {
            m: float(np.mean(before[m] - after[m] >= LEAST_FALL * np.maximum(before[m] - CHANCE[m], 1e-6)))
            for m in METRICS
        }
    return shares


def made_up(frequency: float, clips: int, neurons: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and activations (R, N) of neurons that fire on their concept three standard deviations above the
    noise that they are elsewhere."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((neurons, clips), bool)
    for row in truth:
        row[rng.permutation(clips)[: max(2, round(frequency * clips))]] = True
    return truth, (rng.standard_normal((neurons, clips)) + 3.0 * truth).astype(np.float32)


def table(classes: tuple[np.ndarray, np.ndarray] | None, clips: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return one row a metric: share of neurons that notice each check, on class neurons and on made-up ones, and
    whether the metric passes all.

    Parameters
    ----------
    classes : pair of (R, N) arrays, optional
        Labels (bool) and activations of a classifier's neurons.
    clips : int
        Of the made-up neurons.
    """
    kinds = {"class neurons": classes} if classes is not None else {}
    kinds |= {f"made-up, {frequency:.0%} of clips": made_up(frequency, clips, 100, seed) for frequency in FREQUENCIES}
    noticed_by = {name: noticed(*pair, seed) for name, pair in kinds.items() if pair is not None}
    rows: list[dict[str, Any]] = []
    for metric in METRICS:
        row: dict[str, Any] = {"score": metric}
        for name, checks in noticed_by.items():
            row |= {f"{check} ({name}) %": 100 * shares[metric] for check, shares in checks.items()}
        row["passes"] = all(shares[metric] >= PASSING for checks in noticed_by.values() for shares in checks.values())
        rows.append(row)
    return rows
