"""A sound from dials, played to a network: what one neuron answers, and which neurons answer most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.targets.loaded import network_rate
from and_core.tuning.compose import Dials, compose
from and_core.uploads.sound import OwnSound, react

SECONDS = 1.0  # where no battery has been played, whose length counts otherwise
KEPT = 4


@dataclass(frozen=True, eq=False)
class Played:
    """What came of a sound.

    Attributes
    ----------
    wave : (samples,) float32
    rate : int
    activations : (R,) float32
    deviations : (R,) float
        Standard deviations above the mean over the probing set; -inf of dead neurons.
    """

    wave: np.ndarray
    rate: int
    activations: np.ndarray
    deviations: np.ndarray


def sample_rate(d: Dissection) -> int:
    """Return the rate in Hz at which the network of a dissection hears."""
    if d.has("tuning"):
        return int(d.notes("tuning")["rate"])
    return network_rate(d)


def play(d: Dissection, dials: Dials) -> Played:
    """Return what the network of a dissection makes of a sound, which fills what the network takes as the battery's
    stimuli do."""
    rate = sample_rate(d)
    plain: dict[str, Any] = {"seconds": SECONDS, "length": SECONDS, "fill": None}
    notes = d.notes("tuning") if d.has("tuning") else plain
    wave = compose(dials, rate, notes["seconds"])
    given = np.resize(wave, round(notes["length"] * rate)) if notes["fill"] == "repeat" else wave
    active = react(d, OwnSound("dials", given, rate, "dials")).activations
    mean, std = d.activation_mean, d.activation_std
    alive = ~d.dead & (std > 0)
    deviations = np.where(alive, (active - mean) / np.where(alive, std, 1), -np.inf)
    return Played(wave, rate, active, deviations)


def strongest(d: Dissection, played: Played, most: int = 8) -> list[tuple[NeuronId, float]]:
    """Return hidden neurons that lie furthest above their mean over the probing set, with standard deviations."""
    far = np.where(_hidden(d), played.deviations, -np.inf)
    return [(d.neuron_id(int(i)), float(far[i])) for i in np.argsort(-far, kind="stable")[:most] if np.isfinite(far[i])]


@lru_cache(maxsize=KEPT)
def _hidden(d: Dissection) -> np.ndarray:
    """Return (R,) bool: neurons of hidden layers; all where there are no others."""
    mask = np.zeros(d.neuron_count, bool)
    for layer in d.layers:
        mask[layer.offset : layer.offset + layer.size] = layer.kind != "fc"
    return mask if mask.any() else ~mask
