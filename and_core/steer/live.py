"""Dials while a user waits: one neuron turned up and down on clips or on a sound, and what drives a neuron."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from and_core.audio.media import clip_wave
from and_core.labels.outputs import probabilities
from and_core.query.steering import DoseResponse
from and_core.records import NeuronId
from and_core.steer.dials import DOSES, neuron_push, random_pushes, steered_logits
from and_core.steer.pushes import steerable
from and_core.steer.upstream import Driver, drivers
from and_core.store.dissection import Dissection
from and_core.targets.loaded import network_lock, network_rate, shared_target
from and_core.targets.steer import Dial

CLIPS = 12  # of the probing set, that a dial is turned on
BATCH = 12
RANDOM = 3  # directions beside a neuron
TOP = 8  # highest clips of a neuron, on which what drives it is looked for


@lru_cache(maxsize=16)
def dose_response(d: Dissection, neuron: NeuronId, doses: tuple[float, ...] = DOSES, seed: int = 0) -> DoseResponse:
    """Turn one neuron on clips of the probing set.

    Raises
    ------
    TargetError, PermissionNeeded
        The network can't be loaded, or the layer is of attention heads.
    """
    clips = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(d.with_activations))[:CLIPS])
    waves = _waves(d, clips.tolist())
    return _turned(d, neuron, waves, doses, seed)


def dose_response_of_sound(
    d: Dissection, neuron: NeuronId, wave: np.ndarray, rate: int, doses: tuple[float, ...] = DOSES
) -> DoseResponse:
    """Turn one neuron on a sound, a waveform (samples,) at a rate in Hz."""
    from and_core.audio.decode import resample

    return _turned(d, neuron, [resample(wave, rate, network_rate(d))], doses, 0)


def _waves(d: Dissection, clips: list[int]) -> list[np.ndarray]:
    """Return clips at the rate at which the network hears."""
    rate = network_rate(d)
    return [clip_wave(d, clip, rate) for clip in clips]


def _turned(
    d: Dissection, neuron: NeuronId, waves: list[np.ndarray], doses: tuple[float, ...], seed: int
) -> DoseResponse:
    size, std = d.layer(neuron.layer).size, float(d.activation_std[d.index(neuron)])
    edits = [[Dial(neuron.layer, neuron_push(size, neuron.unit, dose * std))] if dose else [] for dose in doses]
    ends = (0, len(doses) - 1)
    for push in random_pushes(size, std, RANDOM, seed):
        edits += [[Dial(neuron.layer, doses[end] * push)] for end in ends]
    with network_lock():
        target = shared_target(d)
        batches = [target.features(waves[i : i + BATCH]) for i in range(0, len(waves), BATCH)]
        logits = steered_logits(target, batches, edits, steerable(target.hook_points()))
        shares = probabilities(logits, target.multi_label)
    zero = list(doses).index(0.0)
    own, others = shares[: len(doses)], shares[len(doses) :].reshape(RANDOM, len(ends), *shares.shape[1:])
    random = np.full((len(doses), shares.shape[-1]), np.nan)
    random[list(ends)] = np.abs(others.mean(2) - own[zero].mean(0)).mean(0)
    values = np.asarray(d.activations(neuron), float)
    reached = values.mean() + np.array(doses) * std
    likeliest = own.argmax(-1)
    return DoseResponse(
        np.array(doses),
        own.mean(1),
        random,
        (reached > values.max()) | (reached < values.min()),
        (likeliest != likeliest[zero]).mean(1),
    )


@lru_cache(maxsize=16)
def upstream(d: Dissection, neuron: NeuronId, most: int = 6) -> list[Driver]:
    """Return neurons of the layer before that drive a neuron most on its own highest clips; none for the first layer.

    Raises
    ------
    TargetError, PermissionNeeded
        As :func:`dose_response`.
    """
    clips = [int(c) for c in np.asarray(d.extreme_indices("high")[d.index(neuron)])[:TOP] if c >= 0]
    waves = _waves(d, clips)
    with network_lock():
        target = shared_target(d)
        names = [layer.name for layer in d.layers]
        points = steerable(target.hook_points())
        before = [name for name in names[: names.index(neuron.layer)] if name in points]
        if not before or neuron.layer not in points:
            return []
        return drivers(target, target.features(waves), points, before[-1], neuron.layer, neuron.unit, most)
