"""Captioners: one contract for every kind; tables of captions.

Audio language models on tiny ones, a server, and SALMONN's bridge.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from and_core import open_dissection, pipeline
from and_core.captioners.base import CAPTIONERS, ListeningCaptioner, clean_caption
from and_core.config import PluginConfig
from and_core.errors import ConfigError, DataError
from and_core.reply import Reply
from and_core.testing import check_captioner
from tests.conftest import small_config, tone
from tests.fake_server import FakeServer
from tests.tiny import tiny_ast, tiny_audio_llm

SALMONN = {
    "config.py": """
class Box(dict):
    __getattr__ = dict.__getitem__

class Config:
    def __init__(self, args):
        assert args.options is None
        lines = dict(line.split(": ", 1) for line in open(args.cfg_path).read().split("\\n") if line)
        model = Box(whisper_path=lines["whisper_path"], prompt_template="USER: {}\\nASSISTANT:")
        self.config = Box(model=model, generate=Box(lines))
""",
    "utils.py": """
import soundfile

def prepare_one_sample(path, processor, cuda_enabled=True):
    wave, rate = soundfile.read(path)
    assert rate == 16000 and cuda_enabled is False
    print("this line is no answer")
    return {"seconds": len(wave) / rate, "peak": abs(wave).max()}
""",
    "models/__init__.py": "",
    "models/salmonn.py": """
import os

class SALMONN:
    @classmethod
    def from_config(cls, config):
        return cls()
    def to(self, device):
        return self
    def eval(self):
        return self
    def generate(self, sample, config, prompts):
        assert prompts[0].startswith("USER: <Speech><SpeechHere></Speech> Please describe")
        if sample["seconds"] > 2.5:
            raise ValueError("too long for me")
        if sample["seconds"] > 1.5:
            import sys
            print("CUDA error: device lost", file=sys.stderr, flush=True)
            os._exit(1)
        return ["A sound of %.1f seconds.</s>" % sample["seconds"]]
""",
}


def salmonn_folder(root: Path) -> dict:
    """A stand-in for the checkout: the three names that the bridge asks for, and a Whisper extractor."""
    from transformers import WhisperFeatureExtractor

    for name, text in SALMONN.items():
        (root / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "repo" / name).write_text(text.replace("\\\\n", "\\n"))
    WhisperFeatureExtractor().save_pretrained(root / "whisper")
    (root / "decode.yaml").write_text(f"whisper_path: {root / 'whisper'}\nnum_beams: 4\n")
    return {"repo": str(root / "repo"), "python": sys.executable, "decode": str(root / "decode.yaml"), "device": "cpu"}


TRUTH = {"true_background": "hiss", "true_background_db": -15.0, "true_distance": "far"}
ROWS = [
    {"name": "a.wav", "label": "dog", "title": "my_dog.wav", "level": -10.0, "recipe": "dog/0/0", **TRUTH},
    {"name": "b.wav", "label": "rain", "title": "", "level": -40.0, "recipe": "rain/0/0", **TRUTH},
]


def corrections_file(folder: Path) -> str:
    path = folder / "corrections.json"
    path.write_text(json.dumps({ROWS[0]["name"]: "a wolf howls"}))
    return str(path)


def caption_file(folder: Path) -> str:
    path = folder / "captions.json"
    path.write_text(json.dumps({"a.wav": "a dog", "c.wav": "unknown"}))
    return str(path)


def listen_to(captioner: ListeningCaptioner) -> list[Reply]:
    """As the pipeline does it, without an answer cache."""
    found = dict(captioner.replies(iter([tone(1.0, captioner.sample_rate), tone(0.5, captioner.sample_rate)])))
    return [found[0], found[1]]


@contextmanager
def settings_of(kind: str, folder: Path) -> Iterator[dict]:
    if kind == "server":
        with FakeServer(lambda prompt: "A tone.").serve() as url:
            yield {"base_url": url, "model": "fake"}
    else:
        yield CAPTIONER_SETTINGS[kind](folder)


CAPTIONER_SETTINGS: dict[str, Callable[[Path], dict]] = {
    "audio_llm": lambda p: {"model": tiny_audio_llm(p / "net"), "max_tokens": 8},
    "salmonn": salmonn_folder,
    "tagger": lambda p: {"target": {"kind": "ast", "checkpoint": tiny_ast(p / "net"), "pooling": "mean"}, "above": 0},
    "acoustic": lambda p: {},
    "corpus": lambda p: {},
    "column": lambda p: {"column": "title"},
    "file": lambda p: {"path": caption_file(p)},
    "corrected": lambda p: {"of": {"kind": "acoustic"}, "path": corrections_file(p)},
    "several": lambda p: {"parts": [{"kind": "column", "column": "title"}, {"kind": "acoustic"}]},
}


@pytest.mark.parametrize("kind", CAPTIONERS.names())
def test_every_captioner(kind: str, tmp_path: Path) -> None:
    with settings_of(kind, tmp_path) as settings:
        captioner = check_captioner(lambda: CAPTIONERS.create(PluginConfig(kind=kind, **settings)), ROWS, listen_to)
        found = captioner.captions(ROWS, listen_to)
    assert isinstance(found[0], str)
    if kind in ("column", "file"):
        assert found[1] is None  # a clip without caption is said to have none


def test_the_acoustic_captioner_tells_pitch_by_the_fundamental() -> None:
    """A setting that tells results apart only where it is given."""
    plain = CAPTIONERS.create(PluginConfig(kind="acoustic"))
    by_pitch = CAPTIONERS.create(PluginConfig(kind="acoustic", pitch="fundamental"))
    voice = {"median_frequency": 480.0, "fundamental": 110.0}
    assert plain.captions([voice], listen_to) == ["The sound is at a medium level."]
    assert by_pitch.captions([voice], listen_to) == ["The sound is low-pitched."]
    assert plain.identifying_settings() == {"kind": "acoustic"} and by_pitch.fingerprint() != plain.fingerprint()


def test_caption_files(tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("filename,caption\nx/a,first\nb.wav,second\n")
    file = CAPTIONERS.create(PluginConfig(kind="file", path=str(table)))
    assert file.captions(ROWS, listen_to) == ["first", "second"]
    unknown = CAPTIONERS.create(PluginConfig(kind="file", path=caption_file(tmp_path)))
    assert unknown.notes(ROWS) == {"unknown": ["c.wav"], "unknown_count": 1}
    same = [{"name": "dog/a.wav"}, {"name": "rain/a.wav"}]
    table.write_text("filename,caption\na.wav,which?\n")
    with pytest.raises(DataError, match="could be any of dog/a.wav, rain/a.wav"):
        CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(same, listen_to)
    table.write_text("filename,caption\ndog/a.wav,one\nrain/a.wav,two\n")
    assert CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(same, listen_to) == ["one", "two"]
    for text, message in (("a,b\n1,2\n", "a column of names"), ("filename,caption\nz.wav,x\n", "none of its 1 names")):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(ROWS, listen_to)
    bad = tmp_path / "bad.json"
    bad.write_text("[1, 2]")
    with pytest.raises(DataError, match="JSON object"):
        CAPTIONERS.create(PluginConfig(kind="file", path=str(bad))).captions(ROWS, listen_to)
    with pytest.raises(DataError, match="no column of the dataset"):
        CAPTIONERS.create(PluginConfig(kind="column", column="nothing")).captions(ROWS, listen_to)


def replies_of(captioner: object, seconds: list[float]) -> list[Reply]:
    assert isinstance(captioner, ListeningCaptioner)
    found = dict(captioner.replies(tone(s, captioner.sample_rate) for s in seconds))
    return [found[i] for i in range(len(seconds))]


def test_an_audio_language_model_hears_a_clip_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    folder = tiny_audio_llm(tmp_path / "net")
    alone, together = (
        CAPTIONERS.create(PluginConfig(kind="audio_llm", model=folder, max_tokens=12, batch=b)) for b in (1, 3)
    )
    one, many = replies_of(alone, [0.4, 2.0, 1.0, 3.0]), replies_of(together, [0.4, 2.0, 1.0, 3.0])
    assert [r.text for r in one] == [r.text for r in many] and any(r.text for r in one)
    with pytest.raises(ConfigError, match="can't be loaded"):
        replies_of(CAPTIONERS.create(PluginConfig(kind="audio_llm", model=str(tmp_path / "none"))), [0.1])


def test_a_server_is_sent_the_sound_itself(tmp_path: Path) -> None:
    fake = FakeServer(lambda prompt: "A tone.")
    with fake.serve() as url:
        assert [
            r.text
            for r in replies_of(CAPTIONERS.create(PluginConfig(kind="server", base_url=url, model="m")), [0.5, 1.5])
        ] == ["A tone."] * 2
    sent = [body["messages"][0]["content"][0] for body in fake.bodies]
    lengths = []
    for part in sent:
        assert part["type"] == "input_audio" and part["input_audio"]["format"] == "wav"
        wave, rate = sf.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
        assert rate == 16_000 and abs(wave.max() - 0.3) < 1e-3
        lengths.append(len(wave))
    assert sorted(lengths) == [8_000, 24_000]


@pytest.mark.slow
def test_salmonns_bridge(tmp_path: Path) -> None:
    settings = salmonn_folder(tmp_path)
    replies = replies_of(CAPTIONERS.create(PluginConfig(kind="salmonn", **settings)), [0.5, 3.0, 1.0, 2.0, 0.5])
    assert [r.text for r in replies] == [
        "A sound of 0.5 seconds.",
        None,
        "A sound of 1.0 seconds.",
        None,
        "A sound of 0.5 seconds.",
    ]
    assert "ValueError: too long for me" in str(replies[1].error)
    assert "process has ended: CUDA error: device lost" in str(replies[3].error), (
        "and it is started again for the clip after it"
    )
    for name in ("repo", "python", "decode"):
        with pytest.raises(ConfigError, match=f"captions.{name}="):
            CAPTIONERS.create(PluginConfig(kind="salmonn", **{**settings, name: str(tmp_path / "nowhere")}))
    (tmp_path / "repo" / "config.py").unlink()
    broken = replies_of(CAPTIONERS.create(PluginConfig(kind="salmonn", **settings)), [0.5])
    assert "No module named 'config'" in str(broken[0].error)


def test_captions_are_heard_once_and_failed_ones_again(tmp_path: Path) -> None:
    count = {"asked": 0}

    def behave(prompt: str, tries: int) -> str:
        count["asked"] += 1
        return "fail" if count["asked"] in (3, 7) else ""

    fake = FakeServer(lambda prompt: "This is a dog. The sound is loud and short.", behave=behave)
    with fake.serve() as url:
        config = small_config(
            captions={"kind": "server", "base_url": url, "model": "m", "retries": 0, "in_flight": 1}, audio_encoder=None
        )
        pipeline.run(config, root=tmp_path, only=["clips", "captions"])
        d = open_dissection("small", root=tmp_path)
        missing = d.table("captions/missing").to_pylist()
        assert count["asked"] == 24 and len(missing) == 2 and all("500" in m["reason"] for m in missing)
        assert (
            d.notes("captions")["failed_answers"] == 2
            and dict(pipeline.status(config, tmp_path))["captions"] == "answers missing"
        )
        pipeline.run(config, root=tmp_path, only=["captions"])
        assert count["asked"] == 26, "only the two that failed are heard again"
        assert open_dissection("small", root=tmp_path).table("captions/missing").num_rows == 0
        pipeline.run(config.model_copy(update={"name": "two"}), root=tmp_path, only=["clips", "captions"], force=True)
        assert count["asked"] == 26, "nor does a second dissection of the same clips ask"


def test_repeating_captions_are_cut() -> None:
    loop = "A dog barks loudly. " + "and again the dog barks in the yard " * 4
    assert clean_caption(loop) == "A dog barks loudly."
    assert (
        clean_caption("one two three four five six seven eight nine") == "one two three four five six seven eight nine"
    )
    assert clean_caption("  ") is None and clean_caption(None) is None


class Pitches(torch.nn.Module):
    """(B, samples) -> logits of three bands, and one that is always high."""

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(waves).abs() ** 2
        hertz = torch.fft.rfftfreq(waves.shape[1], 1 / 8000)
        level = [torch.log10(power[:, (hertz > a) & (hertz < b)].mean(1) + 1e-3) for a, b in BANDS]
        return torch.stack([*level, torch.full((len(waves),), 9.0)], 1)


BANDS = ((100, 500), (900, 1500), (2500, 3500))
NETS = """from tests.captioners.test_captioners import Pitches
import torch


def build():
    return Pitches(), torch.from_numpy, ["Dog", "Water_tap_faucet", "Bark", "Speech"]
"""


def test_a_tagger_says_what_stands_out_and_when(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    target = {"kind": "python", "factory": f"{tmp_path}/nets.py:build", "rate": 8000}
    tagger: Any = CAPTIONERS.create(PluginConfig(kind="tagger", target=target, seconds=0.5, above=0.5))
    hz = {"low": 300, "mid": 1200, "high": 3000}

    def sound(*names: str) -> np.ndarray:
        return np.concatenate([tone(0.5, 8000, hz[name]) if name else np.zeros(4000, np.float32) for name in names])

    clips = [sound("low", ""), sound("mid", "low"), sound("high", ""), sound("", ""), sound("", "")]
    replies = dict(tagger.replies(iter(clips)))
    assert len(replies) == 5 and tagger.sample_rate == 8000
    texts = tagger.captions([{} for _ in clips], lambda captioner: [replies[i] for i in range(5)])
    assert texts[0] == "Dog." and texts[1] == "Water tap faucet; then dog.", "in the order in which they come"
    assert texts[2] == "Bark." and texts[3] is None, "what is always likely says nothing"
    few: Any = CAPTIONERS.create(
        PluginConfig(kind="tagger", target=target, seconds=0.5, above=0.5, classes=["Bark", "Spee*"])
    )
    assert few.captions([{}] * 5, lambda captioner: [replies[i] for i in range(5)]) != texts
    with pytest.raises(ConfigError, match="classes='Cat' matches no class; there are: Dog"):
        wrong: Any = CAPTIONERS.create(PluginConfig(kind="tagger", target=target, classes=["Cat"]))
        wrong.captions([{}], lambda captioner: [replies[0]])
    again: Any = CAPTIONERS.create(PluginConfig(kind="tagger", target=target, seconds=0.5, above=3))
    assert again.identity() == tagger.identity(), "thresholds choose among replies that are there"


def test_a_narrower_class_stands_for_the_broader(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS.replace("Water_tap_faucet", "Animal"))
    target = {"kind": "python", "factory": f"{tmp_path}/nets.py:build", "rate": 8000}
    tagger: Any = CAPTIONERS.create(PluginConfig(kind="tagger", target=target, above=0.5))
    mixed = tone(0.5, 8000, 300) + tone(0.5, 8000, 1200)
    replies = dict(tagger.replies(iter([mixed, np.zeros(4000, np.float32), np.zeros(4000, np.float32)])))
    texts = tagger.captions([{}] * 3, lambda captioner: [replies[i] for i in range(3)])
    assert texts == ["Dog.", None, None]


def test_a_network_never_tags_for_its_own_dissection(tmp_path: Path) -> None:
    config = small_config(name="own", captions={"kind": "tagger", "target": {"kind": "ast"}})
    with pytest.raises(ConfigError, match="a network never tags for its own dissection"):
        pipeline.run(config, root=tmp_path, only=["clips", "activations", "captions"], say=lambda text: None)
