"""What raters hear: clips at one loudness, kept under a hash of their bytes, and the beeps of the volume step."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np

from and_core.audio.media import flac, read_flac
from and_core.errors import StudyError
from and_core.store.files import write_atomic

PEAK = 10 ** (-1 / 20)  # no clip is louder than 1 dB below full scale
SHORTEST = 0.4  # seconds that a loudness measurement needs (ITU-R BS.1770)
BEEP_RATE = 16_000


def loudness(wave: np.ndarray, rate: int) -> float:
    """Return integrated loudness in LUFS (ITU-R BS.1770-4, by pyloudnorm) of (samples,).

    A clip under 0.4 s is repeated until it can be measured.
    """
    import pyloudnorm

    least = int(np.ceil(SHORTEST * rate)) + 1
    if len(wave) < least:
        wave = np.tile(wave, -(-least // max(1, len(wave))))
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore")
        return float(pyloudnorm.Meter(rate).integrated_loudness(wave.astype(np.float64)))


def normalise(wave: np.ndarray, rate: int, level: float) -> np.ndarray:
    """Return (samples,) at `level` LUFS, or as near to it as its peaks allow: nothing is clipped or compressed."""
    measured = loudness(wave, rate)
    peak = float(np.abs(wave).max(initial=0.0))
    if not np.isfinite(measured) or peak == 0:
        return wave  # too quiet to be measured: left as it is
    return np.asarray(wave * min(10 ** ((level - measured) / 20), PEAK / peak), np.float32)


def keep_sound(folder: Path, data: bytes, level: float) -> tuple[str, float]:
    """Store a FLAC clip at `level` LUFS; its name (hash of the bytes) and its seconds."""
    wave, rate = read_flac(data)
    made = flac(normalise(wave, rate, level), rate)
    return _keep(folder, made, "flac"), len(wave) / rate


def keep_picture(folder: Path, data: bytes) -> str:
    """Store a JPEG spectrogram; its name."""
    return _keep(folder, data, "jpg")


def _keep(folder: Path, data: bytes, ending: str) -> str:
    name = f"{hashlib.sha256(data).hexdigest()}.{ending}"
    if not (folder / name).exists():
        write_atomic(folder / name, data)
    return name


def read_sound(folder: Path, name: str) -> bytes:
    """Return the bytes of a kept file.

    Raises
    ------
    StudyError
        It is missing, or is not what its name says.
    """
    try:
        data = (folder / name).read_bytes()
    except OSError:
        raise StudyError("a sound of this study is missing; please tell the person who invited you") from None
    if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
        raise StudyError("a sound of this study is damaged; please tell the person who invited you")
    return data


def beeps(count: int, level: float) -> bytes:
    """Return `count` beeps at the study's loudness, as FLAC: who counts them hears the study."""
    time = np.arange(int(0.3 * BEEP_RATE)) / BEEP_RATE
    beep = np.sin(2 * np.pi * 660 * time) * np.hanning(len(time))
    rest = np.zeros(int(0.35 * BEEP_RATE))
    wave = np.concatenate([part for _ in range(count) for part in (beep, rest)])
    return flac(normalise(wave.astype(np.float32), BEEP_RATE, level), BEEP_RATE)
