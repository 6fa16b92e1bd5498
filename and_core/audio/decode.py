"""From an audio file to a mono waveform, with every way a file can be bad named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from and_core.errors import DataError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".opus")
MAX_DECODED_BYTES = 512 * 2**20
MIN_RATE, MAX_RATE = 1_000, 768_000
SILENCE = 10 ** (-90 / 20)


def read_audio(path: str | Path, max_seconds: float = 60.0) -> tuple[np.ndarray, int]:
    """Decode a file and mix its channels to mono.

    Parameters
    ----------
    path : path
        Any format soundfile reads; any rate, width and number of channels.
    max_seconds : float
        Longer files are refused before they are decoded.

    Returns
    -------
    wave : (samples,) float32
        In [-1, 1] for integer formats.
    rate : int
        Samples per second.

    Raises
    ------
    DataError
        Missing, not audio, corrupt, truncated, empty, too long, silent, or with NaN or infinite samples.
    """
    path = Path(path)
    try:
        info = sf.info(str(path))
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        raise DataError(_why_unreadable(path, error)) from None
    if info.frames == 0:
        raise DataError("empty: 0 samples")
    if not MIN_RATE <= info.samplerate <= MAX_RATE:
        raise DataError(f"sample rate {info.samplerate} Hz is out of range; {MIN_RATE} to {MAX_RATE} Hz are taken")
    if info.duration > max_seconds:
        raise DataError(f"too long: {info.duration:.0f} s, at most max_seconds={max_seconds:g} s are taken")
    if info.frames * info.channels * 4 > MAX_DECODED_BYTES:
        raise DataError(f"too large: {info.frames * info.channels * 4 / 2**20:.0f} MiB decoded, at most {MAX_DECODED_BYTES // 2**20} MiB")
    if _is_truncated(path):
        raise DataError("truncated: the file ends before its own header says")
    try:
        samples, rate = sf.read(str(path), dtype="float32", always_2d=True)
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        raise DataError(f"corrupt: {error}") from None
    if len(samples) < info.frames:
        raise DataError(f"truncated: {len(samples)} of {info.frames} samples")
    return check_wave(samples.mean(axis=1)), rate


def check_wave(wave: np.ndarray) -> np.ndarray:
    """The waveform itself, if it holds sound.

    Raises
    ------
    DataError
        No samples, a NaN or infinite one, or silence.
    """
    if wave.size == 0:
        raise DataError("empty: 0 samples")
    if not np.isfinite(wave).all():
        raise DataError(f"not finite: {int((~np.isfinite(wave)).sum())} samples are NaN or infinite")
    if np.abs(wave).max() < SILENCE:
        raise DataError("silent: the peak is below -90 dBFS")
    return np.ascontiguousarray(wave, np.float32)


def resample(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Resample with soxr (HQ); unchanged where the rates agree."""
    return wave if rate == to else np.asarray(soxr.resample(wave, rate, to, quality="HQ"), np.float32)


def _why_unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return "missing: no such file"
    if path.stat().st_size == 0:
        return "empty: 0 bytes"
    return f"not readable as audio: {str(error).split(': ')[-1].strip()}"


def _is_truncated(path: Path) -> bool:
    """Whether a RIFF header promises more bytes than there are, or an Ogg stream lacks its last page."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(12)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            promised = int.from_bytes(head[4:8], "little") + 8
            return promised not in (8, 2**32 + 7) and promised > size + 1
        if head[:4] == b"OggS":
            handle.seek(max(0, size - 70_000))
            tail = handle.read()
            last = tail.rfind(b"OggS")
            return last < 0 or last + 5 >= len(tail) or not tail[last + 5] & 4
    return False
