"""Decoding and its faults, measures on sounds of known properties, and the front end against known values."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from and_core.audio.adjectives import earned
from and_core.audio.decode import check_wave, read_audio, resample
from and_core.audio.fbank import kaldi_fbank
from and_core.audio.measures import MEASURES, UNITS, measure
from and_core.audio.media import flac, read_flac, spectrogram_jpeg
from and_core.errors import DataError
from tests.conftest import bad_files, good_files, tone


def test_every_bad_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    for name, word in bad_files(tmp_path).items():
        with pytest.raises(DataError) as caught:
            read_audio(tmp_path / name)
        assert word.lower() in str(caught.value).lower(), f"{name}: {caught.value}"
    for cut in range(27):  # an Ogg file may end anywhere, also just behind the mark of a page
        (tmp_path / "cut.ogg").write_bytes((tmp_path / "truncated.ogg").read_bytes()[: -400 - cut] + b"OggS"[: cut % 5])
        with pytest.raises(DataError):
            read_audio(tmp_path / "cut.ogg")
    (tmp_path / "fast.wav").write_bytes(wild_rate())
    with pytest.raises(DataError, match="sample rate 2147483647 Hz is out of range"):
        read_audio(tmp_path / "fast.wav")
    with pytest.raises(DataError, match="missing"):
        read_audio(tmp_path / "nowhere.wav")


def wild_rate() -> bytes:
    """A WAV file whose header claims a rate of 2^31 - 1 Hz."""
    buffer = io.BytesIO()
    sf.write(buffer, tone(), 16_000, format="WAV")
    data = bytearray(buffer.getvalue())
    data[24:28] = (2**31 - 1).to_bytes(4, "little")
    return bytes(data)


def test_unusual_but_good_files_are_read(tmp_path: Path) -> None:
    for name in good_files(tmp_path):
        wave, rate = read_audio(tmp_path / name)
        assert wave.ndim == 1 and wave.dtype == np.float32 and rate > 0
        if name != "short.flac":
            assert 0.25 < np.abs(wave).max() < 0.35, name


def test_check_wave() -> None:
    for bad in (np.zeros(0), np.array([0.0, np.inf]), np.zeros(100)):
        with pytest.raises(DataError):
            check_wave(bad)


def words(wave: np.ndarray) -> set[str]:
    return {rule.word for rule in earned(measure(wave).as_dict()).values()}


def test_measures_of_known_sounds() -> None:
    rng = np.random.default_rng(0)
    noise = (0.2 * rng.standard_normal(48_000)).astype(np.float32)
    assert {"loud", "noisy", "continuous"} <= words(noise)
    assert {"tonal", "high-pitched"} <= words(tone(3, hz=3_000))
    assert {"tonal", "low-pitched"} <= words(tone(3, hz=120))
    assert "quiet" in words(tone(3, level=0.01))
    clicks = np.zeros(48_000, np.float32)
    clicks[4_000::6_000] = 0.9
    ring = np.convolve(clicks, np.exp(-np.arange(400) / 60), "same").astype(np.float32)
    ringing = ring * rng.standard_normal(48_000).astype(np.float32)
    assert "regular" in words(ringing)
    hz = 300 * 2 ** (np.arange(48_000) / 16_000)
    glide = (0.3 * np.sin(2 * np.pi * np.cumsum(hz) / 16_000)).astype(np.float32)
    assert "rising" in words(glide) and "falling" in words(glide[::-1].copy())
    assert "fading" in words(noise * np.linspace(1, 0.05, 48_000).astype(np.float32) ** 2)
    m = measure(tone(3, hz=1_000))
    assert abs(m.median_frequency - 1_000) < 20 and abs(m.dominant_frequency - 1_000) < 16 and m.periodicity > 0.95
    assert abs(measure(tone(3, hz=437)).amplitude - 0.3 * 2 / np.pi * 32_767) < 20
    assert abs(m.level - 20 * np.log10(0.3 / np.sqrt(2))) < 0.5


@pytest.mark.parametrize("hz", [31.0, 100.0, 440.0, 1_000.0, 1_990.0])
def test_the_fundamental_of_tones(hz: float) -> None:
    """Pure or with overtones, alone or at a level that drifts: the fundamental, and no octave of it."""
    time = np.arange(16_000) / 16_000
    overtones = np.arange(1, 7_900 // hz + 1)
    rich = (np.sin(2 * np.pi * hz * overtones[:, None] * time) / overtones[:, None]).sum(0) * 0.1
    for wave in (tone(1, hz=hz), rich, rich * np.linspace(1, 0.3, 16_000)):
        assert measure(wave.astype(np.float32)).fundamental == pytest.approx(hz, rel=0.01)


def test_what_has_no_pitch_has_no_fundamental() -> None:
    noise = (0.2 * np.random.default_rng(0).standard_normal(48_000)).astype(np.float32)
    assert np.isnan(measure(noise).fundamental) and np.isnan(measure(np.zeros(16_000, np.float32)).fundamental)


def test_pitch_is_told_by_the_spectrum_or_by_the_fundamental() -> None:
    """Overtones make a low voice's spectrum neither low nor high; a sound without fundamental keeps its word."""
    time = np.arange(16_000) / 16_000
    buzz = measure((0.02 * sum(np.sin(2 * np.pi * 110 * k * time) for k in range(1, 12))).astype(np.float32)).as_dict()
    assert "pitch" not in earned(buzz) and earned(buzz, "fundamental")["pitch"].word == "low-pitched"
    assert {**earned(buzz, "fundamental"), "pitch": None} == {**earned(buzz), "pitch": None}
    hiss = {"median_frequency": 5_000.0, "fundamental": float("nan")}
    assert (
        earned(hiss, "fundamental")["pitch"] == earned(hiss)["pitch"] and earned(hiss)["pitch"].word == "high-pitched"
    )
    assert not earned({"median_frequency": 5_000.0, "fundamental": 300.0}, "fundamental")


def test_measures_survive_silence_and_single_samples() -> None:
    for wave in (np.zeros(16_000, np.float32), np.ones(1, np.float32), tone(0.03)):
        found = measure(wave).as_dict()
        assert set(found) == set(MEASURES) == set(UNITS)
    silence = measure(np.zeros(16_000, np.float32))
    assert silence.level == -100 and set(earned(silence.as_dict())) <= {"loudness", "continuity", "length"}


def test_flac_keeps_loudness_and_caps_the_rate() -> None:
    quiet, rate = read_flac(flac(tone(level=0.01), 16_000))
    assert rate == 16_000 and abs(np.abs(quiet).max() - 0.01) < 1e-4
    assert read_flac(flac(tone(0.2, 192_000), 192_000))[1] == 48_000
    assert spectrogram_jpeg(tone(0.02))[:2] == b"\xff\xd8"
    assert len(resample(tone(1.0, 8_000), 8_000, 16_000)) == 16_000


def test_fbank_equals_transformers_extractor() -> None:
    from transformers import ASTFeatureExtractor

    wave = (np.random.default_rng(0).standard_normal(16_000) * 0.1).astype(np.float32)
    extractor = ASTFeatureExtractor(num_mel_bins=64, max_length=98, mean=0.0, std=0.5)
    theirs = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_values"][0]
    ours = kaldi_fbank(torch.from_numpy(wave)[None], mel_bins=64)[0]
    assert ours.shape == (98, 64)
    assert torch.allclose(ours, theirs, atol=2e-3)


def test_fbank_against_the_fixtures(shared: Path) -> None:
    fixtures = torch.load(shared / "data" / "parity" / "fbank_parity.pt", weights_only=True)
    for name in ("chirp_1.3s", "silence", "short_400"):
        clip = fixtures[name]
        wave = torch.as_tensor(clip["audio"]).float().reshape(1, -1) / 32_768
        assert torch.allclose(kaldi_fbank(wave, window="povey", scale=2.0**15), clip["beats_fbank_raw"], atol=5e-4)
        assert torch.allclose(kaldi_fbank(wave), clip["ast_fbank_raw"], atol=5e-4)


def test_fbank_refuses_less_than_a_frame() -> None:
    with pytest.raises(DataError, match="at least 400"):
        kaldi_fbank(torch.zeros(1, 399))


def test_real_recordings_decode_and_measure(shared: Path) -> None:
    paths = sorted((shared / "data" / "esc10" / "audio").glob("*.ogg"))[:20]
    for path in paths:
        wave, rate = read_audio(path)
        assert rate == 44_100 and 3 < len(wave) / rate < 8
        found = measure(resample(wave, rate, 16_000))
        assert -90 < found.level < 0 and 20 < found.median_frequency < 8_000
