"""Acoustic fingerprints: words of 32 bits that stay when a recording is encoded anew, made quieter, cut or shifted.

A bit says whether the difference of two neighbouring bands rises or falls over a quarter of a frame (after Haitsma and
Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002). A second word marks the bits that say anything:
where both bands are silent, or nothing changes, a bit is noise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr

RATE = 11_025
FRAME, HOP = 4096, 256  # samples: 372 and 23 ms
LAG = 4  # hops between the frames that a bit compares
BANDS, LOWEST, HIGHEST = 33, 150.0, 4_500.0  # Hz
FLOOR = 1e-7  # of the loudest band: what lies below is silence, or what a codec left
SILENT = 1e-12  # power of a band, so that nothing but zeros has no logarithm
CHANGE = 0.1  # natural logarithm of power, below which a bit says nothing


def fingerprint(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fingerprint of a clip.

    Parameters
    ----------
    wave : (samples,) float32
        Mono; its level does not matter.
    rate : int
        Samples per second.

    Returns
    -------
    words : (frames,) uint32
        A word for every 23 ms.
    informative : (frames,) uint32
        The bits of each word that say anything.

    Examples
    --------
    >>> words, informative = fingerprint(np.zeros(22_050, np.float32), 22_050)
    >>> int(informative.any())
    0
    """
    x = wave if rate == RATE else np.asarray(soxr.resample(wave, rate, RATE, quality="HQ"), np.float32)
    x = np.pad(x, FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(x, FRAME)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * _window(), axis=1))) @ _bands()
    power = np.log(power + max(FLOOR * float(power.max()), SILENT))
    tilt = power[:, :-1] - power[:, 1:]
    change = tilt[LAG:] - tilt[:-LAG]
    return _packed(change > 0), _packed(np.abs(change) > CHANGE)


def _packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)


@lru_cache(1)
def _window() -> np.ndarray:
    return np.hanning(FRAME).astype(np.float32)


@lru_cache(1)
def _bands() -> np.ndarray:
    """Return (bins, bands) float32: 1 where a bin of the spectrum lies in a band, bands spaced as pitch is."""
    edges = np.geomspace(LOWEST, HIGHEST, BANDS + 1)
    bins = np.fft.rfftfreq(FRAME, 1 / RATE)[:, None]
    return ((bins >= edges[:-1]) & (bins < edges[1:])).astype(np.float32)
