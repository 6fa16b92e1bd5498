"""Ablation: exact, reversible, and the same by weights and by patching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.config import PluginConfig
from and_core.errors import TargetError
from and_core.targets.ablate import Ablation
from and_core.targets.base import TARGETS, Target
from and_core.targets.hooks import Capture
from tests.conftest import tone
from tests.tiny import tiny_ast, tiny_beats, tiny_hub


@pytest.fixture(scope="module", params=["ast", "beats", "transformers"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder: Path = tmp_path_factory.mktemp("net") / "net"
    checkpoint = {"ast": tiny_ast, "beats": tiny_beats}.get(request.param, lambda p: tiny_hub(p, "Wav2Vec2"))(folder)
    made = TARGETS.create(PluginConfig(kind=request.param, checkpoint=checkpoint, pooling="mean"))
    made.load("cpu")
    return made


def logits(target: Target) -> torch.Tensor:
    with torch.inference_mode():
        return target.forward(target.features([tone(1.0), tone(1.0, hz=900)]))


@given(seed=st.integers(0, 1000), share=st.floats(0, 1), how=st.sampled_from(["weights", "zero", "mean"]))
@settings(max_examples=12, deadline=None)
def test_what_is_ablated_is_silent_and_comes_back_bit_for_bit(
    target: Target, seed: int, share: float, how: str
) -> None:
    rng = np.random.default_rng(seed)
    points = target.hook_points()
    masks = {x.name: rng.random(x.size) < share for x in target.layers()}
    means = {x.name: rng.standard_normal(x.size).astype(np.float32) for x in target.layers()}
    before = logits(target)
    ablation = Ablation(points, masks, how, means)
    assert ablation.count == sum(int(m.sum()) for m in masks.values())
    with ablation:
        with Capture(points, target.pool) as capture:
            capture.run(lambda: target.forward(target.features([tone(1.0)])))
        for name, mask in masks.items():
            wanted = means[name][mask] if how == "mean" else np.zeros(int(mask.sum()))
            assert np.allclose(capture.outputs[name][0].numpy()[mask], wanted, atol=1e-5), name
    assert torch.equal(logits(target), before) and not any(p.module._forward_hooks for p in points.values())


def test_weights_and_patching_to_zero_are_the_same(target: Target) -> None:
    rng = np.random.default_rng(0)
    masks = {x.name: rng.random(x.size) < 0.3 for x in target.layers() if x.kind != "fc"}
    found = []
    for how in ("weights", "zero"):
        with Ablation(target.hook_points(), masks, how):
            found.append(logits(target))
    assert torch.allclose(found[0], found[1], atol=1e-6) and not torch.allclose(found[0], logits(target), atol=1e-3)


def test_an_error_inside_leaves_the_network_whole(target: Target) -> None:
    before = logits(target)
    masks = {x.name: np.ones(x.size, bool) for x in target.layers()}
    with pytest.raises(KeyError), Ablation(target.hook_points(), masks):
        assert not torch.equal(logits(target), before)
        raise KeyError
    assert torch.equal(logits(target), before)
    outer, inner = (
        Ablation(target.hook_points(), {target.layers()[0].name: np.arange(target.layers()[0].size) % 2 == i})
        for i in (0, 1)
    )
    with outer, inner:
        pass
    assert torch.equal(logits(target), before), "one inside the other"
    with outer, pytest.raises(TargetError, match="already in force"):
        outer.__enter__()
    assert torch.equal(logits(target), before)


def test_masks_that_do_not_fit_are_named(target: Target) -> None:
    first = target.layers()[0]
    for masks, how, message in (
        ({"nowhere": np.ones(3, bool)}, "weights", "there is no layer 'nowhere'"),
        ({first.name: np.ones(first.size + 1, bool)}, "weights", f"{first.size} neurons need bool"),
        ({first.name: np.ones(first.size)}, "weights", "float64"),
        ({first.name: np.ones(first.size, bool)}, "mean", "needs the mean activation"),
        ({}, "half", "how='half' is not known"),
    ):
        with pytest.raises(TargetError, match=message):
            Ablation(target.hook_points(), masks, how)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "parametrized"])
def test_weights_made_anew_in_each_pass_are_patched(norm: str) -> None:
    linear = torch.nn.Linear(4, 3).eval()
    if norm == "parametrized":
        module = torch.nn.utils.parametrizations.weight_norm(linear)
    else:
        module = getattr(torch.nn.utils, norm)(linear)
    module.eval()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    before = module(x).detach()
    with Ablation({"x": module}, {"x": np.array([True, False, False])}):
        inside = module(x).detach()
    assert (
        (inside[:, 0] == 0).all()
        and torch.equal(inside[:, 1:], before[:, 1:])
        and torch.equal(module(x).detach(), before)
    )
