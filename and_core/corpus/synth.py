"""Signal primitives of the synthetic corpus: noise, oscillators, resonances, envelopes, rooms.

Every function works on float64 mono arrays at :data:`SAMPLE_RATE` and draws randomness only from the generator it is
given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import signal

SAMPLE_RATE = 16_000
SECONDS = 3.0
SAMPLES = int(SAMPLE_RATE * SECONDS)
Array = np.ndarray
Rng = np.random.Generator


@dataclass
class Scene:
    """One clip in the making.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness of the clip.
    pitch, rate : float
        Factors on every frequency and on every event rate of a recipe; 1 is the recipe's own.
    """

    rng: Rng
    pitch: float = 1.0
    rate: float = 1.0
    wave: Array = field(default_factory=lambda: np.zeros(SAMPLES))
    onsets: list[float] = field(default_factory=list)
    regular: bool = False

    def add(self, sound: Array, at: float = 0.0, gain: float = 1.0, event: bool = True) -> None:
        """Mix `sound` in at `at` seconds; what falls outside the clip is cut."""
        start = int(at * SAMPLE_RATE)
        if start >= SAMPLES or start < 0:
            return
        piece = sound[: SAMPLES - start]
        self.wave[start : start + len(piece)] += gain * piece
        if event:
            self.onsets.append(round(at, 3))

    def times(self, gap: float, jitter: float, first: float | None = None, most: int = 200) -> list[float]:
        """Return event times in seconds: mean distance `gap` / rate, relative standard deviation `jitter`."""
        self.regular = jitter < 0.12
        at = float(self.rng.uniform(0.02, 0.35)) if first is None else first
        times: list[float] = []
        while at < SECONDS - 0.05 and len(times) < most:
            times.append(at)
            at += gap / self.rate * max(0.15, 1 + jitter * self.rng.standard_normal())
        return times

    def uniform(self, low: float, high: float) -> float:
        """Return a draw from [low, high)."""
        return float(self.rng.uniform(low, high))


def seconds(duration: float) -> Array:
    """Time axis in seconds for `duration` seconds."""
    return np.arange(max(1, int(duration * SAMPLE_RATE))) / SAMPLE_RATE


def noise(rng: Rng, duration: float, slope: float = 0.0) -> Array:
    """Return Gaussian noise of unit RMS with a spectral slope in dB per octave."""
    white = rng.standard_normal(max(16, int(duration * SAMPLE_RATE)))
    if slope:
        spectrum = np.fft.rfft(white)
        octave = np.log2(np.maximum(np.fft.rfftfreq(len(white), 1 / SAMPLE_RATE), 20.0) / 1000.0)
        white = np.fft.irfft(spectrum * 10 ** (slope * octave / 20), len(white))
    return white / (np.sqrt(np.mean(white**2)) + 1e-12)


def band(x: Array, low: float | None = None, high: float | None = None, order: int = 2) -> Array:
    """Return Butterworth low-pass, high-pass or band-pass; edges in Hz are kept inside the audible band."""
    nyquist = SAMPLE_RATE / 2
    low = None if low is None else float(np.clip(low, 15, nyquist * 0.9))
    high = None if high is None else float(np.clip(high, 30, nyquist * 0.98))
    if low is not None and high is not None:
        edges: object = [low, max(high, low * 1.1)]
        kind = "bandpass"
    else:
        edges, kind = (low, "highpass") if low is not None else (high, "lowpass")
    return signal.sosfilt(signal.butter(order, edges, kind, fs=SAMPLE_RATE, output="sos"), x)


def tone(frequency: Array) -> Array:
    """Return sine whose instantaneous frequency in Hz is given per sample."""
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)


def harmonics(frequency: Array, rolloff: float = 6.0, count: int = 30, odd_only: bool = False) -> Array:
    """Return harmonic tone; each octave above the fundamental is `rolloff` dB weaker; nothing above 7.2 kHz."""
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    out = np.zeros(len(frequency))
    for k in range(1, count + 1, 2 if odd_only else 1):
        audible = np.clip((7200 - k * frequency) / 400, 0, 1)
        if not audible.any():
            break
        out += audible * 10 ** (-rolloff * np.log2(k) / 20) * np.sin(k * phase)
    return out


def voice(rng: Rng, frequency: Array, rolloff: float, breath: float, jitter: float = 0.01) -> Array:
    """Return glottal source: harmonics with slow random jitter (relative) and an added share of breath noise."""
    wander = np.cumsum(rng.standard_normal(len(frequency)))
    wander = band(wander, 3, 40)
    wander /= np.abs(wander).max() + 1e-9
    sung = harmonics(frequency * (1 + jitter * wander), rolloff)
    hiss = band(rng.standard_normal(len(frequency)), 500)
    return sung / (np.std(sung) + 1e-9) + breath * hiss


def formants(x: Array, peaks: Sequence[tuple[float, float, float]]) -> Array:
    """Return parallel resonances `(frequency Hz, bandwidth Hz, gain)`."""
    out = np.zeros_like(x)
    for frequency, width, gain in peaks:
        frequency = float(np.clip(frequency, 60, 7400))
        b, a = signal.iirpeak(frequency, max(frequency / width, 0.5), fs=SAMPLE_RATE)
        out += gain * signal.lfilter(b, a, x)
    return out


def modes(duration: float, partials: Sequence[tuple[float, float, float]]) -> Array:
    """Return struck body: a sum of decaying sines `(frequency Hz, decay time s, amplitude)`."""
    t = seconds(duration)
    out = np.zeros(len(t))
    for frequency, decay, amplitude in partials:
        if frequency < 7600:
            out += amplitude * np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t)
    return out


def hump(duration: float, attack: float = 0.1, release: float = 0.3) -> Array:
    """Return envelope from 0 to 1 and back; attack and release are shares of the duration."""
    n = max(2, int(duration * SAMPLE_RATE))
    x = np.linspace(0, 1, n)
    rise = np.clip(x / max(attack, 1e-3), 0, 1)
    fall = np.clip((1 - x) / max(release, 1e-3), 0, 1)
    return np.sin(rise * np.pi / 2) ** 2 * np.sin(fall * np.pi / 2) ** 2


def decay(duration: float, tau: float, attack: float = 0.002) -> Array:
    """Return exponential decay (time constant `tau` s) after a linear attack (s)."""
    t = seconds(duration)
    return np.minimum(t / attack, 1) * np.exp(-t / tau)


def curve(duration: float, points: Sequence[tuple[float, float]]) -> Array:
    """Smooth curve through (share of the duration, value) points, e.g. a pitch contour in Hz."""
    n = max(2, int(duration * SAMPLE_RATE))
    where, values = zip(*points, strict=True)
    raw = np.interp(np.linspace(0, 1, n), where, values)
    width = max(3, n // 30)
    return np.convolve(np.pad(raw, width, mode="edge"), np.ones(width) / width, "same")[width : width + n]


def wobble(rng: Rng, duration: float, rate: float, depth: float) -> Array:
    """Return slow random modulation around 1: `rate` in Hz, `depth` as standard deviation; never negative."""
    n = max(2, int(duration * SAMPLE_RATE))
    knots = rng.standard_normal(int(duration * rate) + 4)
    x = np.linspace(0.0, len(knots) - 1.001, n)
    return np.maximum(0.0, 1 + depth * np.interp(x, np.arange(len(knots)), knots))


def impulses(rng: Rng, duration: float, per_second: float, spread: float = 1.0) -> Array:
    """Return Poisson train of impulses with log-normal heights (sigma `spread`)."""
    n = max(16, int(duration * SAMPLE_RATE))
    hits = rng.random(n) < per_second / SAMPLE_RATE
    return hits * rng.lognormal(0, spread, n) * rng.choice([-1, 1], n)


def reverb(rng: Rng, x: Array, time: float, wet: float) -> Array:
    """Add a room: convolution with exponentially decaying noise; `time` is the 60 dB decay in seconds."""
    n = int(time * SAMPLE_RATE)
    if n < 16 or wet <= 0:
        return x
    t = np.arange(n) / SAMPLE_RATE
    tail = rng.standard_normal(n) * 10 ** (-3 * t / time)
    tail = band(tail, 120, 5000)
    tail /= np.sqrt(np.sum(tail**2)) + 1e-12
    return (1 - wet) * x + wet * signal.fftconvolve(x, tail)[: len(x)]


def level(x: Array, rms: float = 0.1) -> Array:
    """Scale to a root mean square."""
    return x * (rms / (np.sqrt(np.mean(x**2)) + 1e-12))
