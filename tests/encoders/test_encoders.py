"""Text and text-audio encoders: one contract for every kind, on tiny random networks in the published formats."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from and_core.config import PluginConfig
from and_core.encoders.base import ENCODERS, TextAudioEncoder, TextEncoder
from and_core.encoders.clap import SAMPLES, crops, quantise
from and_core.errors import ConfigError, DataError, MissingExtra
from and_core.testing import check_encoder
from tests.conftest import tone
from tests.tiny import tiny_ast, tiny_clap, tiny_clip, tiny_small_clap
from tests.tiny_audio import pe_audio_settings, tiny_pe_audio


def create(kind: str, **settings: object) -> TextEncoder:
    return ENCODERS.create(PluginConfig(kind=kind, **settings))


def minilm_folder() -> str:
    pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers is not installed")
    return str(create("minilm", model="bundled").folder)  # type: ignore[attr-defined]


ENCODER_SETTINGS: dict[str, Callable[[Path], dict]] = {
    "minilm": lambda p: {"model": "bundled"},
    "sentence_transformer": lambda p: {"model": minilm_folder(), "device": "cpu"},
    "clip": lambda p: {"model": tiny_clip(p)},
    "clap": lambda p: {"model": tiny_clap(p)},
    "small_clap": lambda p: {"checkpoint": tiny_small_clap(p)},
    "tagger": lambda p: {"target": {"kind": "ast", "checkpoint": tiny_ast(p), "pooling": "mean"}},
    "pe_audio": lambda p: {"model": tiny_pe_audio(p), "seconds": 4.0, "crops": 2},
}


@pytest.mark.parametrize("kind", ENCODERS.names())
def test_every_encoder(kind: str, tmp_path: Path) -> None:
    settings = ENCODER_SETTINGS[kind](tmp_path / "net")
    encoder = check_encoder(lambda: create(kind, **settings))
    texts = ["a dog barking", "the bark of a dog", "rain falling", "x" * 500]
    vectors = encoder.encode(texts)
    for i, text in enumerate(texts):
        assert np.allclose(encoder.encode([text])[0], vectors[i], atol=1e-5), "padding must not be read"
    if kind in ("minilm", "sentence_transformer"):  # random weights have no meaning to check
        assert vectors[0] @ vectors[1] > 0.7 > vectors[0] @ vectors[2]
        assert np.allclose(
            vectors, create("minilm", model="bundled").encode(texts), atol=1e-4
        )  # two loaders of one model


def test_clip_keeps_quick_gelu_and_names_what_is_missing(tmp_path: Path) -> None:
    encoder = create("clip", model=tiny_clip(tmp_path / "clip"))
    one = encoder.encode(["a dog"])[0]
    config = CLIPTextConfig.from_pretrained(tmp_path / "clip")
    assert config.hidden_act == "quick_gelu"
    network = CLIPTextModelWithProjection.from_pretrained(tmp_path / "clip")
    ids = CLIPTokenizer.from_pretrained(tmp_path / "clip")(["a dog"], return_tensors="pt")
    with torch.inference_mode():
        quick = torch.nn.functional.normalize(network(**ids).text_embeds, dim=1)[0].numpy()
    assert np.allclose(one, quick, atol=1e-5)
    with pytest.raises(DataError, match="can't be loaded"):
        create("clip", model=str(tmp_path / "none")).encode(["x"])
    with pytest.raises(DataError, match="lacks"):
        create("small_clap", checkpoint=str(tmp_path)).fingerprint()


def test_clap_is_fed_as_the_published_checkpoint_was() -> None:
    wave = np.array([0.5, -0.5, 2.0, -2.0, 1e-5, 0.1], np.float32)
    assert np.allclose(quantise(wave) * 32767, [16383, -16383, 32767, -32767, 0, 3276])
    short, long = np.zeros(100, np.float32), np.arange(2 * SAMPLES, dtype=np.float32)
    assert [len(c) for c in crops(short)] == [100]
    assert [int(c[0]) for c in crops(long)] == [0, SAMPLES // 2, SAMPLES] and all(
        len(c) == SAMPLES for c in crops(long)
    )


def test_clap_agrees_with_transformers_own_use(tmp_path: Path) -> None:
    from transformers import ClapFeatureExtractor, ClapModel

    folder = tiny_clap(tmp_path / "clap")
    encoder = create("clap", model=folder)
    assert isinstance(encoder, TextAudioEncoder)
    wave = tone(2.0, 48_000)
    inputs = ClapFeatureExtractor.from_pretrained(folder)(quantise(wave), sampling_rate=48_000, return_tensors="pt")
    with torch.inference_mode():
        out = ClapModel.from_pretrained(folder).eval().get_audio_features(**inputs)
    expected = torch.nn.functional.normalize(getattr(out, "pooler_output", out), dim=1)
    assert np.allclose(encoder.encode_audio([wave]), expected.numpy(), atol=1e-5)


def test_a_fused_clap_is_refused_and_laions_package_named(tmp_path: Path) -> None:
    import json

    folder = Path(tiny_clap(tmp_path / "clap"))
    config = json.loads((folder / "config.json").read_text())
    config["audio_config"]["enable_fusion"] = True
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((ConfigError, DataError), match="fused CLAP|lacks"):
        create("clap", model=str(folder)).encode(["x"])
    if "laion_clap" not in sys.modules:
        with pytest.raises(MissingExtra, match=r"\[clap\]"):
            create("clap", model=str(folder), engine="laion_clap").encode(["x"])


def test_pe_audio_agrees_with_transformers_own_use(tmp_path: Path) -> None:
    from transformers import PeAudioFeatureExtractor, PeAudioModel, PreTrainedTokenizerFast

    folder = tiny_pe_audio(tmp_path / "net")
    encoder = create("pe_audio", model=folder)
    assert isinstance(encoder, TextAudioEncoder)
    wave, texts = tone(0.7, 48_000), ["a dog barks", "rain"]
    sound = PeAudioFeatureExtractor()([wave], sampling_rate=48_000, return_tensors="pt")
    words = PreTrainedTokenizerFast.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        out = PeAudioModel.from_pretrained(folder).eval()(**sound, **words)
    for ours, theirs in (
        (encoder.encode_audio([wave]), out.audio_embeds),
        (encoder.encode(texts), out.text_audio_embeds),
    ):
        assert np.allclose(ours, torch.nn.functional.normalize(theirs, dim=1).numpy(), atol=1e-5)
    assert encoder.count_cut(["a", "b" * 9000]) == 1


def test_pe_audio_is_found_in_a_checkpoint_that_sees_as_well(tmp_path: Path) -> None:
    """Text tower and audio model alone are read; the weights of the video tower need not even be there."""
    from safetensors.torch import load_file, save_file
    from transformers import PeAudioVideoConfig

    alone = Path(tiny_pe_audio(tmp_path / "alone"))
    whole = Path(tiny_pe_audio(tmp_path / "whole"))
    sizes = pe_audio_settings()
    PeAudioVideoConfig(
        text_config=sizes["text_config"], audio_video_config={"audio_config": sizes["audio_config"]}
    ).save_pretrained(whole)
    weights = load_file(alone / "model.safetensors")
    moved = {k if k.startswith("text_model.") else f"audio_model.{k}": v for k, v in weights.items()}
    save_file({**moved, "audio_video_head.proj.weight": torch.zeros(2)}, whole / "model.safetensors")
    one, other = create("pe_audio", model=str(alone)), create("pe_audio", model=str(whole))
    assert isinstance(one, TextAudioEncoder) and isinstance(other, TextAudioEncoder)
    wave = tone(0.5, 48_000)
    assert np.allclose(one.encode(["rain"]), other.encode(["rain"]), atol=1e-6)
    assert np.allclose(one.encode_audio([wave]), other.encode_audio([wave]), atol=1e-6)


def test_wrong_pe_audio_checkpoints_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import PeAudioFeatureExtractor

    with pytest.raises(ConfigError, match="holds a 'clap'; allowed: pe_audio, pe_audio_video"):
        create("pe_audio", model=tiny_clap(tmp_path / "clap")).encode(["x"])
    with pytest.raises(ConfigError, match="a vector for each frame"):
        create("pe_audio", model=tiny_pe_audio(tmp_path / "frames", "PeAudioFrameLevelModel")).encode(["x"])
    folder = Path(tiny_pe_audio(tmp_path / "net"))
    PeAudioFeatureExtractor(sampling_rate=16_000).save_pretrained(folder)
    with pytest.raises(ConfigError, match="wants 16000 Hz; PE-Audio is fed at 48000"):
        create("pe_audio", model=str(folder)).encode(["x"])
    weights = load_file(folder / "model.safetensors")
    weights.pop("audio_head.proj.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(DataError, match="lacks audio_head.proj.weight"):
        create("pe_audio", model=str(folder)).encode(["x"])
    with pytest.raises(DataError, match="can't be loaded"):
        create("pe_audio", model=str(tmp_path / "none")).encode(["x"])


LAION = """
import numpy as np

class CLAP_Module:
    def __init__(self, enable_fusion, device):
        assert enable_fusion is False
    def load_ckpt(self, path):
        self.path = path
    def get_text_embedding(self, texts):
        found = np.array([[len(t) + 1.0, 1.0] for t in texts])
        return found.squeeze() if len(texts) == 1 else found
    def get_audio_embedding_from_data(self, x):
        assert x.ndim == 2 and x.dtype == np.float32
        assert x.shape[1] <= 480_000, "longer clips are cropped before the package draws at random"
        return np.array([[x.std() * 10, 1.0]])
"""


def test_laions_own_package_is_used_as_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "laion_clap.py").write_text(LAION)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "630k.pt").write_bytes(b"weights")
    encoder = create("clap", model=str(tmp_path / "630k.pt"), engine="laion_clap")
    assert isinstance(encoder, TextAudioEncoder)
    one = encoder.encode_audio([tone(1.0, 48_000), tone(30.0, 48_000)])
    assert one.shape == (2, 2) and np.allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    sys.modules.pop("laion_clap", None)


OPEN_CLIP = """
import torch

class Tower(torch.nn.Module):
    def encode_text(self, tokens):
        return tokens.float()

def create_model(name, pretrained, precision):
    assert name == "ViT-B-32-quickgelu" and precision == "fp32"
    if pretrained != "openai":
        raise RuntimeError("Pretrained weights not found")
    return Tower()

def get_tokenizer(name):
    return lambda texts: torch.tensor([[len(t) + 1, 1] for t in texts])
"""


def test_open_clip_is_asked_for_quick_gelu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "open_clip" not in sys.modules:
        with pytest.raises(MissingExtra, match=r"\[clip\]"):
            create("clip", engine="open_clip", model="openai").encode(["x"])
    (tmp_path / "open_clip.py").write_text(OPEN_CLIP)
    monkeypatch.syspath_prepend(str(tmp_path))
    vectors = create("clip", engine="open_clip", model="openai").encode(["a", "bbb"])
    assert np.allclose(vectors[1], np.array([4, 1]) / np.sqrt(17))
    with pytest.raises(DataError, match="not found"):
        create("clip", engine="open_clip", model="laion9").encode(["x"])
    sys.modules.pop("open_clip", None)
