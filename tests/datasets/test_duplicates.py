"""Near-duplicates among clips, and recordings on both sides of a split."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from and_core.audio.decode import read_audio
from and_core.audio.fingerprints import fingerprint
from and_core.cli.main import app
from and_core.datasets.check import on_both_sides
from and_core.datasets.duplicates import NEIGHBOURS, Pair, groups_of, near_duplicates

RATE, SECONDS = 22_050, 4
ESC10 = Path(__file__).parents[3] / "shared" / "data" / "esc10"


def noise(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """A sound whose level and colour change all the time, as rain and voices do."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(int(seconds * RATE))
    steps = np.repeat(rng.uniform(0.1, 1, int(seconds * 8) + 1), RATE // 8)[: len(x)]
    return (0.1 * np.convolve(x, rng.standard_normal(16), "same") * steps).astype(np.float32)


def pairs_of(*waves: np.ndarray) -> list[Pair]:
    return near_duplicates([fingerprint(wave, RATE) for wave in waves])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    gain=st.floats(0.05, 1.5),
    shift=st.floats(0, 0.5),
    trim=st.floats(0, 0.2),
    snr=st.floats(30, 60),  # at 20 dB 3 of 120 copies are missed: noise fills the gaps of their spectrum
)
def test_a_copy_is_found_whatever_its_level_shift_and_length(
    seed: int, gain: float, shift: float, trim: float, snr: float
) -> None:
    wave = noise(seed)
    copy = np.concatenate([np.zeros(int(shift * RATE), np.float32), gain * wave])[: len(wave)]
    copy = copy[: len(copy) - int(trim * len(copy))]
    copy = copy + np.float32(10 ** (-snr / 20) * copy.std()) * np.random.default_rng(seed).standard_normal(
        len(copy), np.float32
    )
    (pair,) = pairs_of(noise(seed + 1), wave, noise(seed + 2), copy)
    assert (pair.a, pair.b, pair.copy) == (1, 3, True)
    assert abs(pair.shift - shift) < 0.03 and pair.agreement > 0.8


def test_parts_of_one_recording_are_told_from_copies() -> None:
    whole = noise(0, 8)
    (pair,) = pairs_of(whole[: 5 * RATE], whole[3 * RATE :])
    assert not pair.copy and abs(pair.seconds - 2) < 0.3 and abs(pair.shift + 3) < 0.03


def test_silence_around_sounds_and_unlike_loops_are_no_duplicates() -> None:
    rng = np.random.default_rng(0)
    padded = [np.zeros(SECONDS * RATE, np.float32) for _ in range(6)]
    for i, clip in enumerate(padded):
        clip[RATE // 2 : RATE] = noise(i, 0.5)
    click = [np.float32(rng.standard_normal(800) * np.exp(-np.arange(800) / 90)) for _ in range(4)]
    loops = [np.tile(np.concatenate([c, np.zeros(RATE // 2 - 800, np.float32)]), 8) for c in click]
    hum = [np.sin(2 * np.pi * f * np.arange(SECONDS * RATE) / RATE).astype(np.float32) for f in (220, 221, 440)]
    assert pairs_of(*padded, *loops, *hum) == []


def test_a_loop_is_compared_with_its_copy_though_it_repeats_every_word() -> None:
    loop = np.tile(noise(3, 0.5), 8)
    (pair,) = pairs_of(loop, noise(4), 0.5 * loop[RATE // 5 :])
    assert (pair.a, pair.b) == (0, 2) and pair.agreement > 0.95


def test_many_copies_are_one_group_at_a_linear_number_of_comparisons() -> None:
    one, count = fingerprint(noise(0), RATE), 60
    pairs = near_duplicates([one] * count)
    assert groups_of(pairs) == [list(range(count))]
    assert len(pairs) <= NEIGHBOURS * count


def test_no_clips_and_silent_clips_give_no_pairs() -> None:
    silent = fingerprint(np.zeros(RATE, np.float32), RATE)
    empty = (np.zeros(0, np.uint32), np.zeros(0, np.uint32))
    assert near_duplicates([]) == near_duplicates([silent, empty, silent]) == []


def test_a_recording_on_both_sides_is_known_by_its_source_or_by_its_sound() -> None:
    pairs = [Pair(0, 2, 0.0, 1.0, 1.0, True), Pair(1, 3, 0.0, 1.0, 1.0, True)]
    split = on_both_sides(pairs, [1, 2, 1, 3, 4, 5, None], ["a", "b", "c", "d", "e", "e", "e"])
    assert [(s.by, s.clips, s.folds) for s in split] == [("source", (4, 5, 6), (4, 5)), ("sound", (1, 3), (2, 3))]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Six clips in the layout of ESC-50, one of them an MP3 of another in another fold; one can't be read."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    rows = [("filename", "fold", "category", "src_file")]
    for i in range(4):
        sf.write(tmp_path / "audio" / f"{i}.wav", noise(i), RATE)
        rows.append((f"{i}.wav", str(1 + i % 2), "rain", str(i)))
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "audio" / "0.wav", "-b:a", "64k", tmp_path / "audio" / "again.mp3"],
        check=True,
    )
    (tmp_path / "audio" / "broken.wav").write_bytes(b"no sound")
    rows += [("again.mp3", "2", "rain", "9"), ("broken.wav", "1", "rain", "8")]
    with open(tmp_path / "meta" / "clips.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    path = tmp_path / "data.yaml"
    path.write_text(
        f"name: planted\ndataset: {{kind: esc50, path: {tmp_path}}}\ntarget: {{kind: ast, checkpoint: x}}\n"
    )
    return path


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg encodes the copy")
def test_the_command_names_duplicates_and_both_sides(planted: Path) -> None:
    text = " ".join(CliRunner().invoke(app, ["data", "check", str(planted)]).output.split())
    assert "with the same sound: 1 pairs, 2 of 6 clips" in text
    assert "folds 1, 2 share a sound: 0.wav, again.mp3" in text
    assert "can't be read: broken.wav: " in text
    made = json.loads(CliRunner().invoke(app, ["data", "check", str(planted), "--format", "json"]).stdout)
    assert made["counts"]["clips"] == 6 and made["sound"]["groups"] == [["0.wav", "again.mp3"]]
    assert made["sound"]["on_both_sides"] == [{"by": "sound", "clips": ["0.wav", "again.mp3"], "folds": [1, 2]}]
    silent = json.loads(
        CliRunner().invoke(app, ["data", "check", str(planted), "--no-sound", "--format", "json"]).stdout
    )
    assert silent["sound"] is None


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg encodes the MP3")
def test_an_mp3_by_ffmpeg_is_decoded_to_its_end(planted: Path) -> None:
    wave, rate = read_audio(planted.parent / "audio" / "again.mp3")
    assert abs(len(wave) / rate - SECONDS) < 0.1


@pytest.mark.skipif(not ESC10.is_dir(), reason="the ESC-10 clips are not here")
def test_clips_of_esc10_that_are_one_recording_are_found() -> None:
    names = ("2-28314-A-12", "3-151080-A-20", "2-30322-A-12", "5-151085-A-20", "1-172649-A-40", "1-172649-B-40")
    pairs = near_duplicates([fingerprint(*read_audio(ESC10 / "audio" / f"{name}.ogg")) for name in names])
    assert [(p.a, p.b) for p in pairs] == [(0, 2), (1, 3)]
