"""Near-duplicates planted among the 400 clips of ESC-10: how many are found, and how much else is called one.

A pair that was not planted counts as right where the waveforms themselves correlate at some shift.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve

from and_core.audio.decode import read_audio, resample
from and_core.audio.fingerprints import RATE, fingerprint
from and_core.datasets.duplicates import near_duplicates
from benchmarks.report import ROOT, Row, alone, finish

ESC10 = Path(os.environ.get("AND_ESC10", ROOT.parent / "shared" / "data" / "esc10"))
KINDS = ("MP3 at 64 kbit/s", "Ogg at 48 kbit/s", "-6 dB", "shifted by .3 s", "10 % cut off", "all but Ogg")
SAME = 0.3  # correlation of waveforms; clips of different recordings: at most .2
LEAST_RECALL, LEAST_PRECISION = 0.98, 0.98
MANY = (10_000, 100_000)  # clips of 5 s whose fingerprints are made up, one in ten a copy


def planted(wave: np.ndarray, rate: int, kind: str, folder: Path) -> Path:
    """Write one clip changed in one way, or in all."""
    changes = KINDS[:1] + KINDS[2:5] if kind == KINDS[5] else (kind,)
    if "-6 dB" in changes:
        wave = wave * np.float32(10 ** (-6 / 20))
    if "shifted by .3 s" in changes:
        wave = np.concatenate([np.zeros(int(0.3 * rate), np.float32), wave])[: len(wave)]
    if "10 % cut off" in changes:
        wave = wave[len(wave) // 10 :]
    path = folder / "clip.wav"
    sf.write(path, wave, rate, subtype="PCM_16")
    for name, suffix, bits in ((KINDS[0], ".mp3", "64k"), (KINDS[1], ".ogg", "48k")):
        if name in changes:
            out = path.with_suffix(suffix)
            subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", path, "-b:a", bits, out], check=True)
            return out
    return path


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the highest correlation of two waveforms over their shifts, where at least a second overlaps."""
    one, other = one - one.mean(), other - other.mean()
    products = fftconvolve(one, other[::-1])
    ones, others = (np.concatenate([[0], np.cumsum(x.astype(np.float64) ** 2)]) for x in (one, other))
    shift = np.arange(len(products)) - len(other) + 1
    start, stop = np.maximum(shift, 0), np.minimum(len(one), len(other) + shift)
    norms = np.sqrt((ones[stop] - ones[start]) * (others[stop - shift] - others[start - shift]))
    enough = stop - start >= RATE
    return float((np.abs(products[enough]) / np.maximum(norms[enough], 1e-9)).max())


def real() -> None:
    """Plant one changed copy of each clip, the ways in turn, and look for pairs."""
    waves = [read_audio(path) for path in sorted((ESC10 / "audio").glob("*.ogg"))]
    prints = [fingerprint(*wave) for wave in waves]
    count = len(waves)
    with tempfile.TemporaryDirectory() as folder:
        for i, wave in enumerate(waves):
            prints.append(fingerprint(*read_audio(planted(*wave, KINDS[i % len(KINDS)], Path(folder)))))
    pairs = near_duplicates(prints)
    kinds = Counter(KINDS[p.a % len(KINDS)] for p in pairs if p.b == p.a + count)
    origins = {tuple(sorted((p.a % count, p.b % count))) for p in pairs if p.b != p.a + count}
    small = [resample(wave, rate, RATE) for wave, rate in waves]
    checked = {pair: correlation(small[pair[0]], small[pair[1]]) for pair in sorted(origins)}
    wrong = sum(checked[tuple(sorted((p.a % count, p.b % count)))] < SAME for p in pairs if p.b != p.a + count)
    unlike = [correlation(small[i], small[(i + 7) % count]) for i in range(0, count, 20)]
    finish(found=kinds, of=Counter(KINDS[i % len(KINDS)] for i in range(count)), pairs=len(pairs), wrong=wrong,
           real=sorted(checked.values()), unlike=max(unlike))  # fmt: skip


def many(count: int) -> None:
    """Match fingerprints of many clips of 5 s, whose words are random, one in ten a copy of the next."""
    import time

    rng = np.random.default_rng(0)
    every = np.full(215, 2**32 - 1, np.uint32)
    prints = [(rng.integers(0, 2**32, 215, dtype=np.uint32), every) for _ in range(count)]
    prints[::10] = prints[1::10]
    began = time.perf_counter()
    pairs = near_duplicates(prints)
    finish(seconds=time.perf_counter() - began, pairs=len(pairs))


def rows() -> list[Row]:
    """Rows of the table; those of real clips where ESC-10 is there."""
    table = []
    if ESC10.is_dir():
        r = alone("benchmarks.duplicates", "real")
        found, planted_in_all = sum(r["found"].values()), sum(r["of"].values())
        recall, precision = found / planted_in_all, 1 - r["wrong"] / r["pairs"]
        ways = ", ".join(f"{kind} {r['found'].get(kind, 0)} of {r['of'][kind]}" for kind in KINDS)
        table.append(
            Row(
                "near-duplicates planted in ESC-10, 400 clips and a changed copy of each",
                f"recall {recall:.3f} ({ways}); precision {precision:.3f}; and {len(r['real'])} pairs of ESC-10's own "
                f"whose waveforms correlate at {r['real'][0]:.2f} and more (unlike clips: at most {r['unlike']:.2f})",
                f"{LEAST_RECALL}, {LEAST_PRECISION}",
                recall >= LEAST_RECALL and precision >= LEAST_PRECISION,
            )
        )
    runs = {count: alone("benchmarks.duplicates", str(count)) for count in MANY}
    few, lots = MANY
    exponent = np.log(runs[lots]["seconds"] / runs[few]["seconds"]) / np.log(lots / few)
    table.append(
        Row(
            f"fingerprints of {lots:,} clips of 5 s compared (made), beside {few:,}",
            f"{runs[lots]['seconds']:.1f} s beside {runs[few]['seconds']:.2f} s (exponent {exponent:.2f}), "
            f"peak {runs[lots]['peak_mb'] / 1024:.1f} GB",
            "4 GB",
            runs[lots]["peak_mb"] < 4096,
        )
    )
    return table


if __name__ == "__main__":
    import sys

    real() if sys.argv[1] == "real" else many(int(sys.argv[1]))
