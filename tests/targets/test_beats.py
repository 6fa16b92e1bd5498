"""BEATs against fixtures of the published implementation on random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from and_core.audio.fbank import kaldi_fbank
from and_core.config import PluginConfig
from and_core.errors import TargetError
from and_core.nets.beats import Beats, BeatsConfig, initialise, normalise, pooled, relative_buckets, shrink_mask
from and_core.targets.base import TARGETS, Target
from and_core.targets.hooks import Capture
from tests.conftest import tone
from tests.tiny import tiny_beats

CASES = [
    "pretrained_deepnorm_gru",
    "finetuned",
    "prenorm_nobias_sameDim",
    "postnorm_plainrelbias_glu",
    "published_positions",
]


@pytest.fixture(scope="module")
def fixtures(shared: Path) -> dict:
    return torch.load(shared / "data" / "parity" / "beats_parity.pt", weights_only=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("padded", [False, True])
def test_outputs_agree(fixtures: dict, name: str, padded: bool) -> None:
    case = fixtures["cases"][name]
    if padded and "pad" not in case:
        pytest.skip("this fixture has no padded variant")
    expected = case["pad" if padded else "nopad"]
    model = Beats(BeatsConfig.from_dict({**case["cfg"], "unknown_key": 1})).eval()
    model.load_state_dict(case["model"], strict=True)
    seen: dict[str, torch.Tensor] = {}
    for i, layer in enumerate(model.encoder.layers):
        inner = layer.fc1.linear if hasattr(layer.fc1, "linear") else layer.fc1
        inner.register_forward_hook(lambda m, a, o, i=i: seen.__setitem__(f"layers.{i}.fc1_TBC", o))
        layer.fc2.register_forward_hook(lambda m, a, o, i=i: seen.__setitem__(f"layers.{i}.fc2_TBC", o))
    fbank, mask = case["nopad"]["fbank"], expected.get("frame_padding_mask")
    with torch.inference_mode():
        features, padding = model(fbank, mask)
    if padded:
        samples = expected.get("sample_padding_mask", case.get("sample_padding_mask"))
        assert torch.equal(shrink_mask(samples, fbank.shape[1]), mask) and torch.equal(
            padding, expected["token_padding_mask"]
        )
    if "features" in expected:
        assert torch.allclose(features, expected["features"], atol=1e-5)
    else:
        with torch.inference_mode():
            assert model.predictor is not None
            tokens = model.predictor(features)
        assert torch.allclose(tokens, expected["token_logits"], atol=1e-5)
        assert torch.allclose(pooled(tokens, padding).sigmoid(), expected["probs"], atol=1e-5)
    compared = 0
    for key, value in seen.items():
        if key in expected and expected[key].shape[-1] == value.shape[-1]:
            assert torch.allclose(value.transpose(0, 1), expected[key], atol=2e-5), key
            compared += 1
    assert compared >= 2


@pytest.mark.parametrize("name", CASES)
def test_from_audio(fixtures: dict, name: str) -> None:
    case = fixtures["cases"][name]
    model = Beats(BeatsConfig.from_dict(case["cfg"])).eval()
    model.load_state_dict(case["model"])
    fbank = normalise(kaldi_fbank(torch.as_tensor(case["audio"]).float() / 32_768, window="povey", scale=2.0**15))
    with torch.inference_mode():
        ours, given = model(fbank)[0], model(case["nopad"]["fbank"])[0]
    assert torch.allclose(ours, given, atol=1e-4)


def test_bucket_tables_are_exact(fixtures: dict) -> None:
    for key, (relative, bucket) in fixtures["bucket_tables"].items():
        table = relative_buckets(int(relative.abs().max()) + 1, *map(int, key.split("_")))
        for r, b in zip(relative.flatten().tolist(), bucket.flatten().tolist(), strict=True):
            assert int(table[max(0, -r), max(0, r)]) == b


def test_key_names_are_the_published_ones(fixtures: dict) -> None:
    published = BeatsConfig(
        16, deep_norm=True, relative_position_embedding=True, gru_rel_pos=True, max_distance=800, finetuned_model=True
    )
    ours = {k: tuple(v.shape) for k, v in Beats(published).state_dict().items()}
    assert ours == {k: tuple(v) for k, v in fixtures["published_shapes"].items()} and len(ours) == 252


def test_configurations_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {},
        {"input_patch_size": 16, "deep_norm": True, "layer_norm_first": True},
        {"input_patch_size": 16, "activation_fn": "sine"},
    ):
        with pytest.raises(ValueError):
            BeatsConfig.from_dict(wrong)


def test_the_relative_bias_is_one_table_and_padding_is_not_heard() -> None:
    small = {
        "embed_dim": 12,
        "encoder_layers": 2,
        "encoder_embed_dim": 16,
        "encoder_ffn_embed_dim": 24,
        "encoder_attention_heads": 2,
        "conv_pos": 4,
    }
    config = BeatsConfig(
        16,
        conv_pos_groups=2,
        relative_position_embedding=True,
        gru_rel_pos=True,
        deep_norm=True,
        num_buckets=32,
        max_distance=40,
        **small,
    )
    torch.manual_seed(0)
    model = Beats(config).eval()
    initialise(model)
    first, second = (layer.self_attn.relative_attention_bias for layer in model.encoder.layers)
    assert first is second
    short = torch.randn(1, 64, 128)
    long = torch.cat([short, torch.randn(1, 64, 128)], 1)
    padding = torch.zeros(1, 128, dtype=torch.bool)
    padding[:, 64:] = True
    with torch.inference_mode():
        a, mask = model(long, padding)
        b, _ = model(torch.cat([short, torch.zeros(1, 64, 128)], 1), padding)
    assert mask is not None and torch.allclose(a[~mask], b[~mask], atol=1e-5)


def activations(checkpoint: str, clips: list[np.ndarray]) -> tuple[Target, dict[str, torch.Tensor]]:
    target = TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint))
    target.load("cpu")
    with Capture(target.hook_points(), target.pool) as capture:
        capture.run(lambda: target.forward(target.features(clips)))
    return target, dict(capture.outputs)


def test_espnets_layouts_give_the_activations_of_microsofts(tmp_path: Path) -> None:
    clips = [tone(0.5), tone(1.1, hz=700)]
    _, expected = activations(tiny_beats(tmp_path / "ms", "pretrained"), clips)
    (tmp_path / "exp").mkdir()
    for layout in ("espnet", "espnet-whole"):
        target, outputs = activations(tiny_beats(tmp_path / "exp" / "net", layout, finetuned_model=False), clips)
        assert target.classes == (None if layout == "espnet" else ["bell", "dog", "rain"])
        assert all(torch.equal(outputs[name], value) for name, value in expected.items())
    path = tmp_path / "exp" / "net.pth"
    weights = torch.load(path, weights_only=True)
    predictor = {"decoder.mask_token": torch.zeros(1, 1, 4), "decoder.decoder_pred.bias": torch.zeros(9)}
    torch.save({"module": {**{k: v.half() for k, v in weights.items()}, **predictor}, "epoch": 3}, path)
    torch.save({"state_dict": {f"model.{k}": v for k, v in weights.items()}}, path.with_suffix(".ckpt"))
    assert torch.equal(activations(str(path.with_suffix(".ckpt")), clips)[1]["fc"], outputs["fc"])
    half = activations(str(path), clips)[1]["fc"]
    assert half.dtype == torch.float32 and torch.allclose(half, outputs["fc"], atol=1e-2)


def test_what_espnet_has_beyond_beats_is_named(tmp_path: Path) -> None:
    path = Path(tiny_beats(tmp_path / "net", "espnet-whole", finetuned_model=False))
    about, weights = yaml.safe_load((tmp_path / "config.yaml").read_text()), torch.load(path, weights_only=True)
    before = TARGETS.create(PluginConfig(kind="beats", checkpoint=str(path))).fingerprint()
    for change, message in (
        ({"encoder_conf": {"max_layer": 3, "use_weighted_representation": True}}, "max_layer=3, encoder_conf.use_wei"),
        ({"encoder_conf": {"fbank_mean": 0.0}}, "encoder_conf.fbank_mean=0.0"),
        ({"encoder_conf": {"beats_ckpt_path": "a.pt"}}, "copy there the 'cfg' .* fine-tuned from \\(a.pt\\)"),
        ({"normalize": "utterance_mvn"}, "normalize='utterance_mvn': BEATs has no such part"),
        ({"decoder_conf": {"pooling": "max"}}, "decoder_conf.pooling='max'; allowed: mean"),
        ({"encoder": "conformer"}, "its encoder is 'conformer'"),
        ({"token_list": ["a", "b", "<blank>", "<unk>"]}, "has 2 names; the classifier has 3 units"),
    ):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**about, **change}))
        with pytest.raises(TargetError, match=message):
            activations(str(path), [tone(0.5)])
    assert TARGETS.create(PluginConfig(kind="beats", checkpoint=str(path))).fingerprint() != before
    for text, message in (("[1, 2]", "a mapping is expected"), ("a: !!python/object:os.x {}", "can't be read")):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(TargetError, match=message):
            activations(str(path), [tone(0.5)])
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(TargetError, match="weights alone and there is no config.yaml beside it"):
        activations(str(path), [tone(0.5)])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(about))
    for key, message in (
        ("encoder.downsample_conv.weight", "unknown downsample_conv.weight"),
        ("text_encoder.embed.weight", "keys of no part of BEATs: text_encoder.embed.weight"),
    ):
        torch.save({**weights, key: torch.zeros(2)}, path)
        with pytest.raises(TargetError, match=message):
            activations(str(path), [tone(0.5)])
