"""Shared fixtures: tiny networks in the hub's own format, folders of clips, and one small dissection made by the real
pipeline."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("AND_HOME", tempfile.mkdtemp(prefix="and-home-"))  # the key that seals what is made here
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile as sf  # noqa: E402

from and_core.config import RunConfig, make_config  # noqa: E402

SHARED = ROOT.parent / "shared"
CATEGORIES = ["clock_tick", "dog", "rain", "siren"]


STREAM = {"batch": 4, "rows": 6, "stream_beyond": 23, "stream_kept": 12}


def small_config(**changes: object) -> RunConfig:
    """The demo's network on 24 synthetic clips."""
    raw: dict = {
        "name": "small",
        "dataset": {"kind": "synthetic", "per_category": 6, "categories": CATEGORIES},
        "target": {"kind": "ast", "trained_folds": [2, 3, 4, 5]},
        "captions": {"kind": "corpus"},
        "encoder": {"kind": "minilm", "model": "bundled"},
        "audio_encoder": {"kind": "small_clap"},
        "activations": {"batch": 4, "rows": 8},
        "map": {"method": "pca"},
        "scores": {"draws": 10},
        "unlearning": {"concepts": 2, "fair": 2, "shares": [0.1]},
        "k": 3,
    }
    if "dataset" in changes or "target" in changes:
        raw |= {
            "unlearning": None,
            "scores": None,
        }  # other clips or another network have no classes in common; two more sets of explanations take time
    return make_config({**raw, **changes})


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real clips and fixtures beside the project; tests that need it skip where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the folder shared/ with real clips is not beside the project")
    return SHARED


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one small dissection, made by the real pipeline."""
    from and_core import pipeline

    root = tmp_path_factory.mktemp("cache")
    pipeline.run(small_config(), root=root)
    return root


@pytest.fixture(scope="session")
def streamed_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the same dissection by a streamed pass, which keeps the activations of half of the clips."""
    from and_core import pipeline
    from and_core.pipeline import streaming

    root = tmp_path_factory.mktemp("streamed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "BINS_FROM", 10)  # two chunks of four
        pipeline.run(small_config(activations=STREAM), root=root)
    return root


@pytest.fixture
def dissection(cache: Path):
    from and_core import open_dissection

    return open_dissection("small", root=cache)


@pytest.fixture
def own(cache: Path, tmp_path: Path):
    """A copy of the small dissection that a test may write to."""
    from and_core import open_dissection

    shutil.copytree(cache / "small", tmp_path / "small")
    return open_dissection("small", root=tmp_path)


BRIEF: dict = {"levels": [-40, -20, -10], "per_octave": 3, "repeats": 2, "chords": 10, "permutations": 50}


def with_stage(cache: Path, root: Path, stage: str, settings: dict):
    """Return a copy of the small dissection in `root` with one stage more."""
    from and_core import open_dissection, pipeline

    shutil.copytree(cache / "small", root / "small")
    assert pipeline.run(small_config(**{stage: settings}), root=root, only=[stage]).computed == [stage]
    return open_dissection("small", root=root)


@pytest.fixture(scope="session")
def played(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """The small dissection with a short battery of stimuli."""
    return with_stage(cache, tmp_path_factory.mktemp("played"), "tuning", BRIEF)


@pytest.fixture(scope="session")
def evaluator(cache: Path):
    """The small dissection's network on its tested clips."""
    from and_core import open_dissection
    from and_core.unlearn.evaluator import open_evaluator

    return open_evaluator(open_dissection("small", root=cache))


def command(*arguments: str) -> str:
    """Exit status and output of `and-dissect`; anything but a clean exit is raised."""
    from typer.testing import CliRunner

    from and_core.cli.main import app

    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return f"{done.exit_code} {' '.join(done.output.split())}"


def tone(seconds: float = 1.0, rate: int = 16_000, hz: float = 440.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def bad_files(folder: Path) -> dict[str, str]:
    """One file of every bad kind; name -> a word that the reason must hold."""
    folder.mkdir(parents=True, exist_ok=True)
    good = folder / "source.wav"
    sf.write(good, tone(2.0), 16_000)
    data = good.read_bytes()
    good.unlink()
    (folder / "truncated.wav").write_bytes(data[: len(data) // 2])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "not_audio.wav").write_bytes(b"this is no sound at all, only a text of some length")
    sf.write(folder / "zero_samples.wav", np.zeros(0, np.float32), 16_000)
    sf.write(folder / "silent.wav", np.zeros(16_000, np.float32), 16_000)
    nan = tone()
    nan[100] = np.nan
    sf.write(folder / "nan.wav", nan, 16_000, subtype="FLOAT")
    with sf.SoundFile(folder / "hour.flac", "w", 8_000, 1) as hour:
        for _ in range(60):
            hour.write(tone(60.0, 8_000, level=0.1))
    flac = folder / "corrupt.flac"
    sf.write(flac, np.random.default_rng(0).standard_normal(32_000) * 0.1, 16_000)
    blob = bytearray(flac.read_bytes())
    blob[2_000:12_000] = bytes(10_000)
    flac.write_bytes(bytes(blob))
    ogg = folder / "truncated.ogg"
    sf.write(ogg, np.random.default_rng(0).standard_normal(64_000) * 0.1, 16_000)
    ogg.write_bytes(ogg.read_bytes()[:-2_000])
    return {
        "truncated.wav": "truncated",
        "empty.wav": "empty",
        "not_audio.wav": "not readable",
        "zero_samples.wav": "0 samples",
        "silent.wav": "silent",
        "nan.wav": "NaN",
        "hour.flac": "too long",
        "corrupt.flac": "corrupt",
        "truncated.ogg": "truncated",
    }


def good_files(folder: Path) -> list[str]:
    """Unusual but good files."""
    folder.mkdir(parents=True, exist_ok=True)
    sf.write(folder / "eight_bit.wav", tone(), 16_000, subtype="PCM_U8")
    sf.write(folder / "six_channels.wav", np.stack([tone()] * 6, 1), 16_000)
    sf.write(folder / "studio.wav", tone(0.5, 192_000), 192_000)
    sf.write(folder / "plain.ogg", tone(1.5, 44_100), 44_100)
    sf.write(folder / "short.flac", tone(0.01), 16_000)
    return ["eight_bit.wav", "plain.ogg", "short.flac", "six_channels.wav", "studio.wav"]
