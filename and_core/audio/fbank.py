"""Kaldi log-mel filter banks, batched, in torch: the front end of AST and BEATs on CPU or GPU.

Follows Kaldi's `compute-fbank-feats` with dither 0, `snip_edges`, per-frame mean removal, pre-emphasis 0.97 and
triangles that are linear in mel. Checked against torchaudio's values and against transformers' extractor in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from and_core.errors import DataError

FRAME_SECONDS = 0.025
SHIFT_SECONDS = 0.010
EPSILON = 1.1920929e-07


def kaldi_fbank(
    waves: torch.Tensor,
    *,
    mel_bins: int = 128,
    sample_rate: int = 16_000,
    window: str = "hanning",
    scale: float = 1.0,
    low_hz: float = 20.0,
) -> torch.Tensor:
    """Log-mel energies of a batch of waveforms of one length.

    Parameters
    ----------
    waves : (B, samples) float32
        Mono, in [-1, 1].
    mel_bins : int
        Number of triangles between `low_hz` and half the sample rate.
    window : {'hanning', 'povey'}
        AST uses the first, BEATs the second.
    scale : float
        Factor on the waveform (BEATs: 2**15).

    Returns
    -------
    (B, frames, mel_bins) float32
        Natural log of the energies, floored at float32's epsilon.

    Raises
    ------
    DataError
        Fewer samples than one frame.
    """
    length = round(FRAME_SECONDS * sample_rate)
    if waves.shape[-1] < length:
        raise DataError(f"clip has {waves.shape[-1]} samples; at least {length} (one frame of 25 ms) are needed")
    padded = 2 ** math.ceil(math.log2(length))
    frames = (waves * scale).unfold(-1, length, round(SHIFT_SECONDS * sample_rate))
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    frames = (frames - 0.97 * previous) * _window(window, length).to(frames)
    power = torch.fft.rfft(frames, padded).abs().square()[..., :-1]
    energies = power @ _mel_banks(mel_bins, padded, sample_rate, low_hz).to(power)
    return energies.clamp_min(EPSILON).log()


def fbank_by(front_end: str) -> Callable[..., torch.Tensor]:
    """Return what computes filter banks: :func:`kaldi_fbank` (``own``) or torchaudio's,
    which takes the same arguments."""
    if front_end == "own":
        return kaldi_fbank
    from and_core.audio.torchaudio_bridge import require_torchaudio, torchaudio_fbank

    require_torchaudio(f"target.front_end={front_end!r}")
    return torchaudio_fbank


@lru_cache(maxsize=8)
def _window(name: str, length: int) -> torch.Tensor:
    if name not in ("hanning", "povey"):
        raise ValueError(f"window={name!r}; allowed: hanning, povey")
    with torch.inference_mode(False):  # kept for later: it must serve training too
        hann = torch.hann_window(length, periodic=False, dtype=torch.float64)
        return (hann if name == "hanning" else hann**0.85).float()


@lru_cache(maxsize=8)
def _mel_banks(bins: int, padded: int, sample_rate: int, low_hz: float) -> torch.Tensor:
    """Return (padded / 2, bins) triangle weights; the bin at half the sample rate has weight 0 and is left out."""

    edges = np.linspace(_mel(low_hz), _mel(sample_rate / 2), bins + 2)
    at = _mel(np.arange(padded // 2) * sample_rate / padded)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.minimum((at - left) / (centre - left), (right - at) / (right - centre))
    with torch.inference_mode(False):
        return torch.from_numpy(np.maximum(weights, 0.0).astype(np.float32))


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)


def patch_edges(
    rows: int, columns: int, frames: int, bins: int, mel_bins: int, sample_rate: int, low_hz: float = 20.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return edges of a grid of patches over the filter banks: in seconds (columns + 1,) and in Hz (rows + 1,).

    Parameters
    ----------
    rows, columns : int
        Patches over frequency, from low to high, and over time.
    frames, bins : int
        Strides of the patches.
    """
    points = np.linspace(_mel(low_hz), _mel(sample_rate / 2), mel_bins + 1)  # between neighbouring triangles
    mel = points[np.minimum(np.arange(rows + 1) * bins, mel_bins)]
    hz = 700.0 * np.expm1(mel / 1127.0)
    hz[0] = 0.0
    if rows * bins >= mel_bins:
        hz[-1] = sample_rate / 2
    return np.arange(columns + 1) * frames * SHIFT_SECONDS, hz
