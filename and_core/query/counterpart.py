"""A neuron's place in another network: which neurons of it do the same on the same clips."""

from __future__ import annotations

import numpy as np

from and_core.errors import DataError
from and_core.records import NeuronId
from and_core.store.dissection import Dissection


def same_clips(d: Dissection, other: Dissection) -> bool:
    """Return whether two dissections probe the same clips."""
    return d.manifest.stages["clips"].key == other.manifest.stages["clips"].key


def counterparts(d: Dissection, neuron: NeuronId | str, other: Dissection, k: int = 5) -> list[tuple[NeuronId, float]]:
    """Return the neurons of another dissection that correlate most with one over all clips.

    Returns
    -------
    list of (NeuronId, float)
        Up to `k`, with the Pearson correlation, highest first; the neuron itself and dead ones are left out.

    Raises
    ------
    DataError
        The two are of different clips.
    """
    if not same_clips(d, other):
        raise DataError(f"{d.name!r} and {other.name!r} are of different clips, so no activations can be compared")
    wanted = _standard(np.asarray(d.activations(neuron), np.float32)[:, None])[:, 0]
    correlation = np.concatenate(
        [wanted @ _standard(np.asarray(other.layer_activations(x.name), np.float32)) for x in other.layers]
    ) / len(wanted)
    if other.name == d.name:
        correlation[d.index(neuron)] = np.nan
    order = np.argsort(-np.nan_to_num(correlation, nan=-2), kind="stable")[:k]
    return [(other.neuron_id(int(i)), float(correlation[i])) for i in order if np.isfinite(correlation[i])]


def _standard(x: np.ndarray) -> np.ndarray:
    """Return (N, R) columns of mean 0 and standard deviation 1; NaN where a column never changes."""
    x = x - x.mean(0)
    deviation = x.std(0)
    return np.divide(x, deviation, out=np.full_like(x, np.nan), where=deviation > 0)
