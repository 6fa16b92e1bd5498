"""Reading what neurons answer to the battery of stimuli: one neuron's curves, and neurons by what they are tuned to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.tuning.battery import stimuli_of
from and_core.tuning.design import Design
from and_core.tuning.statistics import FAMILIES, responses
from and_core.tuning.stimulus import Stimulus

KEPT = 4
SHARPEST = 0.5  # octaves: narrower than that counts for little in choosing what is shown first
Way = Literal["rising", "falling"]
NAMES = {
    "frequency": "frequency",
    "level": "level",
    "modulation": "amplitude modulation",
    "ripple": "ripples",
    "direction": "direction of sweeps",
    "repetition": "repetition of clicks",
    "duration": "duration",
}


@dataclass(frozen=True, eq=False)
class NeuronTuning:
    """What one neuron answers.

    Attributes
    ----------
    design : Design
    mean, std : (C,) float
        Mean and standard deviation over repeats of the response to each stimulus, in standard deviations of the
        probing set, silence being 0.
    row : dict
        Its statistics, by the columns of :attr:`Dissection.tuning`.
    """

    design: Design
    mean: np.ndarray
    std: np.ndarray
    row: dict[str, Any]

    def at(self, conditions: np.ndarray) -> np.ndarray:
        """Return the mean response to some stimuli."""
        return self.mean[conditions]

    @property
    def carrier(self) -> int:
        """Which of the design's carriers counts for amplitude modulation."""
        hertz = self.row["carrier"]
        return 0 if hertz is None else int(np.argmin(np.abs(np.array(self.design.carriers[1:]) - hertz))) + 1


@lru_cache(maxsize=KEPT)
def design_of(d: Dissection) -> Design:
    """Return the index of a dissection's battery."""
    return Design(d.stimuli)


@lru_cache(maxsize=64)
def tuning_of(d: Dissection, neuron: NeuronId) -> NeuronTuning:
    """Return what a neuron answers.

    Raises
    ------
    NotComputed
        The stage `tuning` has not been run.
    """
    design, index = design_of(d), d.index(neuron)
    raw = d.stimulus_activations(index, index + 1)
    y = responses(raw, design.silence, d.activation_std[index : index + 1])[:, 0]
    counts = np.bincount(design.condition)
    mean = np.bincount(design.condition, y) / counts
    spread = np.sqrt(np.maximum(np.bincount(design.condition, y**2) / counts - mean**2, 0))
    return NeuronTuning(design, mean, spread, d.tuning.slice(index, 1).to_pylist()[0])


def column(d: Dissection, name: str) -> np.ndarray:
    """Return (R,) a statistic of all neurons; NaN where there is none."""
    values = d.tuning[name].to_numpy(zero_copy_only=False)
    return values if values.dtype.kind in "biuO" else values.astype(float)


def best_tuned_neuron(d: Dissection, layers: tuple[str, ...] = ()) -> NeuronId:
    """Return the neuron, of some layers or of all, whose best frequency is clearest: one high and narrow peak;
    hidden ones, those that are excited, and those with a receptive field that holds come first."""
    score = np.nan_to_num(column(d, "best_frequency_height") * column(d, "concentration"))
    score = score / (SHARPEST + np.nan_to_num(column(d, "bandwidth")))
    score = score * column(d, "tuned_to_frequency") * ~column(d, "at_edge") * (1 + (column(d, "sign") > 0))
    score = score * (1 + (np.nan_to_num(column(d, "field_low")) > 0))
    score = score + 1e-9  # of a layer without any, the first
    for layer in d.layers:
        units = slice(layer.offset, layer.offset + layer.size)
        if layers and layer.name not in layers:
            score[units] = 0
        elif layer.kind == "fc" and len(d.layers) > 1:
            score[units] *= 0.1
    return d.neuron_id(int(score.argmax()))


@dataclass(frozen=True)
class TuningQuery:
    """What tuning is looked for; every part that is given must hold.

    Attributes
    ----------
    frequency, rate : (float, float) or None
        Range in Hz of the best frequency, of the best rate of amplitude modulation.
    direction : str or None
        ``rising`` or ``falling``.
    layers : tuple of str
        All where none is named.
    excited : bool
        Only neurons whose response rises at what they are tuned to.
    """

    frequency: tuple[float, float] | None = None
    rate: tuple[float, float] | None = None
    direction: Way | None = None
    layers: tuple[str, ...] = ()
    excited: bool = True


def find_tuned(d: Dissection, query: TuningQuery) -> np.ndarray:
    """Return (n,) neurons that fit, those with the largest effect first."""
    mask = np.asarray(column(d, "tuned"), bool)
    effect = np.zeros(d.neuron_count)
    if query.frequency is not None:
        hertz = column(d, "best_frequency")
        mask = mask & column(d, "tuned_to_frequency") & (hertz >= query.frequency[0]) & (hertz <= query.frequency[1])
        mask &= (column(d, "sign") > 0) | (not query.excited)
        effect += np.nan_to_num(column(d, "best_frequency_height") / (SHARPEST + column(d, "bandwidth")))
    if query.rate is not None:
        rate = column(d, "best_rate")
        mask = mask & column(d, "tuned_to_modulation") & (rate >= query.rate[0]) & (rate <= query.rate[1])
        mask &= (column(d, "rate_sign") > 0) | (not query.excited)
        effect += np.nan_to_num(column(d, "modulation_spread"))
    if query.direction is not None:
        more = column(d, "rises_more") * (1 if query.direction == "rising" else -1)
        mask = mask & column(d, "tuned_to_direction") & (more > 0)
        effect += np.nan_to_num(more)
    if query.layers:
        inside = np.zeros(d.neuron_count, bool)
        for layer in d.layers:
            inside[layer.offset : layer.offset + layer.size] = layer.name in query.layers
        mask = mask & inside
    chosen = np.flatnonzero(mask)
    return chosen[np.argsort(-effect[chosen], kind="stable")]


def stimulus_of(d: Dissection, condition: int) -> Stimulus:
    """Return the parameters of a stimulus."""
    row = int(design_of(d).first[condition])
    return stimuli_of(d.stimuli.slice(row, 1))[0]


def tuned_families(row: dict[str, Any]) -> list[str]:
    """Return what a neuron is tuned to, in words, by its statistics."""
    return [NAMES[name] for name in FAMILIES if row[f"tuned_to_{name}"]]


def hertz(value: float) -> str:
    """Return a frequency as it is written.

    Examples
    --------
    >>> hertz(440.0), hertz(1234.5), hertz(5.66)
    ('440 Hz', '1.23 kHz', '5.7 Hz')
    """
    if value >= 1000:
        return f"{value / 1000:.3g} kHz"
    return f"{value:.0f} Hz" if value >= 10 else f"{value:.2g} Hz"


def in_words(s: Stimulus) -> str:
    """Return a stimulus in words.

    Examples
    --------
    >>> in_words(Stimulus("tone", "tone", -20.0, 440.0))
    'tone of 440 Hz at -20 dB'
    """
    way = {1: "rising", -1: "falling", 0: ""}[s.direction]
    level = f" at {s.level:.0f} dB"
    if s.kind == "silence":
        return "silence"
    if s.kind == "tone":
        return f"tone of {hertz(s.frequency)}{level}"
    if s.kind in ("harmonic", "missing", "shifted"):
        name = {
            "harmonic": "harmonic complex",
            "missing": "complex without its first two partials",
            "shifted": "inharmonic complex",
        }[s.kind]
        return f"{name} on {hertz(s.frequency)}{level}"
    if s.kind in ("white", "pink"):
        return f"{s.kind} noise{level}"
    if s.kind == "band":
        return f"band of noise about {hertz(s.frequency)}, {s.width:.2g} octaves wide"
    if s.kind == "click":
        return "a single click"
    if s.kind == "train":
        return f"{s.rate:.0f} clicks a second"
    if s.kind == "modulated":
        carrier = "noise" if s.frequency != s.frequency else f"tone of {hertz(s.frequency)}"
        return f"{carrier}, modulated at {hertz(s.rate)}"
    if s.kind == "sweep":
        return f"{way} sweeps of {s.speed:.0f} octaves a second"
    if s.kind == "chirp":
        return f"{way} chirps of {s.sounding:.2g} s"
    if s.kind == "siren":
        return f"siren that swings {s.rate:.0f} times a second"
    if s.kind == "ripple":
        return f"{way} ripple of {s.rate:.0f} Hz and {s.density:g} cycles an octave".strip()
    if s.kind in ("ramped", "damped"):
        shape = "grows" if s.kind == "ramped" else "dies away"
        return f"noise that {shape} {s.rate:.0f} times a second"
    if s.gap == s.gap:
        return f"noise with a gap of {1000 * s.gap:.0f} ms"
    if s.kind == "burst":
        return f"noise of {1000 * s.sounding:.0f} ms, beginning at {100 * s.onset:.0f} % of the time"
    return "random chords"
