"""Reading how good explanations are: the scores of one neuron, and a score of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.errors import DataError, one_of
from and_core.evaluate.explanations import PREDICTORS
from and_core.evaluate.metrics import HEADLINE, METRICS
from and_core.evaluate.score import BASELINES
from and_core.records import NeuronId
from and_core.store.dissection import Dissection


def neuron_scores(d: Dissection, neuron: NeuronId | str) -> list[dict[str, Any]]:
    """Return scores of each method's explanation of a neuron, None where it says nothing.

    Returns
    -------
    list of dict
        ``method``, ``confidence``; by the text predictor each of :data:`HEADLINE` with ``_low``, ``_high`` and
        ``_beside`` (what each baseline scores); Pearson correlation by every other predictor; ``others``, the metrics
        that are there for
        comparison.
    """
    d.require("scores")
    index, rows = d.index(neuron), []
    if not d.scored_methods:
        return []
    values, low, high, null = d.score_values, d.score_bound("low"), d.score_bound("high"), d.score_baselines
    sure = d.confidence
    for m, method in enumerate(d.scored_methods):
        scored = np.asarray(values[m, :, :, index])
        row: dict[str, Any] = {"method": method, "confidence": _number(sure[m, index])}
        for h, metric in enumerate(HEADLINE):
            row |= {
                metric: _number(scored[0, METRICS.index(metric)]),
                f"{metric}_low": _number(low[m, h, index]),
                f"{metric}_high": _number(high[m, h, index]),
            }
            row[f"{metric}_beside"] = {name: _number(null[m, b, h, index]) for b, name in enumerate(BASELINES)}
        row["by"] = {name: _number(scored[p, 0]) for p, name in enumerate(PREDICTORS)}
        row["others"] = {name: _number(scored[0, i]) for i, name in enumerate(METRICS) if name not in HEADLINE}
        rows.append(row)
    return rows


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def score_of_all(d: Dissection, method: str, metric: str = "pearson", predictor: str = "text") -> np.ndarray:
    """Return (R,) held-out score of a method's explanations, NaN where it says nothing.

    Raises
    ------
    DataError
        The method has not been scored; the message names those that have.
    """
    d.require("scores")
    methods = d.scored_methods
    for name, value, allowed in (
        ("method", method, methods),
        ("metric", metric, METRICS),
        ("predictor", predictor, PREDICTORS),
    ):
        if value not in allowed:
            raise one_of(name, value, list(allowed), DataError)
    return np.asarray(d.score_values[methods.index(method), PREDICTORS.index(predictor), METRICS.index(metric)])


def confidence_of_all(d: Dissection, method: str) -> np.ndarray:
    """Return (R,) probability that a method's explanation holds, NaN where there is none or it can't be told."""
    d.require("scores")
    methods = d.scored_methods
    if method not in methods:
        raise one_of("method", method, methods, DataError)
    return np.asarray(d.confidence[methods.index(method)])


def wrong_clips(d: Dissection, neuron: NeuronId | str, method: str) -> dict[str, list[int]]:
    """Return held-out clips that an explanation gets most wrong: ``missed`` (the neuron fires, the explanation does not
    say so) and ``false`` (the reverse)."""
    d.require("scores")
    index, m = d.index(neuron), d.scored_methods.index(method)
    return {side: [int(c) for c in d.wrong_clips_of_all(side)[m, index] if c >= 0] for side in ("missed", "false")}


def confident_words(d: Dissection, neuron: NeuronId | str) -> list[dict[str, Any]]:
    """Return each acoustic adjective of a neuron: word, how many halves say it too, held-out correlation, probability
    that it holds (None: can't be told)."""
    d.require("scores")
    return d.words_of(neuron).to_pylist() if d.scored_methods else []


def judged_scores(d: Dissection, neuron: NeuronId | str) -> list[dict[str, Any]]:
    """Return what a language model as judge makes of a neuron's explanations: method, Pearson correlation, clips
    answered, answers that failed."""
    return d.judged_of(neuron).to_pylist() if d.has("judged") else []
