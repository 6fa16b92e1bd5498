"""One stimulus: its parameters, and its waveform, made when it is needed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.signal.windows import hann

RAMP = 0.01  # seconds of raised cosine at either end of whatever sounds
TOP = 0.45  # of the sample rate: nothing is made above it
LOWEST = 50.0  # Hz
LEVEL = -20.0  # dB, where a stimulus says nothing else
OCTAVES = 5.0  # that sweeps and ripples span at most
RIPPLE_DEPTH = 0.9
SHIFT = 0.3  # of the fundamental, by which the partials of an inharmonic complex are moved
CHORD_BANDS, CHORD_STEP, CHORD_CHANCE = 6, 0.02, 0.2  # bands an octave, seconds, probability that a band is on
CHORD_LEVELS = (-20.0, 0.0)  # dB of a chord's bands among each other
CHORD_FADE = 0.0025  # seconds
PARTIALS_AN_OCTAVE = 20  # of a ripple
TABLE = 1 << 15  # samples of one period of a complex
NAN = float("nan")


@dataclass(frozen=True)
class Stimulus:
    """Parameters of one stimulus; NaN where one does not apply.

    Attributes
    ----------
    family : str
        What it is made for: ``tone``, ``fine``, ``complex``, ``noise``, ``click``, ``am``, ``sweep``, ``ripple``,
        ``time``, ``chord``, ``silence``.
    kind : str
        What it is, a key of :data:`KINDS`.
    level : float
        dB re the RMS of a sine of full scale, over the part that sounds; of clicks: their peak.
    frequency : float
        Hz: of a tone, a fundamental, the centre of a band, a carrier.
    width : float
        Octaves of a band of noise.
    rate : float
        Hz: of modulation, of repetition.
    density : float
        Cycles an octave of a ripple.
    speed : float
        Octaves a second of a sweep.
    direction : int
        1 rising, -1 falling, 0 neither.
    onset : float
        Share of the duration at which it begins.
    sounding : float
        Seconds for which it sounds; of chirps: of one passage.
    gap : float
        Seconds of silence in its middle.
    """

    family: str
    kind: str
    level: float = LEVEL
    frequency: float = NAN
    width: float = NAN
    rate: float = NAN
    density: float = NAN
    speed: float = NAN
    direction: int = 0
    onset: float = NAN
    sounding: float = NAN
    gap: float = NAN

    def seed(self, repeat: int, run_seed: int) -> int:
        """Return the seed of a repeat; a rising and a falling sound of one repeat share it, so that they are one
        another's mirror."""
        plain = replace(self, direction=0, level=LEVEL, rate=abs(self.rate))
        return zlib.crc32(repr((*asdict(plain).values(), repeat, run_seed)).encode())


def top_of(rate: int) -> float:
    """Return the highest frequency in Hz that stimuli have at a sample rate."""
    return TOP * rate


def span(rate: int) -> tuple[float, float]:
    """Return the lowest and highest frequency in Hz of sweeps and ripples."""
    top = top_of(rate)
    return max(LOWEST, top / 2**OCTAVES), top


def waveform(stimulus: Stimulus, rate: int, seconds: float, seed: int) -> np.ndarray:
    """Return the waveform (samples,) float32 of a stimulus.

    Parameters
    ----------
    stimulus : Stimulus
    rate : int
        Samples a second.
    seconds : float
        Duration D: the length of the waveform.
    seed : int
        Of phases and noise.
    """
    time = np.arange(round(rate * seconds)) / rate
    wave = KINDS[stimulus.kind](stimulus, time, rate, np.random.default_rng(seed))
    return np.clip(wave, -1, 1).astype(np.float32)


def amplitude(level: float) -> float:
    """Return the RMS of a sine at a level in dB.

    Examples
    --------
    >>> round(amplitude(0.0), 4)
    0.7071
    """
    return float(10 ** (level / 20) / np.sqrt(2))


def ramped(wave: np.ndarray, rate: int, seconds: float = RAMP) -> np.ndarray:
    """Return a waveform with raised-cosine ramps at both ends, in place."""
    count = min(round(seconds * rate), len(wave) // 2)
    if count:
        window = hann(2 * count + 1)[:count]
        wave[:count] *= window
        wave[-count:] *= window[::-1]
    return wave


def at_level(wave: np.ndarray, level: float) -> np.ndarray:
    """Return a waveform scaled to a level by its RMS."""
    rms = float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
    return wave * (amplitude(level) / rms) if rms > 0 else wave


def _finished(wave: np.ndarray, s: Stimulus, rate: int) -> np.ndarray:
    return ramped(at_level(wave, s.level), rate)


def sine(frequency: float, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sine of random phase."""
    return np.sin(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi))


def noise(time: np.ndarray, rate: int, rng: np.random.Generator, low: float, high: float, pink: bool) -> np.ndarray:
    """Return Gaussian noise between two frequencies in Hz, of equal power a Hz or, `pink`, an octave."""
    count = len(time)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    inside = (hertz >= low) & (hertz <= high)
    if not inside.any():
        inside[np.argmin(np.abs(hertz - np.sqrt(low * high)))] = True
    spectrum[~inside] = 0
    if pink:
        spectrum[inside] /= np.sqrt(np.maximum(hertz[inside], 1.0))
    return np.fft.irfft(spectrum, count)


def _white(time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    return noise(time, rate, rng, 0.0, rate / 2, False)


def _silence(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(len(time))


def _tone(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    return _finished(sine(s.frequency, time, rng), s, rate)


def _complex(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return equal partials of random phase up to the highest frequency; the first one is left out, or all are moved by
    a share of the fundamental, where the kind says so."""
    shift = SHIFT * s.frequency if s.kind == "shifted" else 0.0
    first = 3 if s.kind == "missing" else 1
    last = max(first, int((top_of(rate) - shift) // s.frequency))
    spectrum = np.zeros(TABLE, complex)
    spectrum[first : last + 1] = np.exp(2j * np.pi * rng.random(last - first + 1))
    table = np.fft.ifft(spectrum) * TABLE  # one period, analytic
    place = np.mod(s.frequency * time, 1.0) * TABLE
    below = place.astype(np.int64)
    share = place - below
    wave = table[below] * (1 - share) + table[(below + 1) % TABLE] * share
    return _finished((wave * np.exp(2j * np.pi * shift * time)).real, s, rate)


def _noise(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    if s.kind == "band":
        low, high = s.frequency * 2 ** (-s.width / 2), min(s.frequency * 2 ** (s.width / 2), top_of(rate))
        return _finished(noise(time, rate, rng, low, high, False), s, rate)
    low = LOWEST / 2 if s.kind == "pink" else 0.0
    return _finished(noise(time, rate, rng, low, rate / 2, s.kind == "pink"), s, rate)


def _clicks(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    wave = np.zeros(len(time))
    peak = amplitude(s.level) * np.sqrt(2)
    if s.kind == "click":
        wave[rng.integers(len(wave) // 4, max(len(wave) // 4 + 1, 3 * len(wave) // 4))] = peak
        return wave
    places = np.arange(rng.random() * min(1 / s.rate, len(wave) / rate / 2), len(wave) / rate, 1 / s.rate)
    wave[np.minimum((places * rate).astype(int), len(wave) - 1)] = peak
    return wave


def modulator(rate: float, time: np.ndarray, rng: np.random.Generator, depth: float = 1.0) -> np.ndarray:
    """Return a sinusoidal envelope of random phase, of mean 1."""
    return 1 + depth * np.sin(2 * np.pi * rate * time + rng.uniform(0, 2 * np.pi))


def _modulated(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    carrier = _white(time, rate, rng) if s.frequency != s.frequency else sine(s.frequency, time, rng)
    return _finished(carrier * modulator(s.rate, time, rng), s, rate)


def glide(
    place: np.ndarray, rate: int, rng: np.random.Generator, low: float, high: float, linear: bool = False
) -> np.ndarray:
    """Return a sine whose frequency follows a place between two frequencies, 0 at `low`, 1 at `high`; what wraps round
    fades out and in."""
    hertz = low + (high - low) * place if linear else low * (high / low) ** place
    wave = np.sin(2 * np.pi * np.cumsum(hertz) / rate + rng.uniform(0, 2 * np.pi))
    edges = np.flatnonzero(np.abs(np.diff(place)) > 0.5) + 1
    for start, stop in zip([0, *edges], [*edges, len(wave)], strict=True):
        ramped(wave[start:stop], rate, RAMP / 2)
    return wave


def _sweep(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    low, high = span(rate)
    speed = 1 / s.sounding if s.kind == "chirp" else s.speed / np.log2(high / low)
    start = 0.0 if s.kind == "chirp" else rng.random()
    wave = glide(np.mod(start + speed * time, 1.0), rate, rng, low, high, s.kind == "chirp")
    return _finished(wave[:: s.direction].copy(), s, rate)


def _siren(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a tone whose pitch swings by an octave about the middle of the range."""
    middle = float(np.sqrt(np.prod(span(rate))))
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * s.rate * time + rng.uniform(0, 2 * np.pi))
    return _finished(glide(swing, rate, rng, middle / np.sqrt(2), middle * np.sqrt(2)), s, rate)


def _ripple(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return partials whose amplitudes rise and fall in waves over time and log frequency.

    Each partial is a line of a spectrum with two side lines, so one inverse transform makes all.
    """
    low, high = span(rate)
    whole = max(1, int(np.ceil(len(time) / rate)))  # seconds: every rate in whole Hz is then a whole number of lines
    octaves = np.arange(0, np.log2(high / low), 1 / PARTIALS_AN_OCTAVE)
    lines = np.unique(np.round(low * 2**octaves * whole).astype(int))
    place = np.log2(lines / whole / low)
    phase = 2 * np.pi * rng.random(len(lines))
    about = 2 * np.pi * rng.random()
    aside = round(s.rate * whole) * (s.direction or 1)
    spectrum = np.zeros(whole * rate // 2 + 1, complex)
    np.add.at(spectrum, lines, np.exp(1j * phase))
    turn = 2 * np.pi * s.density * place - about
    for sign in (1, -1):  # 1 + d cos(2 pi (rate t - density x) + about): what rises has positive rate and density
        at = lines + sign * aside
        kept = (at > 0) & (at < len(spectrum))
        side = 0.5 * RIPPLE_DEPTH * np.exp(1j * (phase - sign * turn))
        np.add.at(spectrum, at[kept], side[kept])
    return _finished(np.fft.irfft(spectrum, whole * rate)[: len(time)], s, rate)


def _burst(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise that sounds for a part of the duration, in two pieces where it has a gap, and grows or dies away
    where the kind says so."""
    seconds = len(time) / rate
    sounding = seconds if s.sounding != s.sounding else min(s.sounding, seconds)
    count = max(2, round(sounding * rate))
    start = min(round((0.0 if s.onset != s.onset else s.onset) * len(time)), len(time) - 2)
    part = at_level(_white(time, rate, rng), s.level)[:count]
    if s.kind in ("ramped", "damped"):
        envelope = np.exp(-np.mod(time[: len(part)] * s.rate, 1.0) * 6)
        part = at_level(part * (envelope[::-1] if s.kind == "ramped" else envelope), s.level)
    if s.gap == s.gap:
        middle, half = len(part) // 2, round(s.gap * rate / 2)
        ramped(part[: middle - half], rate, 0.001)
        ramped(part[middle + half :], rate, 0.001)
        part[middle - half : middle + half] = 0
    wave = np.zeros(len(time))
    part = part[: len(time) - start]
    wave[start : start + len(part)] = ramped(part, rate, min(RAMP, sounding / 4))
    return wave


def chord_frequencies(rate: int) -> np.ndarray:
    """Return (B,) Hz of the bands of random chords."""
    octaves = np.log2(top_of(rate) / LOWEST)
    return LOWEST * 2 ** (np.arange(int(octaves * CHORD_BANDS) + 1) / CHORD_BANDS)


def _chord(s: Stimulus, time: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    hertz = chord_frequencies(rate)
    step = round(CHORD_STEP * rate)
    steps = -(-len(time) // step)
    on = rng.random((len(hertz), steps)) < CHORD_CHANCE
    gains = on * 10 ** (rng.uniform(*CHORD_LEVELS, on.shape) / 20)
    starts = np.arange(steps) * step / rate
    knots = np.stack([starts + CHORD_FADE, starts + CHORD_STEP - CHORD_FADE], 1).ravel()  # between them it fades over
    wave = np.zeros(len(time))
    for frequency, gain in zip(hertz, gains, strict=True):
        wave += np.interp(time, knots, np.repeat(gain, 2)) * sine(frequency, time, rng)
    return _finished(wave, s, rate)


Maker = Callable[[Stimulus, np.ndarray, int, np.random.Generator], np.ndarray]
KINDS: dict[str, Maker] = {
    "silence": _silence, "tone": _tone, "harmonic": _complex, "missing": _complex, "shifted": _complex,
    "white": _noise, "pink": _noise, "band": _noise, "click": _clicks, "train": _clicks, "modulated": _modulated,
    "sweep": _sweep, "chirp": _sweep, "siren": _siren, "ripple": _ripple, "burst": _burst, "ramped": _burst,
    "damped": _burst, "chord": _chord,
}  # fmt: skip
