"""Target networks: one contract for every kind, on tiny random ones saved in the published formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from and_core import pipeline
from and_core.config import PluginConfig, load_config, make_config
from and_core.errors import TargetError
from and_core.targets.base import TARGETS, Target
from and_core.targets.hooks import Capture
from and_core.targets.precision import agreement, choose_precision
from and_core.testing import check_target
from tests.conftest import CATEGORIES, ROOT, tone
from tests.tiny import tiny_ast, tiny_beats, tiny_hub
from tests.tiny_audio import ENCODERS, LANGUAGE_MODELS, tiny_encoder, tiny_language_model


def test_beats_checkpoints_of_every_layout(tmp_path: Path) -> None:
    outputs = {}
    for layout in ("microsoft", "pretrained", "flat"):
        target = TARGETS.create(PluginConfig(kind="beats", checkpoint=tiny_beats(tmp_path / layout, layout)))
        target.load("cpu")
        names = [x.name for x in target.layers()]
        assert names == ["layer0_fc1", "layer0_fc2", "layer1_fc1", "layer1_fc2"] + (
            [] if layout == "pretrained" else ["fc"]
        )
        with Capture(target.hook_points(), target.pool, None if layout != "pretrained" else names[-1]) as capture:
            capture.run(lambda: target.forward(target.features([tone(0.5)])))  # noqa: B023
        outputs[layout] = capture.outputs["layer1_fc2"]
        assert target.multi_label is (layout == "microsoft"), "its predictor ends in a sigmoid"
        assert (
            target.classes
            == {"microsoft": ["/m/a", "/m/b", "/m/c"], "pretrained": None, "flat": ["class 0", "class 1", "class 2"]}[
                layout
            ]
        )
    assert torch.equal(outputs["microsoft"], outputs["pretrained"]) and torch.equal(
        outputs["microsoft"], outputs["flat"]
    )


def test_beats_does_not_hear_padding_and_pools_as_said(tmp_path: Path) -> None:
    checkpoint = tiny_beats(tmp_path / "net")
    alone, batch = tone(0.64), tone(1.5, hz=900)
    for pooling in ("mean", "max", "first", "reference"):
        target = TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, pooling=pooling))
        target.load("cpu")
        found = []
        for waves in ([alone], [alone, batch]):
            with Capture(target.hook_points(), target.pool) as capture:
                logits = capture.run(lambda: target.forward(target.features(waves)))  # noqa: B023
            found.append(capture.outputs["layer1_fc2"][0])
            if pooling != "reference":
                assert torch.allclose(capture.outputs["fc"], logits, atol=1e-6)
        assert torch.allclose(found[0], found[1], atol=1e-5), pooling
    with pytest.raises(TargetError, match="the network has no class token; allowed: mean"):
        TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, pooling="cls"))


def test_wrong_beats_checkpoints_are_named(tmp_path: Path) -> None:
    def load(path: object) -> None:
        TARGETS.create(PluginConfig(kind="beats", checkpoint=str(path))).load("cpu")

    good = torch.load(tiny_beats(tmp_path / "good"), weights_only=True)
    path = tmp_path / "bad.pt"
    for change, message in (
        (lambda c: c["model"].pop("encoder.layers.1.fc1.bias"), "missing encoder.layers.1.fc1.bias"),
        (lambda c: c["model"].update(extra=torch.zeros(1)), "unknown extra"),
        (lambda c: c["cfg"].update(encoder_embed_dim=20, encoder_attention_heads=2), "of another shape encoder"),
        (lambda c: c.pop("cfg"), "is no checkpoint of BEATs"),
        (
            lambda c: c["model"]["encoder.layers.1.self_attn.relative_attention_bias.weight"].add_(1),
            "must be one table",
        ),
    ):
        bad = {"cfg": dict(good["cfg"]), "model": {k: v.clone() for k, v in good["model"].items()}}
        change(bad)
        torch.save(bad, path)
        with pytest.raises(TargetError, match=message):
            load(path)
    torch.save({"cfg": Path("x"), "model": {}}, path)  # an object that only unpickling could make
    with pytest.raises(TargetError, match="files that run code are never loaded"):
        load(path)
    with pytest.raises(TargetError, match="no such file"):
        load(tmp_path / "none.pt")
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\n")
    checkpoint = tiny_beats(tmp_path / "flat.pt", "flat")
    listed = TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, classes=str(names)))
    before = listed.fingerprint()
    listed.load("cpu")
    assert listed.classes == ["a", "b", "c"]
    names.write_text("c\nb\na\n")
    assert TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, classes=str(names))).fingerprint() != before
    names.write_text("a\nb\n")
    with pytest.raises(TargetError, match="has 2 names; the classifier has 3 units"):
        TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, classes=str(names))).load("cpu")


class Recurrent(torch.nn.Module):
    """A network of somebody's own: tokens first, a convolution, a part that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Linear(3, 3)
        self.head = torch.nn.Linear(6, 3)
        self.conv = torch.nn.Conv1d(1, 4, 400, stride=160)
        self.norm = torch.nn.BatchNorm1d(4)
        self.inner = torch.nn.Linear(4, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(self.conv(x[:, None])).permute(2, 0, 1)
        return self.head(self.inner(tokens).mean(0))


def own_network(
    layers: tuple[str, ...] = ("conv", "inner", "fc"), names: tuple[str, ...] = ("a", "b", "c"), **settings: object
) -> Target:
    target = TARGETS.create(
        PluginConfig(kind="module", title="mine", classifier="head", token_axis=0, layers=layers, **settings)
    )
    torch.manual_seed(0)
    return target.bind(Recurrent(), torch.from_numpy, list(names))  # type: ignore[attr-defined]


def planted_network(folder: Path) -> Target:
    """Units that read two layers of a tiny AST."""
    base = {"kind": "ast", "checkpoint": tiny_ast(folder), "pooling": "mean"}
    read = TARGETS.create(PluginConfig(**base))
    read.load("cpu")
    sizes = {name: read.all_modules()[name].out_features for name in ("layer0_output", "layer1_output")}
    torch.manual_seed(0)
    tensors = {
        f"{name}.{part}": torch.randn((3, size) if part == "weight" else (3,))
        for name, size in sizes.items()
        for part in ("weight", "bias")
    }
    save_file(tensors, str(folder / "units.safetensors"))
    return TARGETS.create(PluginConfig(kind="planted", base=base, path=str(folder / "units.safetensors")))


TARGET_MAKERS: dict[str, Callable[[Path], Target]] = {
    "ast": lambda p: TARGETS.create(PluginConfig(kind="ast", checkpoint=tiny_ast(p), pooling="mean")),
    "beats": lambda p: TARGETS.create(PluginConfig(kind="beats", checkpoint=tiny_beats(p))),
    "transformers": lambda p: TARGETS.create(PluginConfig(kind="transformers", checkpoint=tiny_hub(p, "Wav2Vec2"))),
    "module": lambda p: own_network(),
    "planted": lambda p: planted_network(p),
    "python": lambda p: TARGETS.create(load_config(ROOT / "examples" / "python_target" / "config.yaml").target),
}
FIRST = {
    "ast": ["layer0_attention_output", "layer0_intermediate", "layer0_output"],
    "beats": ["layer0_fc1", "layer0_fc2", "layer1_fc1"],
    "transformers": [
        f"wav2vec2.feature_{x}"
        for x in ("extractor.conv_layers.0.conv", "extractor.conv_layers.1.conv", "projection.projection")
    ],
    "module": ["conv", "inner", "fc"],
    "planted": ["layer0_output_planted", "layer1_output_planted"],
    "python": ["0", "fc"],
}


@pytest.mark.parametrize("kind", TARGETS.names())
def test_every_target(kind: str, tmp_path: Path) -> None:
    target = check_target(lambda: TARGET_MAKERS[kind](tmp_path / "net"))
    layers = target.layers()
    assert [x.name for x in layers][:3] == FIRST[kind] and (layers[-1].name == "fc") is (target.classes is not None)
    waves = [tone(0.4), tone(3.0), tone(3.0, hz=900), tone(0.1)]
    features = target.features(waves)
    with Capture(target.hook_points(), target.pool) as capture:
        logits = capture.run(lambda: target.forward(features))
        together = dict(capture.outputs)
        assert {n: tuple(v.shape) for n, v in together.items()} == {x.name: (4, x.size) for x in layers}
        if target.classes is not None:
            assert logits.shape == (4, len(target.classes)) and torch.allclose(together["fc"], logits, atol=1e-6)
        for i in (0, 2):
            alone = target.features(waves[i : i + 1])
            capture.run(lambda: target.forward(alone))  # noqa: B023
            for name, value in capture.outputs.items():
                assert torch.allclose(value[0], together[name][i], atol=1e-5), (
                    f"{name}: a clip's activations depend on its neighbours"
                )
    assert not any(m._forward_hooks for m in target.all_modules().values()), "hooks were left behind"


FAMILIES = ("Wav2Vec2", "Hubert", "WavLM", "WhisperModel", "WhisperForAudioClassification", "Clap", "AST")
CLASSIFIERS = ("Wav2Vec2", "WavLM", "WhisperForAudioClassification", "AST", "Wav2Vec2BertForSequenceClassification")


@pytest.mark.parametrize("family", [*FAMILIES, *ENCODERS, *LANGUAGE_MODELS])
def test_every_family_of_transformers(family: str, tmp_path: Path) -> None:
    make = tiny_hub if family in FAMILIES else tiny_encoder if family in ENCODERS else tiny_language_model
    checkpoint = make(tmp_path / family, family)
    for pooling in ("mean", "max", "first"):
        target = TARGETS.create(PluginConfig(kind="transformers", checkpoint=checkpoint, pooling=pooling))
        target.load("cpu")
        layers = target.layers()
        rate = target.sample_rate
        waves = [tone(0.5, rate), tone(1.2, rate, hz=700)]
        with Capture(target.hook_points(), target.pool) as capture:
            capture.run(lambda: target.forward(target.features(waves)))  # noqa: B023
            together = dict(capture.outputs)
            capture.run(lambda: target.forward(target.features(waves[:1])))  # noqa: B023
        assert {n: tuple(v.shape) for n, v in together.items()} == {x.name: (2, x.size) for x in layers}
        assert all(torch.isfinite(v).all() for v in together.values())
        assert all(torch.allclose(v[0], together[n][0], atol=1e-5) for n, v in capture.outputs.items())
    assert all(weight.dtype == torch.float32 for weight in target.network.parameters())
    if family in CLASSIFIERS:
        assert layers[-1].name == "fc" and layers[-1].size == len(target.classes or [])
    else:
        assert target.classes is None and all(x.name != "fc" for x in layers)
    inner = [x.name for x in layers if x.block == 1]
    assert inner, "blocks are read off the names"
    few = TARGETS.create(PluginConfig(kind="transformers", checkpoint=checkpoint, layers=[inner[0]]))
    few.load("cpu")
    assert [x.name for x in few.layers()] == [inner[0]]
    saved = tmp_path / "saved"
    saved.mkdir()
    few.save(saved)
    again = TARGETS.create(PluginConfig(kind="transformers", checkpoint=str(saved), layers=[inner[0]]))
    again.load("cpu")
    outputs = []
    for network in (few, again):
        with Capture(network.hook_points(), network.pool) as capture:
            capture.run(lambda: network.forward(network.features(waves)))  # noqa: B023
        outputs.append(capture.outputs[inner[0]])
    assert torch.equal(*outputs), "what is written is loaded as the same network"


@pytest.mark.parametrize("kind", ["ast", "transformers"])
def test_a_checkpoint_says_that_a_clip_may_have_several_classes(kind: str, tmp_path: Path) -> None:
    folder = Path(tiny_ast(tmp_path / "net"))
    for problem, setting, several in (
        (None, None, False), ("multi_label_classification", None, True), ("multi_label_classification", False, False),
        ("single_label_classification", None, False), (None, True, True),
    ):  # fmt: skip
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "problem_type": problem}))
        own = {} if setting is None else {"multi_label": setting}
        target = TARGETS.create(PluginConfig(kind=kind, checkpoint=str(folder), pooling="mean", **own))
        target.load("cpu")
        assert target.multi_label is several, (problem, setting)


def test_a_network_of_ones_own_goes_through_the_whole_pipeline(tmp_path: Path) -> None:
    config = make_config(
        {
            "name": "own",
            "dataset": {"kind": "synthetic", "per_category": 6, "categories": CATEGORIES},
            "captions": {"kind": "corpus"},
            "encoder": {"kind": "minilm", "model": "bundled"},
            "k": 3,
            "target": {
                "kind": "module",
                "title": "mine",
                "classifier": "head",
                "token_axis": 0,
                "layers": ["conv", "inner", "fc"],
            },
        }
    )
    with pytest.raises(TargetError, match="needs a network from Python"):
        pipeline.run(config, root=tmp_path)
    target = TARGETS.create(config.target)
    torch.manual_seed(0)
    pipeline.run(config, root=tmp_path, target=target.bind(Recurrent(), torch.from_numpy, ["dog", "rain", "siren"]))  # type: ignore[attr-defined]
    from and_core import open_dissection

    d = open_dissection("own", root=tmp_path)
    assert [(x.name, x.size) for x in d.layers] == [("conv", 4), ("inner", 6), ("fc", 3)] and d.notes("last_layer")[
        "classes"
    ] == 3
    with pytest.raises(TargetError, match="'unused' matches no layer; there are: conv, inner, fc"):
        pipeline.run(config.model_copy(update={"name": "two"}), root=tmp_path, target=own_network(("unused", "fc")))
    bound = [own_network().fingerprint(), own_network().fingerprint(), own_network(names=("c", "b", "a")).fingerprint()]
    assert bound[0] == bound[1] != bound[2], "the order of the classes decides results as well"
    loud = TARGETS.create(config.target).bind(Recurrent(), lambda x: torch.from_numpy(2 * x))  # type: ignore[attr-defined]
    assert loud.fingerprint() != TARGETS.create(config.target).bind(Recurrent(), torch.from_numpy).fingerprint()  # type: ignore[attr-defined]
    with pytest.raises(TargetError, match="no linear layer of the network; there are: unused \\(3 units\\), head"):
        TARGETS.create(PluginConfig(kind="module", title="x", classifier="nowhere")).bind(Recurrent(), torch.from_numpy)  # type: ignore[attr-defined]
    with pytest.raises(TargetError, match="needs target.special_tokens"):
        own_network(pooling="cls")


def test_wrong_hub_checkpoints_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertModel

    def load(folder: Path | str) -> None:
        TARGETS.create(PluginConfig(kind="transformers", checkpoint=str(folder))).load("cpu")

    checkpoint = Path(tiny_hub(tmp_path / "net", "Wav2Vec2"))
    weights = load_file(checkpoint / "model.safetensors")
    gone = next(k for k in weights if "feature_projection.projection.weight" in k)
    save_file({k: v for k, v in weights.items() if k != gone}, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        TargetError, match=r"does not fit; missing or of another shape: .*feature_projection.projection.weight"
    ):
        load(checkpoint)
    with pytest.raises(TargetError, match="neither a folder nor a hub id"):
        load("nothing-of-this-name")
    BertModel(
        BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(TargetError, match="can't be loaded"):
        load(tmp_path / "bert")


def test_ast_poolings_and_layers(tmp_path: Path) -> None:
    checkpoint = tiny_ast(tmp_path / "net")
    outputs = {}
    for pooling in ("cls", "mean", "max", "first", "reference"):
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint, pooling=pooling, layers=["layer0_*"]))
        target.load("cpu")
        whole: list[torch.Tensor] = []
        handle = target.hook_points()["layer0_output"].module.register_forward_hook(lambda m, a, o: whole.append(o))  # noqa: B023
        with Capture(target.hook_points(), target.pool, "layer0_output") as capture:
            assert capture.run(lambda: target.forward(target.features([tone()]))) is None  # noqa: B023
        handle.remove()
        outputs[pooling] = capture.outputs["layer0_output"]
        expected = {
            "cls": whole[0][:, 0],
            "reference": whole[0][:, 0],
            "mean": whole[0][:, 2:].mean(1),
            "max": whole[0][:, 2:].amax(1),
            "first": whole[0][:, 2],
        }
        assert torch.allclose(outputs[pooling], expected[pooling], atol=1e-6)
        assert list(capture.outputs) == ["layer0_attention_output", "layer0_intermediate", "layer0_output"]
    with pytest.raises(TargetError, match="matches no layer; there are: layer0_attention_output"):
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint, layers=["block*"]))
        target.load("cpu")
        target.layers()


class OldBlock(torch.nn.Module):
    """A block as transformers 4 named its modules."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = Named(output=hold_dense(size, size))
        self.intermediate = hold_dense(size, 2 * size)
        self.output = hold_dense(2 * size, size)


class Named(torch.nn.Module):
    def __init__(self, **parts: torch.nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def hold_dense(into: int, out: int) -> Named:
    return Named(dense=torch.nn.Linear(into, out))


def test_ast_layers_have_one_name_in_both_layouts() -> None:
    old = Named(
        audio_spectrogram_transformer=Named(encoder=Named(layer=torch.nn.ModuleList([OldBlock(4), OldBlock(4)]))),
        classifier=hold_dense(4, 3),
    )
    target = TARGETS.create(PluginConfig(kind="ast"))
    target._model = old  # type: ignore[attr-defined]
    assert [(x.name, x.size) for x in target.layers()] == [
        (f"layer{i}_{kind}", size)
        for i in range(2)
        for kind, size in (("attention_output", 4), ("intermediate", 8), ("output", 4))
    ] + [("fc", 3)]


def test_wrong_checkpoints_are_named(tmp_path: Path) -> None:
    def load(checkpoint: str) -> None:
        TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint)).load("cpu")

    with pytest.raises(TargetError, match="neither a folder nor a hub id"):
        load("nowhere")
    folder = Path(tiny_ast(tmp_path / "net"))
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(TargetError, match="can't be loaded"):
        load(str(folder))
    weights.write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(TargetError, match=r"missing or of another shape: .*2"):
        load(str(folder))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(TargetError, match="holds a 'bert'"):
        load(str(folder))


def test_precision_is_chosen_by_trying(tmp_path: Path) -> None:
    target = TARGETS.create(PluginConfig(kind="ast", checkpoint=tiny_ast(tmp_path / "net")))
    target.load("cpu")
    features = target.features([tone(0.3), tone(0.5, hz=900)])
    assert choose_precision(target, features, "auto", "cpu") == "float32"
    assert choose_precision(target, features, "bfloat16", "cpu") == "bfloat16"
    assert 0.9 < agreement(target, features, "bfloat16", "cpu") <= 1
