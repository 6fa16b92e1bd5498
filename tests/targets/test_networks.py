"""Networks that others made: what they change in place, where their tokens and windows stand, what their layers are
called, what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from and_core import open_dissection, pipeline
from and_core.audio.media import read_flac
from and_core.config import PluginConfig, make_config
from and_core.encoders.base import ENCODERS
from and_core.errors import ANDError, DataError, TargetError
from and_core.records import NeuronId
from and_core.targets.base import TARGETS
from and_core.targets.company import check_company
from and_core.targets.hooks import Capture
from tests.conftest import tone
from tests.tiny import tiny_ast, tiny_beats, tiny_hub

SECONDS = 1.0
RATE = 16_000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for i in range(6):
        rng, time = np.random.default_rng(i), np.arange(int(SECONDS * RATE)) / RATE
        place = folder / ("dog", "rain")[i % 2]
        place.mkdir(exist_ok=True)
        sf.write(
            place / f"{i}.wav",
            0.3 * np.sin(2 * np.pi * (200 + 150 * i) * time) + 0.05 * rng.standard_normal(len(time)),
            RATE,
        )
    return folder


def windows(waves: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(waves).reshape(len(waves), 20, 800)


def bound(
    network: nn.Module,
    prepare: Callable[[np.ndarray], torch.Tensor] = windows,
    classes: Any = ("dog", "rain"),
    **settings: Any,
) -> Any:
    section = PluginConfig(kind="module", title="mine", **settings)
    return TARGETS.create(section).bind(network, prepare, list(classes) if classes else None)  # type: ignore[attr-defined]


def dissect(target: Any, sounds: Path, root: Path, name: str = "mine") -> Any:
    section = {"kind": "module", **target.settings.model_dump()}
    config = make_config(
        {
            "name": name,
            "dataset": {"kind": "folder", "path": str(sounds)},
            "target": section,
            "k": 2,
            "activations": {"batch": 3},
        }
    )
    pipeline.run(config, root=root, target=target, only=["clips", "activations"])
    return open_dissection(name, root=root)


class InPlace(nn.Module):
    """Whatever is computed is changed afterwards: by activation functions, by a residual, and the input as well."""

    def __init__(self) -> None:
        super().__init__()
        self.proj, self.wide, self.head = nn.Linear(800, 12), nn.Linear(12, 12), nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= x.mean((1, 2), keepdim=True)
        h = torch.relu_(self.proj(x))
        y = self.wide(h)
        y += h
        return self.head(y.mul_(2).mean(1))


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "cls"])
def test_a_capture_owns_its_values(sounds: Path, tmp_path: Path, pooling: str) -> None:
    torch.manual_seed(0)
    net = InPlace()
    d = dissect(bound(net, classifier="head", pooling=pooling, special_tokens=int(pooling == "cls")), sounds, tmp_path)
    kept: dict[str, torch.Tensor] = {}
    for name in ("proj", "wide", "head"):
        getattr(net, name).register_forward_hook(lambda m, a, o, name=name: kept.__setitem__(name, o.clone()))
    with torch.no_grad():
        for clip in range(len(d.clips)):
            net(windows(read_flac(d.audio(clip))[0][None]))
            for name, layer in (("proj", "proj"), ("wide", "wide"), ("head", "fc")):
                tokens = kept[name] if kept[name].ndim == 3 else kept[name][:, None]
                own = tokens.mean(1) if pooling == "mean" else tokens.amax(1) if pooling == "max" else tokens[:, 0]
                assert np.allclose(np.asarray(d.layer_activations(layer))[clip], own[0].numpy(), atol=1e-5), (
                    name,
                    pooling,
                )


def test_only_pooled_values_stay_in_memory() -> None:
    net = nn.Linear(64, 512)
    for pool in (
        lambda o, n: o[:, 0],
        lambda o, n: o[:, -1],
        lambda o, n: o.mean(1),
        lambda o, n: o.transpose(1, 2)[:, :, 3],
    ):
        with Capture({"a": net}, pool) as capture:
            capture.run(lambda: net(torch.zeros(4, 300, 64)))
        assert capture.outputs["a"].untyped_storage().nbytes() == 4 * capture.outputs["a"].numel()


class TokensFirst(nn.Module):
    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens, self.inp = tokens, nn.Linear(RATE // tokens, 16)
        self.enc = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0), 1, enable_nested_tensor=False
        )
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.enc(self.inp(x).transpose(0, 1)).mean(0))


@pytest.mark.parametrize("tokens", [8, 10, 16, 25, 32])
def test_clips_that_are_mixed_are_found_before_anything_is_stored(sounds: Path, tmp_path: Path, tokens: int) -> None:
    torch.manual_seed(0)
    net = TokensFirst(tokens)
    cut = lambda w: torch.from_numpy(w).reshape(len(w), tokens, -1)  # noqa: E731
    with pytest.raises(TargetError, match=r"target\.token_axis"):
        dissect(bound(net, cut, classifier="head"), sounds, tmp_path)
    assert "activations" not in open_dissection("mine", root=tmp_path).manifest.stages
    only = bound(net, cut, classifier="head", token_axis=0, layers=["enc.*", "fc"])
    d = dissect(only, sounds, tmp_path)
    x = cut(np.stack([read_flac(d.audio(i))[0] for i in range(len(d.clips))]))
    kept: dict[str, torch.Tensor] = {}
    net.enc.layers[0].linear1.register_forward_hook(lambda m, a, o: kept.__setitem__("x", o.clone()))
    with torch.no_grad():
        net(x)
    assert np.allclose(np.asarray(d.layer_activations("enc.layers.0.linear1")), kept["x"].mean(0).numpy(), atol=1e-5)


class Centred(nn.Module):
    """Subtracts the mean of the batch: a clip's activations depend on its neighbours, whatever the axis."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(800, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.first(x - x.mean(0, keepdim=True)).mean(1))


def test_a_network_that_looks_at_the_neighbours_is_refused(tmp_path: Path) -> None:
    target = bound(Centred(), classifier="head")
    target.load("cpu")
    with pytest.raises(TargetError, match="clips are mixed with one another"):
        check_company(target, SECONDS)
    for name, section in (
        ("ast", {"checkpoint": tiny_ast(tmp_path / "ast")}),
        ("beats", {"checkpoint": tiny_beats(tmp_path / "beats.pt")}),
    ):
        own = TARGETS.create(PluginConfig(kind=name, **section))
        own.load("cpu")
        check_company(own, SECONDS)


class Folded(nn.Module):
    """Windows folded into the batch, as VGGish-like networks have them; averaged at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.emb, self.head = nn.Conv1d(1, 4, 9, stride=4), nn.Linear(4 * 198, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        return self.head(
            torch.relu(self.emb(torch.relu(self.conv(x.reshape(b * t, 1, 800))).flatten(1))).reshape(b, t, 8).mean(1)
        )


def test_folded_windows_are_pooled_like_all_others(sounds: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Folded()
    d = dissect(bound(net, classifier="head"), sounds, tmp_path)
    assert [(layer.name, layer.size) for layer in d.layers] == [("conv", 4), ("emb", 8), ("fc", 2)]
    kept: dict[str, torch.Tensor] = {}
    net.emb.register_forward_hook(lambda m, a, o: kept.__setitem__("x", o.clone()))
    with torch.no_grad():
        net(windows(np.stack([read_flac(d.audio(i))[0] for i in range(len(d.clips))])))
    assert np.allclose(
        np.asarray(d.layer_activations("emb")), kept["x"].reshape(len(d.clips), 20, 8).mean(1).numpy(), atol=1e-5
    )


class Named(nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for name in names:
            self.parts[name] = nn.Linear(800, 5)
        self.fc, self.layers, self.classes, self.head = (
            nn.Linear(800, 12),
            nn.Linear(12, 12),
            nn.Linear(12, 12),
            nn.Linear(12, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts.values():
            part(x)
        return self.head(self.classes(self.layers(torch.tanh(self.fc(x)))).mean(1))


NAMES = ("stage 2", "a/b", "a-b", "a_b", "zarr", "Conv", "conv", "..", "C:\\x", "ünïcode", "x" * 180)


def test_layers_of_any_name_are_stored_and_told_apart(sounds: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    names = [name for name in NAMES if "." not in name]  # PyTorch allows no dot
    d = dissect(bound(Named(*names), classifier="head"), sounds, tmp_path)
    kinds = {layer.name: layer.kind for layer in d.layers}
    assert kinds["fc"] == "fc" and kinds["fc_hidden"] == "other" and list(kinds.values()).count("fc") == 1
    assert {"layers", "classes", *(f"parts.{name}" for name in names)} <= set(kinds) and d.document(
        "activations/classes"
    ) == ["dog", "rain"]
    seen = set()
    for layer in d.layers:
        neuron = NeuronId.parse(f"{layer.name}/1")
        assert neuron == NeuronId(layer.name, 1)
        seen.add(np.asarray(d.activations(neuron)).tobytes())
    assert len(seen) == len(d.layers) and list(d.validate()) == []
    d = dissect(bound(Named(), classes=None), sounds, tmp_path, "without")
    assert "fc" not in {layer.kind for layer in d.layers} and sum(layer.size for layer in d.layers) == 38


@pytest.mark.parametrize("name", ["x" * 300, "line\nend", "bell\a", "\ud800"])
def test_what_cant_be_stored_is_said_before_the_pass(sounds: Path, tmp_path: Path, name: str) -> None:
    passes = []
    net = Named(name)
    net.head.register_forward_hook(lambda m, a, o: passes.append(len(o)))
    with pytest.raises(TargetError, match="can't be stored"):
        dissect(bound(net, classifier="head"), sounds, tmp_path)
    assert sum(passes) <= 1, "the second of noise that loading tries, and no clip"


def test_a_classifier_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(
        TargetError, match=r"no linear layer of the network; there are: fc \(12 units\).*head \(2 units\)"
    ):
        bound(Named(), classifier="haed")


def edited(folder: Path, file: str, **changes: Any) -> None:
    about = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**about, **changes}))


def test_checkpoints_that_do_not_fit_say_which_sizes_and_names(tmp_path: Path) -> None:
    def refusal(kind: str, place: Path | str) -> str:
        with pytest.raises(TargetError) as caught:
            TARGETS.create(PluginConfig(kind=kind, checkpoint=str(place))).load("cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for changes, reason in (
        ({"max_length": 77}, "makes 77 frames of"),
        ({"num_mel_bins": 20}, "of 20 bins, the network takes"),
    ):
        place = Path(tiny_ast(tmp_path / f"frames{len(changes)}{reason[6:8]}"))
        edited(place, "preprocessor_config.json", **changes)
        assert reason in refusal("ast", place)
    count = len(json.loads((Path(tiny_ast(tmp_path / "n")) / "config.json").read_text())["id2label"])
    gap = Path(tiny_ast(tmp_path / "gap"))
    edited(gap, "config.json", id2label={str(i if i != 1 else 99): f"c{i}" for i in range(count)})
    assert "id2label has no name for unit 1" in refusal("ast", gap)
    more = Path(tiny_ast(tmp_path / "more"))
    edited(more, "config.json", id2label={str(i): f"c{i}" for i in range(count + 2)})
    assert f"classifier has {count} units, id2label {count + 2} names" in refusal("ast", more)
    assert f"classifier has {count} units, id2label {count + 2} names" in refusal("transformers", more)
    raw = torch.load(tiny_beats(tmp_path / "beats.pt"), weights_only=True)
    for name, labels, fault in (
        ("text", {"0": "dog", "1": "rain"}, None),
        ("gap", {0: "dog", 2: "rain"}, "no name for unit 1"),
        ("word", {"a": "x"}, "no numbers"),
    ):
        torch.save({**raw, "label_dict": labels}, tmp_path / f"{name}.pt")
        if fault:
            assert fault in refusal("beats", tmp_path / f"{name}.pt")


def test_whisper_hears_no_padding(tmp_path: Path) -> None:
    checkpoint = tiny_hub(tmp_path / "w", "WhisperModel")
    target = TARGETS.create(PluginConfig(kind="transformers", checkpoint=checkpoint, layers=["layers.1.fc2"]))
    target.load("cpu")
    seen: list[torch.Tensor] = []
    target.all_modules()["layers.1.fc2"].register_forward_hook(lambda m, a, o: seen.append(o))
    with Capture(target.hook_points(), target.pool) as capture:
        capture.run(lambda: target.forward(target.features([tone(1.0)])))
    tokens = seen[0][0]
    assert len(tokens) == 200 and torch.allclose(capture.outputs["layers.1.fc2"][0], tokens[:50].mean(0), atol=1e-6), (
        "1 of 4 seconds is sound"
    )


LFS = (
    b"version https://git-lfs.github.com/spec/v1\noid "
    b"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
WRONG = {"Git LFS pointer": LFS, "web page": b"<!doctype html><html><body>Sign in</body></html>", "is empty": b""}


@pytest.mark.parametrize("reason", [*WRONG, "pickle", "cut short"])
def test_files_in_place_of_weights_are_named(tmp_path: Path, reason: str) -> None:
    for kind, place in (("ast", tmp_path / "a"), ("transformers", tmp_path / "t")):
        weights = Path(tiny_ast(place)) / "model.safetensors"
        if reason == "pickle":
            tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
            weights.unlink()
            torch.save(tensors, weights)
        else:
            weights.write_bytes(WRONG.get(reason, weights.read_bytes()[:40]))
        with pytest.raises(TargetError, match=reason):
            TARGETS.create(PluginConfig(kind=kind, checkpoint=str(place))).load("cpu")
    for kind in ("clap", "clip", "sentence_transformer"):
        with pytest.raises((DataError, ANDError), match=reason):
            ENCODERS.create(PluginConfig(kind=kind, model=str(tmp_path / "a"))).encode(["a dog"])


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=8, max_size=8).map(lambda b: int.from_bytes(b[:2], "little") + 2))
def test_a_whole_safetensors_file_is_never_refused(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    from and_core.store.files import weights_fault

    path = tmp_path_factory.mktemp("w") / "model.safetensors"
    save_file({"x" * (size % 700 + 1): torch.zeros(size % 13)}, path)
    assert weights_fault(path) is None
