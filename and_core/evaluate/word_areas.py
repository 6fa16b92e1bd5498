"""How well measures of the clips bear out what is said of neurons in adjectives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from and_core.audio.adjectives import RULES
from and_core.evaluate.ears import aurocs, rank_shares, whole_draw
from and_core.evaluate.planted_units import measured_words
from and_core.store.dissection import Dissection

BORNE_OUT = 0.75  # area under the ROC curve from which measures bear an adjective out


def adjective_areas(d: Dissection, used: np.ndarray, table: pa.Table, least: int) -> np.ndarray:
    """Return how well neurons tell the clips that earn an adjective by their measures from the others.

    Parameters
    ----------
    used : (N,) bool
        Clips that count.
    table : Table
        One row a neuron and adjective: ``neuron``, ``word``.
    least : int
        Clips that must earn the word, and that must not.

    Returns
    -------
    (rows,) float
        Area under the ROC curve; NaN for words without a measure, or with too few clips.
    """
    names = sorted({rule.word for rule in RULES})
    place = {name: i for i, name in enumerate(names)}
    earned = measured_words(d.clip_table.filter(pa.array(used)).to_pylist())
    mask = np.array([[name in words for name in names] for words in earned], bool).reshape(-1, len(names))
    whole = whole_draw(mask)
    neurons = table["neuron"].to_numpy()
    column = np.array([place.get(word, -1) for word in table["word"].to_pylist()], int)
    area = np.full(len(neurons), np.nan)
    for layer in d.layers:
        rows = np.flatnonzero((neurons >= layer.offset) & (neurons < layer.offset + layer.size) & (column >= 0))
        if len(rows):
            own, at = np.unique(neurons[rows], return_inverse=True)
            u = np.asarray(d.layer_activations(layer.name), np.float32)[used][:, own - layer.offset].T
            area[rows] = aurocs(rank_shares(u), whole, least)[0][at, column[rows]]
    return area
