"""Audio towers of language models and other networks of transformers: what they hear, and what is read of a
checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from and_core.config import PluginConfig
from and_core.errors import TargetError
from and_core.targets.base import TARGETS, Target
from and_core.targets.hooks import Capture
from and_core.testing import noise
from tests.tiny_audio import (
    GRANITE,
    language_model,
    pe_audio_settings,
    save_extractor,
    tiny_encoder,
    tiny_language_model,
    tiny_mert,
    tiny_pe_audio,
)

RATE = 16_000
GOLDEN_BANDS = [0, 5, 14, 15, 16, 40, 54, 94, 95, 134]
GOLDEN = [-0.2774, -0.0997, 1.6944, 1.7226, 1.5909, -0.2774, 0.6297, 1.6943, 1.7226, 0.6297]
WAVE = noise(RATE, 1.37)


def open_network(folder: Path | str, **settings: Any) -> Target:
    target = TARGETS.create(PluginConfig(kind="transformers", checkpoint=str(folder), **settings))
    target.load("cpu")
    return target


def pooled(target: Target, waves: list[np.ndarray]) -> dict[str, torch.Tensor]:
    with Capture(target.hook_points(), target.pool) as capture:
        capture.run(lambda: target.forward(target.features(waves)))
    return dict(capture.outputs)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """To a ten-thousandth of the largest value: random networks give small ones."""
    return ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


def whisper(**options: Any) -> Any:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=4)
    return extractor([WAVE], sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, **options)


def ask_qwen2_audio(net: Any) -> None:
    made = whisper()
    tokens = int((made["attention_mask"].sum() - 1) // 2 + 1 - 2) // 2 + 1
    ids = torch.full((1, tokens), net.config.audio_token_id)
    net(input_ids=ids, input_features=made["input_features"], feature_attention_mask=made["attention_mask"])


def ask_with_mask(net: Any) -> None:
    made = whisper()
    net.get_audio_features(made["input_features"], made["attention_mask"])


def ask_gemma(net: Any) -> None:
    from transformers import Gemma4AudioFeatureExtractor

    made = Gemma4AudioFeatureExtractor()([WAVE], return_tensors="pt")
    net.model.get_audio_features(made["input_features"], made["input_features_mask"].bool())


def ask_phi(net: Any) -> None:
    from transformers import Phi4MultimodalFeatureExtractor

    made = Phi4MultimodalFeatureExtractor()([WAVE], sampling_rate=RATE, return_tensors="pt")
    net.model.embed_tokens_extend.audio_embed.encoder(made["audio_input_features"], None)


def ask_qwen3_asr(net: Any) -> None:
    from transformers import Qwen3ASRFeatureExtractor

    extractor = Qwen3ASRFeatureExtractor(feature_size=16)
    made = extractor([WAVE], sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
    net.get_audio_features(made["input_features"], made["attention_mask"])


ASK: dict[str, Callable[[Any], None]] = {
    "AudioFlamingo3": ask_with_mask,
    "Gemma4": ask_gemma,
    "GlmAsr": ask_with_mask,
    "Phi4Multimodal": ask_phi,
    "Qwen2Audio": ask_qwen2_audio,
    "Qwen2_5OmniThinker": lambda net: net.get_audio_features(
        (made := whisper(padding="max_length"))["input_features"], made["attention_mask"]
    ),
    "Qwen3ASR": ask_qwen3_asr,
    "Qwen3OmniMoeThinker": lambda net: net.get_audio_features(
        (made := whisper(padding="longest", truncation=False))["input_features"], made["attention_mask"]
    ),
    "Voxtral": lambda net: net.get_audio_features(whisper()["input_features"]),
}
LAST = {
    "Gemma4": "feed_forward2.ffw_layer_2.linear",
    "Phi4Multimodal": "feed_forward_out.down_proj",
    "GlmAsr": "mlp.fc2",
}


@pytest.mark.parametrize("family", ASK)
def test_a_tower_gives_what_it_gives_within_the_whole_network(family: str, tmp_path: Path) -> None:
    """The second block's last layer: of all tokens where padding never gets there, else of the first that are sound."""
    target = open_network(tiny_language_model(tmp_path / "net", family))
    name = f"1.{LAST.get(family, 'fc2')}"
    layer = next(x.name for x in target.layers() if x.name.endswith(name))
    net = language_model(family).half().float()
    module = next(m for n, m in net.named_modules() if n.endswith(layer) and ("audio" in n or "encoder" in n))
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda m, a, o: seen.append(o.reshape(-1, o.shape[-1])))
    with torch.inference_mode():
        ASK[family](net)
    ours = pooled(target, [WAVE])[layer][0]
    sounding = round(len(WAVE) / (4 * RATE) * len(seen[0])) if len(seen[0]) == 200 else len(seen[0])
    assert close(ours, seen[0][:sounding].mean(0))
    assert close(pooled(target, [WAVE, noise(RATE, 1.37, 3)])[layer][0], ours)


def first_tokens(target: Target, layer: str, wave: np.ndarray, count: int) -> torch.Tensor:
    """Mean of a layer's first tokens on one clip, windows of the clip in a row."""
    seen: list[torch.Tensor] = []
    module = target.all_modules()[layer]
    handle = module.register_forward_hook(lambda m, a, o: seen.append(o))
    with torch.inference_mode():
        target.forward(target.features([wave]))
    handle.remove()
    tokens = seen[0].movedim(1, -1) if isinstance(module, torch.nn.Conv1d) else seen[0]
    return tokens.reshape(-1, tokens.shape[-1])[:count].mean(0)


@pytest.mark.parametrize(
    ("family", "layer", "seconds", "count"),
    [
        ("Qwen2_5OmniThinker", "conv1", 1.37, 137),  # four windows of 40 frames, the last one with 17
        ("Qwen2_5OmniThinker", "layers.1.fc2", 1.37, 69),
        ("Qwen3OmniMoeThinker", "conv_out", 1.5, 20),  # 13 tokens a second, 7 of the last half
        ("GraniteSpeech", "layers.1.attn.to_q", 1.37, 69),  # blocks of 20 tokens
        ("Phi4Multimodal", "encoders.1.feed_forward_in.down_proj", 40.5, 506),  # windows of 500 tokens
        ("AudioFlamingo3", "layers.1.fc2", 1.0, 50),
    ],
)
def test_padding_is_left_out(family: str, layer: str, seconds: float, count: int, tmp_path: Path) -> None:
    target = open_network(tiny_language_model(tmp_path / "net", family), layers=[layer])
    wave = noise(RATE, seconds)
    assert close(pooled(target, [wave])[layer][0], first_tokens(target, layer, wave, count))
    assert target.to_map(collect(target, layer, wave), layer).shape[2:] == (1, count)


def collect(target: Target, layer: str, wave: np.ndarray) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    with target.hook_points()[layer].attach(lambda tensor: seen.append(tensor)), torch.inference_mode():
        target.forward(target.features([wave]))
    return seen[0]


@pytest.mark.parametrize("family", ["AudioFlamingo3", "Qwen2Audio"])
def test_masked_towers_hear_no_silence_after_a_clip(family: str, tmp_path: Path) -> None:
    """What stands in the spectrogram behind a clip changes nothing."""
    target = open_network(tiny_language_model(tmp_path / "net", family), layers=["layers.*"])
    features = target.features([WAVE])
    outputs = []
    for _ in range(2):
        with Capture(target.hook_points(), target.pool) as capture:
            capture.run(lambda: target.forward(features))
        outputs.append(dict(capture.outputs))
        features[0].inputs["input_features"][:, :, 142:] = 9.0
    assert all(close(value, outputs[1][name]) for name, value in outputs[0].items())


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_nothing_of_a_language_model_is_built_or_read(tmp_path: Path) -> None:
    folder = Path(tiny_language_model(tmp_path / "net", "Voxtral"))
    by_name = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    absent = [file for file in set(by_name.values()) if not (folder / file).exists()]
    assert absent, "the language model's own shards are not there"
    before = pooled(open_network(folder), [WAVE])
    fingerprint = TARGETS.create(PluginConfig(kind="transformers", checkpoint=str(folder))).fingerprint()
    (folder / absent[0]).write_bytes(b"no weights")
    sizes = {"hidden_size": 10**7, "vocab_size": 10**9, "num_hidden_layers": 10**6}  # no machine could hold it
    edit(folder / "config.json", lambda c: c["text_config"].update(sizes))
    target = open_network(folder)
    assert all(torch.equal(value, before[name]) for name, value in pooled(target, [WAVE]).items())
    assert {name.split(".")[0] for name, _ in target.network.named_parameters()} <= {
        "conv1", "conv2", "embed_positions", "layers", "layer_norm",
    }  # fmt: skip
    shard = next(folder / file for name, file in by_name.items() if "audio_tower.layers.1.fc2.weight" in name)
    weights = load_file(shard)
    save_file({k: v + 1 if "layers.1.fc2" in k else v for k, v in weights.items()}, shard, {"format": "pt"})
    edit(folder / "config.json", lambda c: c["text_config"].update(hidden_size=16))
    assert TARGETS.create(PluginConfig(kind="transformers", checkpoint=str(folder))).fingerprint() != fingerprint


def test_wrong_towers_are_named(tmp_path: Path) -> None:
    from transformers import KyutaiSpeechToTextConfig, VoxtralRealtimeConfig

    folder = Path(tiny_language_model(tmp_path / "net", "Qwen2Audio"))
    index = folder / "model.safetensors.index.json"
    by_name = json.loads(index.read_text())["weight_map"]
    shard = next(folder / file for name, file in by_name.items() if "layers.1.fc2.weight" in name)
    weights, listing = load_file(shard), index.read_text()
    key = "audio_tower.layers.1.fc2.weight"
    for change, message in (
        (lambda w: w.pop(key), f"lacks {key}, which the index promises"),
        (lambda w: w.update({key: torch.zeros(16, 3)}), "16 x 3 in the file, 16 x 64 by config.json"),
        (lambda w: w.update({"audio_tower.cqt.weight": torch.zeros(1)}), "Qwen2AudioEncoder does not know: cqt.weight"),
    ):
        other = dict(weights)
        change(other)
        save_file(other, shard, {"format": "pt"})
        with pytest.raises(TargetError, match=message):
            open_network(folder)
    save_file(weights, shard, {"format": "pt"})
    for place in ("../elsewhere.safetensors", "model-00009-of-00009.safetensors"):
        edit(index, lambda i: i["weight_map"].update({key: place}))  # noqa: B023
        with pytest.raises(TargetError, match="which is not there"):
            open_network(folder)
    index.write_text(listing.replace("audio_tower", "image_tower"))
    with pytest.raises(TargetError, match="no weights of an audio tower; it holds image_tower.conv1"):
        open_network(folder)
    index.unlink()
    with pytest.raises(TargetError, match="holds no weights; allowed: model.safetensors"):
        open_network(folder)
    index.write_text(listing)
    edit(folder / "config.json", lambda c: c["audio_config"].update(num_mel_bins=80))
    with pytest.raises(TargetError, match="makes None frames of 16 bins, the network takes None of 80"):
        open_network(folder)
    for config, hears in ((VoxtralRealtimeConfig, "'voxtral_realtime_encoder'"), (KyutaiSpeechToTextConfig, "None")):
        config().save_pretrained(tmp_path / config.__name__)
        with pytest.raises(TargetError, match=f"hears through {hears}; allowed: audioflamingo3_encoder, gemma3n_audio"):
            open_network(tmp_path / config.__name__)


def test_towers_are_found_in_every_layout(tmp_path: Path) -> None:
    """The whole Qwen2.5-Omni keeps its thinker one level further down; older files are pickled tensors."""
    from transformers import Qwen2_5OmniConfig

    folder = Path(tiny_language_model(tmp_path / "net", "Qwen2_5OmniThinker"))
    expected = pooled(open_network(folder), [WAVE])
    weights: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        weights |= {f"thinker.{name}": tensor for name, tensor in load_file(path).items()}
    whole = tmp_path / "whole"
    thinker = json.loads((folder / "config.json").read_text())
    Qwen2_5OmniConfig(thinker_config=thinker).save_pretrained(whole)
    save_extractor(whole, "Qwen2_5OmniThinker")
    save_file(weights, whole / "model.safetensors")
    outputs = [pooled(open_network(whole), [WAVE])]
    (whole / "model.safetensors").unlink()
    torch.save(weights, whole / "pytorch_model.bin")
    outputs.append(pooled(open_network(whole), [WAVE]))
    assert all(torch.equal(value, other[name]) for other in outputs for name, value in expected.items())


def test_mert_is_read_as_hubert_and_runs_no_code(tmp_path: Path) -> None:
    from transformers import HubertModel, Wav2Vec2FeatureExtractor

    folder = Path(tiny_mert(tmp_path / "mert"))
    target = open_network(folder)
    assert target.sample_rate == 24_000
    torch.manual_seed(0)
    edit(folder / "config.json", lambda c: (c.pop("auto_map"), c.update(model_type="hubert")))
    net = HubertModel.from_pretrained(folder).eval()
    seen: list[torch.Tensor] = []
    net.encoder.layers[1].feed_forward.output_dense.register_forward_hook(lambda m, a, o: seen.append(o))
    wave = noise(24_000, 0.7)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    with torch.inference_mode():
        net(**extractor(wave, sampling_rate=24_000, return_tensors="pt"))
    ours = pooled(target, [wave])["encoder.layers.1.feed_forward.output_dense"]
    assert close(ours, seen[0].mean(1))
    for part in ({"feature_extractor_cqt": True}, {"deepnorm": True}):
        with pytest.raises(TargetError, match=f"is a MERT with {next(iter(part))}=True: HuBERT has no such part"):
            open_network(tiny_mert(tmp_path / next(iter(part)), **part))
    more = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({**more, "post_cqt_feature_proj.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    edit(folder / "config.json", lambda c: c.update(model_type="mert_model"))
    with pytest.raises(TargetError, match="HuBERT does not know: post_cqt_feature_proj.weight"):
        open_network(folder)


def test_wav2vec2_bert_hears_what_its_mask_leaves(tmp_path: Path) -> None:
    """Of an odd number of frames the extractor makes a last token that is half padding and masked."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertModel

    folder = tiny_encoder(tmp_path / "net", "Wav2Vec2Bert")
    inputs = SeamlessM4TFeatureExtractor.from_pretrained(folder)([WAVE], sampling_rate=RATE, return_tensors="pt")
    mask = inputs["attention_mask"][0].bool()
    assert not mask.all() and mask[:-1].all()
    net = Wav2Vec2BertModel.from_pretrained(folder).eval()
    seen: list[torch.Tensor] = []
    net.encoder.layers[1].ffn2.output_dense.register_forward_hook(lambda m, a, o: seen.append(o))
    with torch.inference_mode():
        net(**inputs)
    ours = pooled(open_network(folder), [WAVE])["encoder.layers.1.ffn2.output_dense"]
    assert close(ours, seen[0][:, mask].mean(1))


@pytest.mark.parametrize("name", ["PeAudioModel", "PeAudioFrameLevelModel"])
def test_pe_audio_gives_embeddings_of_clips_or_of_frames(name: str, tmp_path: Path) -> None:
    import transformers

    folder = Path(tiny_pe_audio(tmp_path / "net", name))
    wave = noise(48_000, 0.5)
    extractor = transformers.PeAudioFeatureExtractor.from_pretrained(folder)
    inputs = extractor([wave], sampling_rate=48_000, return_tensors="pt")
    net = getattr(transformers, name).from_pretrained(folder).eval()
    target = open_network(folder, layers=["audio_head.proj"])
    with torch.inference_mode():
        expected = net.get_audio_embeds(**inputs)
        given = target.forward(target.features([wave]))
    assert expected.ndim == (2 if name == "PeAudioModel" else 3)
    expected = expected if expected.ndim == 2 else expected.mean(1)
    assert close(given, expected)
    assert close(pooled(target, [wave])["audio_head.proj"], expected)
    first = open_network(folder, special_tokens=1, pooling="cls", layers=["audio_encoder.output"])
    with torch.inference_mode():
        whole = net.audio_encoder(**inputs)
    assert close(pooled(first, [wave])["audio_encoder.output"], whole.pooler_output)


def test_pe_audio_is_found_in_a_checkpoint_that_sees_as_well(tmp_path: Path) -> None:
    from transformers import PeAudioVideoConfig

    alone, whole = (Path(tiny_pe_audio(tmp_path / name)) for name in ("alone", "whole"))
    sizes = pe_audio_settings()
    PeAudioVideoConfig(
        text_config=sizes["text_config"], audio_video_config={"audio_config": sizes["audio_config"]}
    ).save_pretrained(whole)
    weights = load_file(alone / "model.safetensors")
    save_file({f"audio_model.{k}": v for k, v in weights.items()}, whole / "model.safetensors")
    wave = noise(48_000, 0.5)
    outputs = [pooled(open_network(folder, layers=["*layers.1.*"]), [wave]) for folder in (alone, whole)]
    assert all(close(value, outputs[1][name]) for name, value in outputs[0].items())


def test_moonshine_is_its_encoder(tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, MoonshineForConditionalGeneration

    folder = tiny_encoder(tmp_path / "net", "Moonshine")
    inputs = AutoFeatureExtractor.from_pretrained(folder)([WAVE], sampling_rate=RATE, return_tensors="pt")
    net = MoonshineForConditionalGeneration.from_pretrained(folder).eval().get_encoder()
    target = open_network(folder)
    with torch.inference_mode():
        states = net(**inputs).last_hidden_state
        assert close(target.forward(target.features([WAVE])), states.mean(1))
        assert target.forward(target.features([WAVE[:10]])).isfinite().all(), "the shortest clips are padded"
    assert target.heard_seconds(100.0) == 100.0


def test_how_much_is_heard(tmp_path: Path) -> None:
    for family, seconds in (("Qwen2Audio", 4.0), ("Qwen3OmniMoeThinker", 100.0), ("Gemma4", 30.0)):
        target = open_network(tiny_language_model(tmp_path / family, family))
        assert target.heard_seconds(100.0) == seconds


def test_granites_front_end_is_torchaudios() -> None:
    """Golden values of torchaudio 2.9.1's `MelSpectrogram` and the extractor's own steps behind it."""
    from and_core.audio.granite import GraniteFrontEnd

    time = np.arange(4000) / RATE
    wave = (0.3 * np.sin(2 * np.pi * 440 * time) + 0.05 * np.sin(2 * np.pi * 3000 * time)).astype(np.float32)
    features = GraniteFrontEnd(GRANITE)([wave])["input_features"]
    assert features.shape == (1, 13, 160)
    assert close(features[0, 4, GOLDEN_BANDS], torch.tensor(GOLDEN))
