"""A sound made from a few dials: what is played to a neuron by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from and_core.tuning.stimulus import LEVEL, LOWEST, at_level, modulator, noise, ramped, sine, top_of

PARTIALS = 40  # of a band of noise that glides
EVERYTHING = 10.0  # octaves: wider than anything is heard


@dataclass(frozen=True)
class Dials:
    """What a sound is made from.

    Attributes
    ----------
    frequency : float
        Hz, of a tone or the centre of a band.
    level : float
        dB re the RMS of a sine of full scale.
    width : float
        Octaves of a band of noise; 0 for a pure tone, 10 for white noise.
    rate, depth : float
        Hz and depth, 0 to 1, of amplitude modulation; a rate of 0 for none.
    speed : float
        Octaves a second by which it glides, negative for falling; 0 for none.
    """

    frequency: float = 440.0
    level: float = LEVEL
    width: float = 0.0
    rate: float = 0.0
    depth: float = 1.0
    speed: float = 0.0


def compose(dials: Dials, rate: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Return the waveform (samples,) float32 of a sound from dials.

    What glides passes the frequency in the middle of the sound, and begins again at the other end of the range where it
    leaves it.

    Examples
    --------
    >>> compose(Dials(frequency=1000.0), 16_000, 0.5).shape
    (8000,)
    """
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    top = top_of(rate)
    frequency = float(np.clip(dials.frequency, LOWEST, top))
    if dials.speed and dials.width < EVERYTHING:
        wave = _gliding(dials, frequency, time, rate, rng)
    elif dials.width >= EVERYTHING:
        wave = noise(time, rate, rng, 0.0, rate / 2, False)
    elif dials.width > 0:
        half = dials.width / 2
        wave = noise(time, rate, rng, frequency * 2**-half, min(frequency * 2**half, rate / 2), False)
    else:
        wave = sine(frequency, time, rng)
    if dials.rate > 0 and dials.depth > 0:
        wave = wave * modulator(dials.rate, time, rng, dials.depth)
    wave = ramped(at_level(wave, dials.level), rate)
    return np.clip(wave, -1, 1).astype(np.float32)


def _gliding(dials: Dials, frequency: float, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    octaves = np.log2(top_of(rate) / LOWEST)
    offsets = rng.uniform(-0.5, 0.5, PARTIALS) * dials.width if dials.width else np.zeros(1)
    wave = np.zeros(len(time))
    middle = np.log2(frequency / LOWEST) + dials.speed * (time - time[-1] / 2 if len(time) else time)
    for offset in offsets:
        place = np.mod(middle + offset, octaves)
        part = np.sin(2 * np.pi * np.cumsum(LOWEST * 2**place) / rate + rng.uniform(0, 2 * np.pi))
        edges = np.flatnonzero(np.abs(np.diff(place)) > octaves / 2) + 1
        for start, stop in zip([0, *edges], [*edges, len(part)], strict=True):
            ramped(part[start:stop], rate, 0.005)
        wave += part
    return wave
