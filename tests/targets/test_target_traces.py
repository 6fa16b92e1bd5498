"""Traces of every kind of target: a clip's are its own whatever stands beside it, and their mean is the activation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_core.pipeline.traces import TraceTaker
from and_core.targets.base import TARGETS, Target
from and_core.targets.hooks import Capture
from tests.conftest import tone
from tests.targets.test_targets import TARGET_MAKERS

TRACED = {
    "ast": 6, "beats": 5, "transformers": 17, "module": 2, "planted": 2, "python": 1,
}  # fmt: skip


def taken(target: Target, waves: list[np.ndarray]) -> dict[str, np.ndarray]:
    seconds = [len(wave) / target.sample_rate for wave in waves]
    taker = TraceTaker(target, target.layers(), seconds)
    with Capture(target.hook_points(), target.pool, watch=taker.watch) as capture, torch.inference_mode():
        capture.run(lambda: target.forward(target.features(waves)))
    return taker.running.result()


@pytest.mark.parametrize("kind", TARGETS.names())
def test_every_target_has_traces_of_its_maps(kind: str, tmp_path: Path) -> None:
    target = TARGET_MAKERS[kind](tmp_path / "net")
    target.load("cpu")
    rng = np.random.default_rng(0)
    waves = [tone(seconds, target.sample_rate) for seconds in (0.6, 0.4)]
    waves = [(w * np.linspace(0, 1, len(w)) + 0.01 * rng.standard_normal(len(w))).astype(np.float32) for w in waves]
    together, alone = taken(target, waves), taken(target, waves[:1])
    traced = 0
    for layer in target.layers():
        units = slice(layer.offset, layer.offset + layer.size)
        if alone["clips"][units.start, 0, 0] < 0:
            assert (together["clips"][units] < 0).all(), "a layer has traces of some clips alone"
            continue
        traced += 1
        first = together["clips"][units, 0] == 0  # where the first clip stands among two
        assert (first.sum(1) == 1).all() and (alone["clips"][units, 0, 0] == 0).all()
        ranges = together["ranges"][units, 0][first]
        assert np.allclose(ranges, alone["ranges"][units, 0, 0], atol=1e-4), f"{layer.name}: neighbours change a trace"
        assert (ranges[:, 0] <= ranges[:, 1]).all() and (ranges[:, 0] < ranges[:, 1]).any()
    assert traced == TRACED[kind]
