"""How probably adjectives hold: correlation with captions that say them, and how many halves of the recordings say
them, calibrated on what the clips measure."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.evaluate import confidence
from and_core.evaluate.ears import LEAST
from and_core.evaluate.word_areas import BORNE_OUT, adjective_areas
from and_core.pipeline.stage import Run
from and_core.store.writer import StageWriter

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
    area = adjective_areas(d, run.explained_from, table, LEAST)
    known = np.isfinite(area) & np.isfinite(correlation)
    probability, curve = np.full(len(correlation), np.nan), dict[str, Any]()
    if known.sum() >= LEAST_WORDS:
        holds = area[known] >= BORNE_OUT
        halves = table["halves"].to_numpy().astype(float)
        every = {"pearson": correlation, "halves": halves, "both": correlation * halves}
        features = {name: values[known] for name, values in every.items()}
        neurons = table["neuron"].to_numpy()[known]
        probability = confidence.fit(features, holds)(every)
        stated = confidence.cross_checked(features, holds, neurons % 2 == 0)
        curve = {"adjectives": confidence.reliability(stated, holds)}
    writer.array("words", probability.astype(np.float32), ["row of scores/words"], "probability that it holds")
    return curve
