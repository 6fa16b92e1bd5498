"""Steering: dials on a made network whose every push is known, gradients beside dials, drivers, agreement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from and_core.errors import ConfigError, TargetError
from and_core.steer.agreement import agreement
from and_core.steer.dials import neuron_push, random_pushes, steered_logits
from and_core.steer.pushes import chance, gradients, pushes, steerable
from and_core.steer.upstream import attributions, drivers
from and_core.targets.base import Target, TargetSettings
from and_core.targets.points import HookPoint, as_points
from and_core.targets.steer import Dial, Steering

CLASSES, UNITS, TOKENS, WIDTH = 5, 12, 6, 8


class Wired(Target[TargetSettings]):
    """Tokens -> 12 units -> mean over tokens -> 5 classes; unit i feeds class i alone, those from 5 on feed none."""

    kind = "wired"

    def __init__(self) -> None:
        super().__init__(TargetSettings(pooling="mean"))
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(WIDTH, UNITS), nn.Linear(UNITS, UNITS, bias=False)
        self.classifier = nn.Linear(UNITS, CLASSES)
        with torch.no_grad():
            self.second.weight.copy_(torch.eye(UNITS).roll(1, 0) * 2)  # unit i hears unit i - 1
            self.classifier.weight.zero_()
            self.classifier.weight[torch.arange(CLASSES), torch.arange(CLASSES)] = 3.0

    def all_modules(self) -> dict[str, nn.Module]:
        return {"first": self.first, "second": self.second, "fc": self.classifier}

    def describe(self) -> str:
        return "a wired network"

    def features(self, waves: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(waves)).view(len(waves), TOKENS, WIDTH)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.second(self.first(features)).mean(1))


@pytest.fixture(scope="module")
def wired() -> tuple[Wired, torch.Tensor, dict[str, HookPoint]]:
    target = Wired()
    rng = np.random.default_rng(0)
    waves = [rng.standard_normal(TOKENS * WIDTH).astype(np.float32) for _ in range(9)]
    return target, target.features(waves), as_points(target.all_modules())


def test_planted_units_push_the_class_that_they_are_wired_to(wired) -> None:
    target, features, points = wired
    made, count = gradients(target, [features[:4], features[4:]], points)
    assert count == 9
    up = pushes(made["second"], np.ones(UNITS), multi_label=False).argmax(1)
    assert up[:CLASSES].tolist() == list(range(CLASSES))
    assert np.allclose(made["second"][:CLASSES], 3 * np.eye(CLASSES), atol=1e-5)
    assert np.allclose(made["second"][CLASSES:], 0) and np.allclose(made["fc"], np.eye(CLASSES), atol=1e-6)
    assert np.allclose(made["first"][:4, 1:], 6 * np.eye(4), atol=1e-5), "unit i of the layer before feeds class i + 1"


def test_gradients_say_what_dials_do(wired) -> None:
    target, features, points = wired
    made, _ = gradients(target, [features], points)
    edits = [[], *([Dial("first", neuron_push(UNITS, unit, 0.7))] for unit in range(UNITS))]
    logits = steered_logits(target, [features[:5], features[5:]], edits, points)
    assert np.allclose((logits[1:] - logits[0]).mean(1), 0.7 * made["first"], atol=1e-4), "the network is linear"
    assert logits.shape == (UNITS + 1, 9, CLASSES)
    with pytest.raises(ConfigError, match="edits is empty"):
        steered_logits(target, [features], [], points)


def test_what_is_the_same_for_all_classes_is_taken_out() -> None:
    gradient = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    assert np.allclose(pushes(gradient, np.array([2.0, 3.0]), False), [[0, 0, 0], [2, -1, -1]])
    assert np.allclose(pushes(gradient, np.array([2.0, 3.0]), True), [[2, 2, 2], [3, 0, 0]])
    drawn = chance(gradient, True, 50, 0)
    assert drawn.shape == (50,) and drawn.max() <= np.linalg.norm(gradient, 2) + 1e-9
    assert np.array_equal(drawn, chance(gradient, True, 50, 0))


@given(
    st.sampled_from(["add", "clamp"]),
    st.integers(0, UNITS - 1),
    st.floats(-3, 3),
    st.sampled_from([None, (0,), (1, 4)]),
)
@settings(max_examples=30, deadline=None)
def test_an_edit_changes_what_it_names_and_nothing_after_it(mode, unit, value, tokens) -> None:
    target = Wired()
    x = torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    points = as_points(target.all_modules())
    units = np.arange(UNITS) == unit
    before = target.first(x).detach()
    edit = Dial("first", neuron_push(UNITS, unit, value), mode, units, tokens)
    with Steering(points, [edit]), torch.no_grad():
        changed = target.first(x)
    expected = before.clone()
    chosen = list(range(TOKENS)) if tokens is None else list(tokens)
    expected[:, chosen, unit] = value if mode == "clamp" else expected[:, chosen, unit] + value
    assert torch.allclose(changed, expected, atol=1e-6)
    assert torch.equal(target.first(x).detach(), before), "whole again"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Dial("nowhere", np.zeros(UNITS)), "no layer 'nowhere' to steer; there are: first, second, fc"),
        (Dial("first", np.zeros(3)), "values of first must be 12 finite numbers"),
        (Dial("first", np.full(UNITS, np.nan)), "finite"),
        (Dial("first", np.zeros(UNITS), "push"), "mode='push' is not known; allowed: add, clamp"),
        (Dial("first", np.zeros(UNITS), "clamp"), "needs units"),
        (Dial("first", np.zeros(UNITS), "add", np.zeros(UNITS)), "units of first must be bool"),
    ],
)
def test_bad_edits_are_refused(wired, edit: Dial, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Steering(wired[2], [edit])


def test_tokens_that_are_not_there_are_refused_and_the_network_is_whole(wired) -> None:
    target, features, points = wired
    before = target.forward(features)
    for layer, tokens in (("first", (TOKENS,)), ("fc", (0,))):
        size = points[layer].size
        with pytest.raises(TargetError, match="tokens"), Steering(points, [Dial(layer, np.ones(size), tokens=tokens)]):
            target.forward(features)
    assert torch.equal(target.forward(features), before)
    heads = HookPoint("heads", target.first, UNITS, heads=True)
    with pytest.raises(TargetError, match="attention heads"):
        Steering({"heads": heads}, [Dial("heads", np.zeros(UNITS))])
    assert set(steerable({"heads": heads, **points})) == set(points)


def test_what_drives_a_unit_is_the_unit_that_it_hears(wired) -> None:
    target, features, points = wired
    values = attributions(target, features, points, "first", "second", 4)
    activation = target.first(features).detach().sum(1).mean(0).numpy()
    expected = np.zeros(UNITS)
    expected[3] = 2 * activation[3] / TOKENS
    assert np.allclose(values, expected, atol=1e-5)
    driver = max(drivers(target, features, points, "first", "second", 4, UNITS), key=lambda one: abs(one.drop))
    assert driver.unit == 3 and np.isclose(driver.drop, expected[3], atol=1e-5)
    with pytest.raises(TargetError, match="nothing of second reaches first/0"):
        attributions(target, features, points, "second", "first", 0)


def test_a_network_without_gradients_says_so(wired) -> None:
    class Closed(Wired):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().forward(features)

    target = Closed()
    with pytest.raises(TargetError, match="keeps no gradients"):
        gradients(target, [wired[1]], as_points(target.all_modules()))


def test_random_directions_have_one_length_and_a_seed() -> None:
    pushed = random_pushes(40, 2.5, 7, 3)
    assert np.allclose(np.linalg.norm(pushed, axis=1), 2.5) and np.array_equal(pushed, random_pushes(40, 2.5, 7, 3))


def test_agreement_counts_chance_and_what_moves_nothing() -> None:
    named = [frozenset({0}), frozenset({1}), frozenset({1}), frozenset()]
    one = agreement(named, np.array([0, 1, 0, 2]), np.array([True, False, False, True]))
    assert (one.headlines, one.agree, one.inert) == (3, 2, 2) and one.low < 2 / 3 < one.high
    assert np.isclose(one.chance, (2 / 3 + 1 / 3 + 1 / 3) / 3)
    assert agreement([frozenset()], np.array([0]), np.array([True])).headlines == 0
