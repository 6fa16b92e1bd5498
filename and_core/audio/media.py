"""What the dashboard plays and shows of a clip: FLAC sound and a JPEG spectrogram, made once."""

from __future__ import annotations

import io
from functools import lru_cache

import librosa
import numpy as np
import soundfile as sf
from PIL import Image

from and_core.audio.decode import full_scale, resample
from and_core.audio.measures import ANALYSIS_RATE, FRAME, HOP
from and_core.store.dissection import Dissection

LISTENING_RATE = 48_000
MEL_BINS = 112
WIDTH = 320
RANGE_DB = (-85.0, -5.0)  # one scale for all clips, so that a quiet clip looks quiet


def flac(wave: np.ndarray, rate: int) -> bytes:
    """Encode mono sound as FLAC of 24 bits at its own rate, at most 48 kHz; only what goes beyond full scale is scaled,
    as a whole.

    24 bits keep the quietest float recordings: at 16 a clip at -78 dBFS lies 12 dB above the rounding.
    """
    if rate > LISTENING_RATE:
        wave, rate = resample(wave, rate, LISTENING_RATE), LISTENING_RATE
    buffer = io.BytesIO()
    sf.write(buffer, full_scale(wave)[0], rate, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def clip_wave(d: Dissection, clip: int, rate: int) -> np.ndarray:
    """Return a probing clip's waveform (samples,) at a rate in Hz."""
    wave, own = read_flac(d.audio(clip))
    return resample(wave, own, rate)


def read_flac(data: bytes) -> tuple[np.ndarray, int]:
    """Decode what :func:`flac` made: (samples,) float32 and the rate."""
    wave, rate = sf.read(io.BytesIO(data), dtype="float32")
    return wave, rate


def spectrogram_jpeg(wave: np.ndarray) -> bytes:
    """Return mel spectrogram (time to the right, 30 Hz to 8 kHz upwards) of a waveform at the analysis rate,
    as JPEG."""
    if len(wave) < FRAME:
        wave = np.pad(wave, (0, FRAME - len(wave)))
    hop = max(HOP // 2, len(wave) // WIDTH)
    power = np.einsum(
        "ft,mf->mt", np.abs(librosa.stft(wave, n_fft=FRAME, hop_length=hop)) ** 2, _filters(), optimize=True
    )
    decibel = librosa.power_to_db(power / (FRAME / 4) ** 2, ref=1.0, amin=1e-12, top_db=None)
    low, high = RANGE_DB
    level = np.clip((decibel - low) / (high - low), 0, 1)[::-1]
    image = Image.fromarray(palette()[(level * 255).astype(np.uint8)])
    buffer = io.BytesIO()
    image.resize((WIDTH, 148), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=78)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Return (mel bins, frequencies) filter bank, made once."""
    return librosa.filters.mel(sr=ANALYSIS_RATE, n_fft=FRAME, n_mels=MEL_BINS, fmin=30)


@lru_cache(maxsize=1)
def palette() -> np.ndarray:
    """Return (256, 3) uint8 colours from black through violet to pale yellow."""
    from plotly.colors import sample_colorscale, unlabel_rgb

    return (
        np.array([unlabel_rgb(c) for c in sample_colorscale("Inferno", np.linspace(0, 1, 256).tolist())])
        .round()
        .astype(np.uint8)
    )
