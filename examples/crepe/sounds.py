"""The collection that CREPE is dissected on: tones made here, and recordings of others, linked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile as sf

from and_core.config import PluginConfig
from and_core.datasets.base import DATASETS

RATE, SECONDS, FADE = 16_000, 0.5, 0.02
TONES, SEED = 300, 0
RANGE = (31.7, 2005.5)  # Hz, of CREPE's units
TONE, DIGIT = "tone", "spoken digit"


def tone(hz: float, partials: int, decline: float, rng: np.random.Generator) -> np.ndarray:
    """Return (samples,) half a second of `partials` harmonics of `hz`, the nth of amplitude n ** -decline."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    number = np.arange(1, partials + 1)[:, None]
    phase = rng.uniform(0, 2 * np.pi, (partials, 1))
    wave = (number**-decline * np.sin(2 * np.pi * hz * number * time + phase)).sum(0)
    fade = np.clip(np.minimum(time, time[::-1]) / FADE, 0, 1)
    return (0.1 * fade * wave / np.sqrt(np.mean(wave**2))).astype(np.float32)


def write_tones(folder: Path) -> None:
    """Write tones from pure to rich, at pitches drawn evenly over the octaves of CREPE's range."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    for i in range(TONES):
        hz = RANGE[0] * (RANGE[1] / RANGE[0]) ** rng.uniform()
        partials = min(int(rng.integers(1, 11)), int(0.95 * RATE / 2 / hz))
        wave = tone(hz, partials, rng.uniform(0, 1.5), rng)
        sf.write(folder / f"{i:03d}_{hz:.1f}Hz_{partials}.wav", wave, RATE, subtype="PCM_24")


def write_collection(esc10: Path, digits: Path, folder: Path) -> None:
    """Write the tones, and link each recording into a folder named after what it is.

    Parameters
    ----------
    esc10 : Path
        ESC-10 or ESC-50 in its own layout.
    digits : Path
        Recordings of the Free Spoken Digit Dataset.
    folder : Path
        What lies there is replaced.
    """
    if folder.exists():
        shutil.rmtree(folder)
    write_tones(folder / TONE)
    recordings = [(DIGIT, path) for path in sorted(digits.glob("*.wav"))]
    for ref in DATASETS.create(PluginConfig(kind="esc50", path=str(esc10))).references():
        recordings.append((str(ref.label), Path(str(ref.path))))
    for label, path in recordings:
        (folder / label).mkdir(exist_ok=True)
        (folder / label / path.name).symlink_to(path.resolve())
