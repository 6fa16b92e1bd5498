"""The one-line way in, as a script without a guard, and its wrong inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import and_core
from and_core.errors import ANDError, TargetError
from tests.pipeline.test_first_hour import clips


def small_network(units: int = 3) -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv1d(1, 8, 64, 16), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(8, units))


def prepare(waves):
    return torch.from_numpy(waves)[:, None]


def test_one_line_explains_a_network(tmp_path: Path) -> None:
    sounds = clips(tmp_path / "My sounds", 12, ("a", "b", "c"))
    remarks: list[str] = []
    given = {"root": tmp_path / "cache", "classes": ["a", "b", "c"], "k": 3, "say": remarks.append}
    d = and_core.explain_network(small_network(), prepare, sounds, **given)
    assert d.name == "sequential-my-sounds" and [layer.name for layer in d.layers] == ["0", "fc"]
    assert d.headline("fc/0").text and len(d.extreme_clips("0/3", "high")) == 3
    assert "classifier 4; mean over time; captions by acoustic" in remarks[0] and "seed 0" in remarks[0]
    before = {name: stage.key for name, stage in d.manifest.stages.items()}
    times = {path: path.stat().st_mtime_ns for path in (d.folder / "artifacts").rglob("*") if path.is_file()}
    again = and_core.explain_network(small_network(), prepare, sounds, **given)
    assert {name: stage.key for name, stage in again.manifest.stages.items()} == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items()), "nothing is computed twice"


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    sounds = clips(tmp_path / "sounds", 6, ("a", "b", "c"))

    def broken(waves) -> torch.Tensor:
        raise RuntimeError("no such window")

    root = tmp_path / "cache"
    with pytest.raises(TargetError, match="classifier='nowhere'.*there are: 4"):
        and_core.explain_network(small_network(), prepare, sounds, classifier="nowhere", root=root)
    with pytest.raises(ANDError, match="is no folder"):
        and_core.explain_network(small_network(), prepare, tmp_path / "none", root=root)
    with pytest.raises(TargetError, match="prepare fails on waveforms .*no such window"):
        and_core.explain_network(small_network(), broken, sounds, root=root)
    with pytest.raises(AttributeError, match="no attribute 'explain_nothing'"):
        and_core.explain_nothing  # noqa: B018


def test_reading_loads_no_torch(tmp_path: Path) -> None:
    code = "import sys, and_core; and_core.open_dissection; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "AND_CACHE": str(tmp_path)})
