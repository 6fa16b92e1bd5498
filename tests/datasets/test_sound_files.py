"""Sound files as they occur: lengths that headers guess or do not know, files cut in the middle, floats beyond full
scale, folders with links."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core import open_dissection, pipeline
from and_core.audio.decode import full_scale, mono, read_audio
from and_core.audio.media import flac, read_flac
from and_core.captioners.base import CAPTIONERS, clean_caption
from and_core.config import PluginConfig, make_config
from and_core.datasets.base import DATASETS
from and_core.errors import DataError
from tests.conftest import tone

RATE = 16_000
SUBTYPES = {
    "wav": "PCM_16",
    "rf64": "PCM_16",
    "w64": "PCM_16",
    "aiff": "PCM_16",
    "au": "PCM_16",
    "caf": "PCM_16",
    "nist": "PCM_16",
    "flac": "PCM_16",
}
UNKNOWN = [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 8]
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def sound(seconds: float = 1.0) -> np.ndarray:
    return tone(seconds).astype(np.float32)


def sound_bytes(path: Path, form: str, seconds: float = 1.0, channels: int = 1) -> bytes:
    wave = np.repeat(sound(seconds)[:, None], channels, 1)
    sf.write(path, wave, RATE, format=form.upper(), subtype=SUBTYPES.get(form, "PCM_16"))
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(form=st.sampled_from([*SUBTYPES, "ogg"]), share=st.floats(0.15, 0.98), channels=st.sampled_from([1, 2]))
def test_a_file_that_was_cut_is_never_taken_for_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, form: str, share: float, channels: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = folder / f"x.{form}"
    if form == "ogg":
        sf.write(path, sound(), RATE, format="OGG")
        data = path.read_bytes()
    else:
        data = sound_bytes(path, form, channels=channels)
    wave, rate = read_audio(path)
    assert (len(wave), rate) == (RATE, RATE)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="truncated|not readable"):
        read_audio(path)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 8]),
    riff=st.sampled_from([0, 0xFFFFFFFF, 24, 0x7FFFF024]),
    seconds=st.floats(0.1, 1.5),
)
def test_sizes_that_a_pipe_could_not_fill_in_are_found_by_decoding(
    tmp_path_factory: pytest.TempPathFactory, size: int, riff: int, seconds: float
) -> None:
    path = tmp_path_factory.mktemp("pipe") / "x.wav"
    data = bytearray(sound_bytes(path, "wav", seconds))
    data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", size)
    path.write_bytes(data)
    wave, _ = read_audio(path)
    assert len(wave) == len(sound(seconds))
    assert np.allclose(wave, sound(seconds), atol=1e-4)


@pytest.mark.parametrize("more", [8, 16, 44])
def test_a_writer_that_counts_a_header_too_many_is_forgiven(tmp_path: Path, more: int) -> None:
    for at in (4, 40):
        data = bytearray(sound_bytes(tmp_path / "x.wav", "wav"))
        data[at : at + 4] = struct.pack("<I", struct.unpack("<I", data[at : at + 4])[0] + more)
        (tmp_path / "y.wav").write_bytes(data)
        assert len(read_audio(tmp_path / "y.wav")[0]) == RATE
    empty = bytearray(sound_bytes(tmp_path / "e.wav", "wav")[:44])
    empty[40:44] = struct.pack("<I", 0)
    (tmp_path / "e.wav").write_bytes(bytes(empty) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(DataError, match="empty"):
        read_audio(tmp_path / "e.wav")


def test_chained_streams_are_read_one_after_the_other(tmp_path: Path) -> None:
    for name, rates in (("same", (RATE, RATE, RATE)), ("other", (RATE, 2 * RATE))):
        parts = b""
        for rate in rates:
            sf.write(tmp_path / "part.ogg", tone(1.0, rate), rate, format="OGG")
            parts += (tmp_path / "part.ogg").read_bytes()
        (tmp_path / f"{name}.ogg").write_bytes(parts)
        wave, rate = read_audio(tmp_path / f"{name}.ogg")
        assert rate == rates[0] and abs(len(wave) - len(rates) * RATE) < 50
    with pytest.raises(DataError, match="too long"):
        read_audio(tmp_path / "same.ogg", max_seconds=2.5)


@needs_ffmpeg
def test_mpeg_audio_is_as_long_as_it_decodes_to(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = np.concatenate(
        [0.3 * np.sin(np.arange(2 * RATE) * 0.1), 0.3 * rng.standard_normal(2 * RATE)]
    )  # cheap, then dear: a guess by rate is wrong
    sf.write(tmp_path / "x.wav", wave, RATE)
    for name, options in (
        ("vbr", ["-q:a", "2", "-write_xing", "0"]),
        ("cbr", ["-b:a", "64k", "-write_xing", "0"]),
        ("xing", ["-q:a", "2"]),
    ):
        path = tmp_path / f"{name}.mp3"
        subprocess.run(
            [
                "ffmpeg",
                "-v",
                "error",
                "-i",
                tmp_path / "x.wav",
                *options,
                "-id3v2_version",
                "3",
                "-metadata",
                "title=" + "t" * 3000,
                path,
            ],
            check=True,
        )
        found, rate = read_audio(path)
        assert rate == RATE and 3.9 < len(found) / rate < 4.3, name
        with pytest.raises(DataError, match="too long"):
            read_audio(path, max_seconds=3)
    whole = (tmp_path / "xing.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: 3000 + len(whole) // 2])
    with pytest.raises(DataError, match="truncated"):
        read_audio(tmp_path / "cut.mp3")
    payload = (tmp_path / "cbr.mp3").read_bytes()
    head = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8000, 1, 0, 12, 1, 2, 288, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(payload)) + payload
    (tmp_path / "mp3.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert 3.9 < len(read_audio(tmp_path / "mp3.wav")[0]) / RATE < 4.3


@needs_ffmpeg
@pytest.mark.parametrize("ending", ["m4a", "webm", "mp4", "aac", "wma", "mka", "mov", "wv", "tta"])
def test_what_only_ffmpeg_reads_goes_through_it(tmp_path: Path, ending: str) -> None:
    sf.write(tmp_path / "x.wav", sound(1.5), RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "x.wav", tmp_path / f"x.{ending}"], check=True)
    wave, rate = read_audio(tmp_path / f"x.{ending}")
    assert 1.4 < len(wave) / rate < 1.7 and np.abs(wave).max() > 0.1
    with pytest.raises(DataError, match="too long"):
        read_audio(tmp_path / f"x.{ending}", max_seconds=1)


@needs_ffmpeg
def test_ffmpeg_opens_one_file_and_nothing_that_it_names(tmp_path: Path) -> None:
    sf.write(tmp_path / "private.wav", sound(), RATE)
    for name, text in (
        ("a.m4a", f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'private.wav'}\n"),
        ("b.webm", f"ffconcat version 1.0\nfile {tmp_path / 'private.wav'}\n"),
        ("c.mp4", "v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"),
        ("d.wma", '<ASX version="3.0"><ENTRY><REF HREF="http://127.0.0.1:1/x"/></ENTRY></ASX>'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="not readable"):
            read_audio(tmp_path / name)


def test_a_pipe_and_a_device_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("/dev/zero")
    for name in ("pipe.wav", "link.wav"):
        with pytest.raises(DataError, match="no regular file"):
            read_audio(tmp_path / name)


@settings(max_examples=50, deadline=None)
@given(peak=st.floats(1e-4, 40_000), rate=st.sampled_from([8_000, 16_000, 44_100, 96_000]))
def test_nothing_is_clipped_and_the_quiet_keeps_its_shape(peak: float, rate: int) -> None:
    wave = (tone(0.3, rate) / np.abs(tone(0.3, rate)).max() * peak).astype(np.float32)
    scaled, told = full_scale(wave)
    assert told == pytest.approx(peak, rel=1e-5) and np.abs(scaled).max() <= 1
    if peak <= 1:
        assert scaled is wave
    kept, to = read_flac(flac(wave, rate))
    assert np.abs(kept).max() <= 1 and (np.abs(kept) >= 0.9999).mean() < 0.2
    if to == rate:
        reference = scaled[: len(kept)]
        assert np.corrcoef(kept, reference)[0, 1] > 0.99999
        rest = 20 * np.log10(np.sqrt(np.mean((kept - reference) ** 2)) / np.sqrt(np.mean(reference**2)) + 1e-12)
        assert rest < -55, "24 bits keep what 16 would leave in their rounding"


def test_channels_that_cancel_are_named_as_such() -> None:
    wave = sound()
    for other in (-wave, -wave + 1e-6, -0.999 * wave):
        with pytest.raises(DataError, match="cancel"):
            mono(np.stack([wave, other], 1))
    for other in (wave, 0 * wave, -0.5 * wave, np.roll(wave, 40)):
        assert len(mono(np.stack([wave, other], 1))) == len(wave)
    with pytest.raises(DataError, match="silent"):
        mono(np.zeros((100, 2), np.float32))


def config(root: Path, **section: object) -> object:
    return make_config(
        {"name": "mine", "dataset": {"kind": "folder", "path": str(root), **section}, "target": {"kind": "ast"}, "k": 1}
    )


def test_a_folder_is_read_or_listed_whole(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "clips", tmp_path / "elsewhere"
    for place in (root / "dog", elsewhere):
        place.mkdir(parents=True)
    for path in (
        root / "dog" / "a.wav",
        elsewhere / "b.aiff",
        elsewhere / "c.w64",
        elsewhere / "d.caf",
        elsewhere / "e.OGA",
    ):
        sf.write(path, sound(), RATE, format={".OGA": "OGG"}.get(path.suffix, path.suffix[1:].upper()))
    (root / "rain").symlink_to(elsewhere)
    (root / "dog" / "again").symlink_to(root)
    (root / "dog" / "self").symlink_to("self")
    (root / "gone.wav").symlink_to("nowhere.wav")
    (root / "broken.m4a").write_bytes(b"no sound")
    (root / "notes.txt").write_text("x")
    (root / ".hidden.wav").write_bytes(b"x")
    os.mkfifo(root / "pipe.wav")
    raw = os.fsencode(root / "dog") + b"/caf\xe9.wav"
    shutil.copy(os.fsencode(root / "dog" / "a.wav"), raw)
    shutil.copy(raw, os.fsencode(root / "dog") + b"/caf\xea.wav")
    dataset = DATASETS.create(PluginConfig(kind="folder", path=str(root)))
    names = [ref.name for ref in dataset.references()]
    assert len(set(names)) == len(names) == 9 and {
        "rain/b.aiff",
        "rain/e.OGA",
        "dog/caf\ufffd.wav",
        "dog/caf\ufffd.wav (2)",
    } <= set(names)
    assert dataset.passed_over() == {
        ".txt": 1,
        "hidden": 1,
        "link that leads back": 1,
        "no regular file": 1,
        "without suffix": 1,
    }
    pipeline.run(config(root), root=tmp_path / "cache", only=["clips"])
    d = open_dissection("mine", root=tmp_path / "cache")
    assert len(d.clips) == 7 and d.classes == ["dog", "rain"]
    assert {s.name: s.reason.split(":")[0] for s in d.skipped} == {
        "gone.wav": "missing",
        "broken.m4a": "not readable as audio",
    }
    with pytest.raises(DataError, match=r"holds no sound.*1 \.txt"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "a.txt").write_text("x")
        DATASETS.create(PluginConfig(kind="folder", path=str(tmp_path / "empty"))).references()


def test_what_was_scaled_is_said(tmp_path: Path) -> None:
    for name, gain in (("loud", 3.0), ("integers", 20_000.0), ("fine", 1.0)):
        (tmp_path / "clips").mkdir(exist_ok=True)
        sf.write(tmp_path / "clips" / f"{name}.wav", gain * sound(), RATE, subtype="FLOAT")
    pipeline.run(config(tmp_path / "clips"), root=tmp_path / "cache", only=["clips"])
    d = open_dissection("mine", root=tmp_path / "cache")
    assert (
        d.notes("clips")["scaled"] == 1 + (3 * np.abs(sound()).max() > 1)
        and "integers.wav" in d.notes("clips")["scaled_names"]
    )
    waves = [read_flac(d.audio(i))[0] for i in range(3)]
    assert all((np.abs(wave) >= 0.999).mean() < 0.1 for wave in waves)
    assert np.corrcoef(waves[0], waves[1])[0, 1] > 0.9999


CAPTIONS = {
    "lines.csv": (
        'filename,caption\n"a.wav","a dog barks\nthen it rains"\nb.wav,a door slams\n',
        [["a dog barks then it rains"], ["a door slams"]],
    ),
    "rows.csv": (
        "filename,caption\na.wav,a dog\na.wav,an animal\na.wav,a dog\nb.wav,wood\n",
        [["a dog", "an animal"], ["wood"]],
    ),
    "columns.csv": (
        "file_name,caption_1,caption_2\na.wav,a dog,an animal\nb.wav,wood,\n",
        [["a dog", "an animal"], ["wood"]],
    ),
    "crlf.csv": (
        '\ufefffilename,caption\r\n"a.wav","a ""big"" dog, barking"\r\nb.wav,!!!\r\n',
        [['a "big" dog, barking'], []],
    ),
    "list.json": ('{"a.wav": ["a dog", "an animal"], "b.wav": "wood"}', [["a dog", "an animal"], ["wood"]]),
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_every_caption_of_a_clip_is_used(tmp_path: Path, name: str) -> None:
    text, expected = CAPTIONS[name]
    (tmp_path / name).write_bytes(text.encode())
    captioner = CAPTIONERS.create(PluginConfig(kind="file", path=str(tmp_path / name)))
    rows = [{"name": "a.wav"}, {"name": "b.wav"}]
    assert captioner.every(rows, lambda c: []) == expected
    joined = captioner.captions(rows, lambda c: [])
    assert all((text or "").count(one) >= 1 for text, each in zip(joined, expected, strict=True) for one in each)


def test_a_quote_that_never_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('filename,caption\na.wav,"a dog\nb.wav,wood\n')
    with pytest.raises(DataError, match="can't be read"):
        CAPTIONERS.create(PluginConfig(kind="file", path=str(tmp_path / "x.csv"))).captions(
            [{"name": "a.wav"}], lambda c: []
        )


def test_several_captions_reach_summary_and_mean(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / "clips").mkdir(exist_ok=True)
        sf.write(tmp_path / "clips" / f"{i}.wav", sound() * (1 + i) / 8, RATE)
    (tmp_path / "c.csv").write_text(
        "filename,caption\n"
        + "".join(f"{i}.wav,a bright dog barks\n{i}.wav,an animal {'far' if i else 'near'} away\n" for i in range(4))
    )
    made = make_config(
        {
            "name": "mine",
            "dataset": {"kind": "folder", "path": str(tmp_path / "clips")},
            "target": {"kind": "ast"},
            "k": 2,
            "captions": {"kind": "file", "path": str(tmp_path / "c.csv")},
            "encoder": {"kind": "minilm", "model": "bundled"},
        }
    )
    pipeline.run(made, root=tmp_path, only=["clips", "captions", "texts"])
    d = open_dissection("mine", root=tmp_path)
    assert (
        d.captions(0) == ["a bright dog barks", "an animal near away"]
        and d.caption(0) == "a bright dog barks. an animal near away."
    )
    from and_core.encoders.base import ENCODERS

    one = ENCODERS.create(made.encoder).encode(d.captions(0)).mean(0)
    assert np.allclose(np.asarray(d.array("texts/caption_embeddings"))[0], one / np.linalg.norm(one), atol=1e-5)
    assert clean_caption("a\x00 dog\x1b[31m") == "a dog[31m" and clean_caption("...") is None
