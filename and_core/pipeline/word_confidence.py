"""How probably adjectives hold: correlation with captions that say them, calibrated on what the clips measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from and_core.audio.adjectives import RULES
from and_core.evaluate import confidence
from and_core.evaluate.ears import Draw, aurocs
from and_core.evaluate.metrics import mean_ranks, ranked
from and_core.evaluate.planted_units import measured_words
from and_core.pipeline.neurons import blocks
from and_core.pipeline.stage import Run
from and_core.store.writer import StageWriter

BORNE_OUT = 0.75  # area under the ROC curve from which measures bear an adjective out
LEAST_WORDS = 30  # adjectives of neurons that measures can check, for a calibration


def add_words(run: Run, writer: StageWriter) -> dict[str, Any]:
    """Write the probability of each adjective of each neuron; return the reliability curve, none where nothing was
    calibrated.

    An adjective holds where measures of the clips, which no caption is read for, bear it out over the probing set.
    """
    d = run.dissection
    if not d.scored_methods:
        writer.array("words", np.zeros(0, np.float32), ["row of scores/words"], "probability that it holds")
        return {}
    table = d.table("scores/words")
    correlation = np.array([np.nan if v is None else v for v in table["pearson"].to_pylist()], float)
    area = areas(run, table)
    known = np.isfinite(area) & np.isfinite(correlation)
    probability, curve = np.full(len(correlation), np.nan), dict[str, Any]()
    if known.sum() >= LEAST_WORDS:
        holds = area[known] >= BORNE_OUT
        features = {"pearson": correlation[known]}
        neurons = table["neuron"].to_numpy()[known]
        probability = confidence.fit(features, holds)({"pearson": correlation})
        stated = confidence.cross_checked(features, holds, neurons % 2 == 0)
        curve = {"adjectives": confidence.reliability(stated, holds)}
    writer.array("words", probability.astype(np.float32), ["row of scores/words"], "probability that it holds")
    return curve


def areas(run: Run, table: pa.Table) -> np.ndarray:
    """Return (rows,) how well each row's neuron tells the clips that earn its adjective by their measures from the
    others: area under the ROC curve, NaN for words without a measure."""
    d, clips = run.dissection, np.flatnonzero(run.explained_from)
    names = sorted({rule.word for rule in RULES})
    place = {name: i for i, name in enumerate(names)}
    earned = measured_words(d.clip_table.take(clips).to_pylist())
    mask = np.array([[name in words for name in names] for words in earned]).reshape(len(clips), len(names))
    whole = Draw(np.ones(len(clips), np.float32), csr_matrix(mask.T.astype(np.float32)))
    neurons = table["neuron"].to_numpy()
    column = np.array([place.get(word, -1) for word in table["word"].to_pylist()], int)
    area = np.full(len(neurons), np.nan)
    for name, units in blocks(d):
        start = d.layer(name).offset + units.start
        rows = np.flatnonzero((neurons >= start) & (neurons < start + units.stop - units.start) & (column >= 0))
        if len(rows):
            own, at = np.unique(neurons[rows], return_inverse=True)
            u = np.asarray(d.layer_activations(name, units), np.float32)[clips][:, own - start].T
            ranks = (mean_ranks(ranked(u)) / max(1, len(clips))).astype(np.float32)
            area[rows] = aurocs(ranks, whole)[0][at, column[rows]]
    return area
