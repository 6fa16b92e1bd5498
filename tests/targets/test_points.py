"""Units of every kind: what is read is what the network computes there, and ablation silences it and gives it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from and_core.config import PluginConfig
from and_core.errors import TargetError
from and_core.records import How
from and_core.targets.ablate import Ablation
from and_core.targets.base import TARGETS
from and_core.targets.company import check_company
from and_core.targets.hooks import Capture
from tests.tiny import tiny_ast, tiny_beats, tiny_hub

RATE = 2000


@dataclass
class Outputs:
    """What a network may give."""

    logits: torch.Tensor
    states: torch.Tensor


class TwoOutputs(nn.Module):
    """Gives a dict with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"states": x + self.inner(x), "more": (x, torch.tanh(x))}


class Zoo(nn.Module):
    """One of every kind of place that can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, 12, 20, stride=10), nn.BatchNorm1d(12), nn.ReLU())
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.late = nn.MultiheadAttention(12, 2, bias=False)
        self.encoder = nn.TransformerEncoderLayer(12, 4, 16, batch_first=True)
        self.both = TwoOutputs()
        self.shared = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)
        self.gru = nn.GRU(12, 5, bidirectional=True, batch_first=True, num_layers=2)
        self.lstm = nn.LSTM(10, 6, proj_size=4)
        self.rnn = nn.RNN(4, 3, batch_first=True)
        self.head = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x[:, None]).transpose(1, 2)
        x = x + self.attention(x, x, x)[0]
        t = x.transpose(0, 1)
        x = x + self.late(t, t, t, need_weights=False)[0].transpose(0, 1)
        x = self.encoder(x)
        out = self.both(x)
        x = out["states"] + out["more"][1]
        x = torch.relu(self.shared(torch.relu(self.shared(x))))
        x = self.gru(self.norm(x))[0]
        x = self.lstm(x.transpose(0, 1))[0].transpose(0, 1)
        _, last = self.rnn(x)
        return self.head(last[-1])


WEIGHTED = ["conv.0", "encoder.linear1", "encoder.linear2", "both.inner", "gru", "lstm", "rnn"]
FURTHER = [
    "conv", "conv.1", "conv.2", "attention:heads", "late:heads", "encoder.self_attn:heads", "encoder", "encoder.norm1",
    "both:states", "both:more:1", "shared#1", "shared#2", "norm", "gru:1",
]  # fmt: skip
OF_OTHERS = {
    "ast": ["*:heads", "audio_spectrogram_transformer.*layer*.1", "*layernorm_before"],
    "beats": ["*self_attn:heads", "beats.encoder.layers.1", "*final_layer_norm"],
    "transformers": [
        "*attention:heads",
        "*feature_extractor.conv_layers.1",
        "wav2vec2.encoder.layers.0",
        "*final_layer_norm",
    ],
}


def zoo(**settings: Any) -> Any:
    torch.manual_seed(3)
    net = Zoo()
    raw = {"kind": "module", "title": "zoo", "rate": RATE, "classifier": "head", **settings}
    target: Any = TARGETS.create(PluginConfig(**raw))
    target.bind(net, lambda waves: torch.from_numpy(waves), ["a", "b", "c", "d"])
    target.load("cpu")
    return target


def sounds(rate: int = RATE) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal(rate).astype(np.float32) for _ in range(3)]


def outputs(target: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    with Capture(target.hook_points(), target.pool) as capture:
        logits = capture.run(lambda: target.forward(target.features(sounds(target.sample_rate))))
        return logits, dict(capture.outputs)


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_layers_stand_in_the_order_in_which_they_run() -> None:
    names = [layer.name for layer in zoo(hook_points=FURTHER).layers()]
    assert names[-1] == "fc" and sorted(names) == sorted([*WEIGHTED, *FURTHER, "fc"])
    order = ["conv.0", "conv.1", "conv.2", "conv", "attention:heads", "late:heads", "encoder.self_attn:heads"]
    assert names[:7] == order and names.index("shared#1") < names.index("shared#2") < names.index("norm")
    sizes = {layer.name: layer.size for layer in zoo(hook_points=FURTHER).layers()}
    assert [sizes[x] for x in ("late:heads", "encoder.self_attn:heads", "gru", "lstm", "rnn", "both:more:1")] == [
        2, 4, 10, 4, 3, 12
    ]  # fmt: skip


def test_what_is_read_is_what_the_network_computes() -> None:
    target = zoo(hook_points=FURTHER, pooling={"conv*": "max", "gru": "top25"})
    net = target.network
    logits, read = outputs(target)
    with torch.no_grad():
        maps = net.conv(torch.from_numpy(np.stack(sounds()))[:, None])
        assert torch.equal(read["conv"], maps.amax(2)), "channels first, largest over time"
        x = maps.transpose(1, 2)
        heads = by_hand(net.attention, x).norm(dim=-1).mean(1)
        assert torch.allclose(read["attention:heads"], heads, atol=1e-5)
        x = x + net.attention(x, x, x)[0]
        assert torch.allclose(read["late:heads"], by_hand(net.late, x).norm(dim=-1).mean(1), atol=1e-5)
        t = x.transpose(0, 1)
        x = net.encoder(x + net.late(t, t, t)[0].transpose(0, 1))
        assert torch.allclose(read["encoder"], x.mean(1), atol=1e-5)
        x = net.both(x)["states"] + torch.tanh(x)
        one = net.shared(x)
        two = net.shared(torch.relu(one))
        assert torch.allclose(read["shared#1"], one.mean(1), atol=1e-5)
        assert torch.allclose(read["shared#2"], two.mean(1), atol=1e-5)
        states, last = net.gru(net.norm(torch.relu(two)))
        highest = states.topk(-(-states.shape[1] // 4), dim=1).values.mean(1)
        assert torch.allclose(read["gru"], highest, atol=1e-5), "the mean over the highest quarter"
        assert torch.allclose(read["gru:1"], last.transpose(0, 1).mean(1), atol=1e-5)
        assert torch.allclose(read["fc"], logits, atol=1e-6)


def by_hand(module: nn.MultiheadAttention, x: torch.Tensor) -> torch.Tensor:
    """Return the heads' vectors (B, T, heads, width) from the weights."""
    q, k, v = (
        part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        for part in nn.functional.linear(x, module.in_proj_weight, module.in_proj_bias).chunk(3, -1)
    )
    scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    return (scores.softmax(-1) @ v).transpose(1, 2)


@pytest.mark.parametrize("how", ["weights", "zero", "mean"])
@pytest.mark.parametrize("kind", ["zoo", "ast", "beats", "transformers"])
def test_every_kind_of_unit_is_silent_inside_and_the_same_after(kind: str, how: How, tmp_path: Any) -> None:
    if kind == "zoo":
        target = zoo(hook_points=FURTHER)
    else:
        make = {"ast": tiny_ast, "beats": tiny_beats}.get(kind, lambda p: tiny_hub(p, "Wav2Vec2"))
        made = PluginConfig(kind=kind, checkpoint=make(tmp_path / "net"), pooling="mean", hook_points=OF_OTHERS[kind])
        target = TARGETS.create(made)
        target.load("cpu")
    points = target.hook_points()
    before, whole = outputs(target)
    weights = {name: value.clone() for name, value in target.network.state_dict().items()}
    hooked = hooks(target.network)  # transformers has some of its own
    rng = np.random.default_rng(0)
    further = [name for name in points if name not in target.all_modules()]
    assert len(further) >= len(FURTHER if kind == "zoo" else OF_OTHERS[kind]), further
    changed = 0
    for name, point in points.items():
        mask = rng.permutation(point.size) < max(1, point.size // 2)
        tensors: list[torch.Tensor] = []
        with point.attach(lambda tensor: tensors.append(tensor.clone())):  # noqa: B023
            outputs(target)
        width = tensors[0].shape[-1]
        means = {name: rng.standard_normal(width).astype(np.float32)}
        with Ablation(points, {name: mask}, how, means):
            inside, read = outputs(target)
        wanted = np.zeros(int(mask.sum()))
        if how == "mean":
            each = means[name].reshape(point.size, -1)[mask]
            wanted = np.linalg.norm(each, axis=1) if point.heads else each[:, 0]
        assert np.allclose(read[name][:, mask].numpy(), wanted, atol=1e-5), name
        if not point.holds_weights or how != "weights":
            assert torch.allclose(read[name][:, ~mask], whole[name][:, ~mask], atol=1e-5), f"{name}: others as before"
        changed += not torch.allclose(inside, before, atol=1e-6)
        after, again = outputs(target)
        assert torch.equal(after, before) and all(torch.equal(again[n], whole[n]) for n in whole), name
    assert changed >= 0.7 * len(points), "ablation reaches what comes after"
    assert all(torch.equal(weights[n], value) for n, value in target.network.state_dict().items())
    assert hooks(target.network) == hooked, "hooks were left behind"


def test_one_ablation_inside_another_and_a_fault_leave_attention_whole() -> None:
    target = zoo(hook_points=["attention:heads", "attention:0"])
    points = target.hook_points()
    before, _ = outputs(target)
    masks = [{"attention:heads": np.arange(3) == i} for i in range(2)]
    with Ablation(points, masks[0]), Ablation(points, masks[1]):
        _, read = outputs(target)
    assert (read["attention:heads"][:, :2] == 0).all() and (read["attention:heads"][:, 2] != 0).all()

    def fail(tensor: torch.Tensor) -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError), points["attention:heads"].attach(fail):
        outputs(target)
    assert torch.equal(outputs(target)[0], before)


def test_the_last_state_agrees_with_a_silenced_recurrent_layer() -> None:
    target = zoo()
    with Ablation(target.hook_points(), {"rnn": np.ones(3, bool)}, "zero"):
        inside, _ = outputs(target)
    assert torch.allclose(inside, target.network.head.bias.expand(3, -1), atol=1e-6), "the head reads the last state"


class Packed(nn.Module):
    """Packs clips of different lengths, reads states and last states, and gives a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(20, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> Outputs:
        lengths = torch.tensor([x.shape[1] - 3 * (len(x) > 1 and i == 0) for i in range(len(x))])
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
        return Outputs(self.head(torch.cat([last[-2], last[-1]], 1)), states)


@pytest.mark.parametrize("how", ["weights", "zero"])
def test_packed_sequences_and_dataclasses(how: How) -> None:
    torch.manual_seed(2)
    net = Packed()
    raw = {"kind": "module", "title": "packed", "rate": RATE, "classifier": "head", "output": "logits"}
    target: Any = TARGETS.create(PluginConfig(**raw, hook_points=["network:states"]))
    target.bind(net, lambda waves: torch.from_numpy(waves).reshape(len(waves), -1, 20), ["a", "b", "c"])
    target.load("cpu")
    assert [layer.name for layer in target.layers()] == ["lstm", "network:states", "fc"]
    before, whole = outputs(target)
    points = target.hook_points()
    with Ablation(points, {"lstm": np.zeros(10, bool)}, "zero"):
        assert torch.equal(outputs(target)[0], before)
    half = np.arange(10) == 2
    with Ablation(points, {"lstm": half}, "zero"):
        patched, read = outputs(target)
    assert (read["lstm"][:, 2] == 0).all() and torch.allclose(read["lstm"][:, 3:], whole["lstm"][:, 3:], atol=1e-6)
    with torch.no_grad():
        features = target.features(sounds())[0]
        last = net.lstm(nn.utils.rnn.pack_padded_sequence(
            features, torch.tensor([97, 100, 100]), batch_first=True, enforce_sorted=False
        ))[1][0]  # fmt: skip
        last[0, :, 2] = 0
        assert torch.allclose(patched, net.head(torch.cat([last[0], last[1]], 1)), atol=1e-5), "at each clip's own end"
    with Ablation(points, {"lstm": np.ones(10, bool)}, how):
        silent, _ = outputs(target)
    assert torch.allclose(silent, net.head.bias.expand(3, -1), atol=1e-6)
    assert torch.equal(outputs(target)[0], before)


def test_names_that_match_nothing_are_answered_with_the_nearest() -> None:
    for settings, message in (
        ({"hook_points": ["encoder.nrm1"]}, "hook_points='encoder.nrm1' matches nothing that runs.*encoder.norm1"),
        ({"heads": {"nowhere": 2}, "hook_points": ["*:heads"]}, "heads='nowhere' matches no linear layer"),
        ({"heads": {"shared": 5}, "hook_points": ["*:heads"]}, "takes 12 values, no multiple of 5 heads"),
        ({"unit_axes": {"conv": 7}, "hook_points": ["conv"]}, "conv has 3 axes; 7 is none of them"),
        ({"layers": []}, "target.layers chooses no layer"),
        ({"pooling": {"conv*": "median"}}, "pooling.'conv.'.='median'; allowed: cls, mean, max"),
        ({"pooling": "top0"}, "pooling='top0'; allowed"),
    ):
        with pytest.raises(TargetError, match=message):
            zoo(**settings).hook_points()


@pytest.mark.parametrize("kind", ["ast", "beats", "transformers"])
def test_everything_that_runs_can_be_a_layer(kind: str, tmp_path: Any) -> None:
    """Positions and weights that are made anew are none: they are the same for every sound."""
    make = {"ast": tiny_ast, "beats": tiny_beats}.get(kind, lambda p: tiny_hub(p, "Wav2Vec2"))
    made = PluginConfig(kind=kind, checkpoint=make(tmp_path / "net"), pooling="mean", hook_points=["*"])
    target = TARGETS.create(made)
    target.load("cpu")
    assert len(target.hook_points()) > 35
    check_company(target, 1.0)
    _, read = outputs(target)
    assert all(values.shape == (3, target.hook_points()[name].size) for name, values in read.items())


def test_two_layers_of_one_name_are_refused() -> None:
    class Net(nn.Sequential):
        pass

    net = Net(nn.Linear(RATE, 6))
    net.add_module("fc", nn.Sequential(nn.ReLU(), nn.Linear(6, 5)))
    net.add_module("head", nn.Linear(5, 2))
    raw = {"kind": "module", "title": "two", "rate": RATE, "classifier": "head", "hook_points": ["fc"]}
    target: Any = TARGETS.create(PluginConfig(**raw))
    target.bind(net, lambda waves: torch.from_numpy(waves), ["a", "b"])
    target.load("cpu")
    with pytest.raises(TargetError, match="two layers are called 'fc'"):
        target.layers()


def test_heads_and_axes_can_be_told() -> None:
    target = zoo(hook_points=["shared:heads", "conv.2"], heads={"both.inner": 4}, unit_axes={"conv.2": 2})
    with pytest.raises(TargetError, match="matches nothing"):
        target.hook_points()
    target = zoo(hook_points=["both.inner:heads", "conv.2"], heads={"both.inner": 4}, unit_axes={"conv.2": 2})
    sizes = {name: point.size for name, point in target.hook_points().items()}
    assert sizes["both.inner:heads"] == 4 and sizes["conv.2"] > 12, "time as units, if somebody wants it"
