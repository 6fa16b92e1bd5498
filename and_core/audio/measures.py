"""Acoustic measures of one clip: what the acoustic captioner says in words and what Appendix C of AND checks.

Conventions: mono float32 waveform in [-1, 1]; every measure is taken at :data:`ANALYSIS_RATE`, so that clips of
different rates compare; frames of 1024 samples (64 ms), hop 256 (16 ms).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import lru_cache

import librosa
import numpy as np

ANALYSIS_RATE = 16_000
FRAME = 1024
HOP = 256
ACTIVE_DB = 25.0  # a frame counts as active within this many dB of the clip's loudest frames
FLOOR_DB = -100.0
PITCHED = 0.7  # autocorrelation from which a frame has a pitch, close to what earns the word "tonal"
PITCHED_SHARE = 0.3  # of the active frames, for a clip to have a pitch; agrees best with pYIN on ESC-10 and on speech
FIRST_PEAK = 0.9  # share of the highest peak that a peak at a shorter lag must reach, so that no octave is lost
AUDIBLE_HZ = 30.0  # real recordings carry wind and handling noise below, which nobody hears


@dataclass(frozen=True)
class Measures:
    """Measured quantities of one clip; see :data:`UNITS`.

    NaN where a quantity has no meaning (one event has no rhythm).
    """

    duration: float
    level: float
    amplitude: float
    median_frequency: float
    centroid: float
    flatness: float
    periodicity: float
    fundamental: float
    dominant_frequency: float
    glide: float
    onset_rate: float
    irregularity: float
    active_share: float
    longest_active: float
    slope: float
    floor: float

    def as_dict(self) -> dict[str, float]:
        """Name -> value."""
        return asdict(self)


UNITS: dict[str, str] = {
    "duration": "s",
    "level": "dBFS, RMS of the loudest tenth of the frames",
    "amplitude": "mean |x| in 16-bit steps (0 to 32767)",
    "median_frequency": "Hz, halves the power spectrum above 30 Hz (MDF)",
    "centroid": "Hz, mean over active frames, weighted by magnitude",
    "flatness": "0 (tone) to 1 (white noise), median over active frames of geometric by arithmetic mean power",
    "periodicity": "0 to 1, median over active frames of the highest normalised autocorrelation between 60 and 2,000 "
    "Hz",
    "fundamental": "Hz, median over active frames with a pitch of 30 to 2,000 Hz; NaN where under 30 % have one",
    "dominant_frequency": "Hz, median over active frames of the strongest bin",
    "glide": "octaves per second, trend of the strongest bin over active frames; NaN where the sound is not tonal",
    "onset_rate": "events per second",
    "irregularity": "standard deviation by mean of the gaps between onsets; NaN below four onsets",
    "active_share": f"share of frames within {ACTIVE_DB:.0f} dB of the level",
    "longest_active": "s, the longest run of active frames",
    "slope": "dB per second, trend of the frame level between first and last active frame",
    "floor": "dB, tenth percentile of the frame level, relative to the level",
}
MEASURES: tuple[str, ...] = tuple(f.name for f in fields(Measures))


def measure(wave: np.ndarray) -> Measures:
    """Measure one clip.

    Parameters
    ----------
    wave : (samples,) float array
        Mono, in [-1, 1], at :data:`ANALYSIS_RATE`.

    Returns
    -------
    Measures
        A silent clip gets the floor level and NaN for everything that has no meaning in silence.
    """
    wave = np.asarray(wave, np.float32)
    duration = len(wave) / ANALYSIS_RATE
    if len(wave) < FRAME:
        wave = np.pad(wave, (0, FRAME - len(wave)))
    magnitude = np.abs(librosa.stft(wave, n_fft=FRAME, hop_length=HOP))
    rms = librosa.feature.rms(y=wave, frame_length=FRAME, hop_length=HOP)[0]
    decibel = 20 * np.log10(np.maximum(rms, 1e-6))
    loudest = float(np.mean(np.sort(decibel)[-max(1, len(decibel) // 10) :]))
    nan = float("nan")
    if loudest <= -90 or not magnitude.any():
        return Measures(
            duration,
            FLOOR_DB,
            float(np.abs(wave).mean() * 32767),
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            nan,
            0.0,
            nan,
            0.0,
            0.0,
            nan,
            nan,
        )

    active = decibel >= loudest - ACTIVE_DB
    power = magnitude**2
    hz = librosa.fft_frequencies(sr=ANALYSIS_RATE, n_fft=FRAME)
    cumulative = np.cumsum(np.where(hz >= AUDIBLE_HZ, power.sum(axis=1), 0.0))
    median_frequency = float(np.interp(cumulative[-1] / 2, cumulative, hz))
    heard = magnitude[:, active]
    centroid = float(np.mean(librosa.feature.spectral_centroid(S=heard, sr=ANALYSIS_RATE)))
    flatness = float(np.median(librosa.feature.spectral_flatness(S=np.maximum(heard[3:], 1e-7), power=2.0)))
    peaks = hz[3 + np.argmax(heard[3:], axis=0)]
    seconds = np.flatnonzero(active) * HOP / ANALYSIS_RATE
    span = seconds[-1] - seconds[0]
    glide = nan
    if flatness < 0.05 and span > 0.2:
        glide = float(np.polyfit(seconds, np.log2(np.maximum(peaks, 30)), 1)[0])
    correlation = _autocorrelation(wave, active)
    slope = float(np.polyfit(seconds, decibel[active], 1)[0]) if span > 0.5 else nan
    onset_rate, irregularity = _rhythm(power, duration)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    longest = float((edges[1::2] - edges[::2]).max() * HOP / ANALYSIS_RATE)
    return Measures(
        duration=duration,
        level=loudest,
        amplitude=float(np.abs(wave).mean() * 32767),
        median_frequency=median_frequency,
        centroid=centroid,
        flatness=flatness,
        periodicity=_periodicity(correlation[: ANALYSIS_RATE // 60 + 1]),
        fundamental=_fundamental(correlation),
        dominant_frequency=float(np.median(peaks)),
        glide=glide,
        onset_rate=onset_rate,
        irregularity=irregularity,
        active_share=float(active.mean()),
        longest_active=longest,
        slope=slope,
        floor=float(np.percentile(decibel, 10) - loudest),
    )


def _autocorrelation(wave: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return (lags, active frames) normalised autocorrelation, for lags of 0 to 1/30 s."""
    padded = np.pad(wave, FRAME // 2)
    frames = librosa.util.frame(padded, frame_length=FRAME, hop_length=HOP)[:, : len(active)]
    frames = frames[:, active[: frames.shape[1]]]
    frames = frames - frames.mean(axis=0)
    spectrum = np.fft.rfft(frames, 2 * FRAME, axis=0)
    lags = np.arange(ANALYSIS_RATE // 30 + 1)[:, None]  # longer ones can't count
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[: len(lags)]
    # the overlap shrinks with the lag; undo it so that a steady tone reaches 1
    correlation /= (correlation[:1] + 1e-9) * (1 - lags / FRAME)
    return correlation


def _beyond_first_dip(correlation: np.ndarray) -> np.ndarray:
    """Return (lags, frames) bool: lags of 1/2000 s or more, beyond the peak at 0."""
    first_dip = np.argmax(correlation < 0.3, axis=0)
    lags = np.arange(len(correlation))[:, None]
    return (lags >= np.maximum(first_dip, ANALYSIS_RATE // 2000)) & (first_dip > 0)


def _periodicity(correlation: np.ndarray) -> float:
    """Return the median over active frames of the autocorrelation's highest peak."""
    highest = np.where(_beyond_first_dip(correlation), correlation, 0).max(axis=0)
    return float(np.clip(np.median(highest), 0, 1))


def _fundamental(correlation: np.ndarray) -> float:
    """Return the median over pitched frames of the rate by the lag of the first high peak, in Hz.

    The choice of the peak is McLeod and Wyvill's ("A smarter way to find pitch", ICMC 2005); a parabola through it and
    its neighbours gives the lag between two samples.
    """
    before, here, after = correlation[:-2], correlation[1:-1], correlation[2:]
    peaks = (here >= before) & (here > after) & _beyond_first_dip(correlation)[1:-1]
    bend = np.where(peaks, before - 2 * here + after, -1.0)
    shift = np.where(peaks, 0.5 * (before - after) / bend, 0.0)
    height = np.where(peaks, here - 0.25 * (before - after) * shift, 0.0)
    highest = height.max(axis=0)
    pitched = np.flatnonzero(highest >= PITCHED)
    if len(pitched) < max(2, PITCHED_SHARE * correlation.shape[1]):
        return float("nan")
    first = np.argmax(height >= FIRST_PEAK * highest, axis=0)[pitched]
    return float(np.median(ANALYSIS_RATE / (first + 1 + shift[first, pitched])))


@lru_cache(maxsize=1)
def _mel_filters() -> np.ndarray:
    """Return (128, frequencies) filter bank that onsets are looked for in, made once."""
    return librosa.filters.mel(sr=ANALYSIS_RATE, n_fft=FRAME, fmax=ANALYSIS_RATE / 2)


def _rhythm(power: np.ndarray, duration: float) -> tuple[float, float]:
    """Return onsets per second and how uneven their gaps are, from a power spectrogram (frequencies, frames)."""
    mel = librosa.power_to_db(np.abs(np.einsum("ft,mf->mt", power, _mel_filters(), optimize=True)))
    strength = librosa.onset.onset_strength(S=mel, sr=ANALYSIS_RATE, hop_length=HOP, n_fft=FRAME)
    # an absolute floor, or normalising would make "events" of steady noise
    strength = np.maximum(strength - 2.5, 0)
    onsets = _peaks(strength / (strength.max() + 1e-9)) * HOP / ANALYSIS_RATE
    gaps = np.diff(onsets)
    uneven = float(np.std(gaps) / np.mean(gaps)) if len(onsets) >= 4 else float("nan")
    return len(onsets) / max(duration, 0.1), uneven


def _peaks(x: np.ndarray, before: int = 1, around: int = 6, delta: float = 0.12, wait: int = 1) -> np.ndarray:
    """Return frames that top the one before and exceed the mean of those around by `delta`, at least `wait` frames
    apart.

    In NumPy on purpose: librosa's picker is compiled by numba at its first call, and processes that do so at once can
    crash.
    """
    frames: list[int] = []
    rising = np.concatenate(([True], x[1:] >= x[:-1])) if before == 1 else np.ones(len(x), bool)
    for n in np.flatnonzero(rising & (x >= delta)).tolist():  # nothing of `x` is below 0, so neither is a mean
        if frames and n <= frames[-1] + wait:
            continue
        if (
            x[n] >= x[max(0, n - before) : n + 1].max()
            and x[n] >= x[max(0, n - around) : n + around + 1].mean() + delta
        ):
            frames.append(n)
    return np.array(frames, int)
