"""Traces in a dissection: of the ranked clips, from one pass, the same bytes after a stop, and none in old ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection, pipeline
from and_core.audio.media import clip_wave
from and_core.listen.localize import layer_maps
from and_core.pipeline import activations
from and_core.store.dissection import Dissection
from and_core.targets.base import TARGETS
from tests.conftest import small_config

STAGES = ["clips", "activations", "neurons"]


def test_traces_are_those_of_the_ranked_clips(dissection: Dissection) -> None:
    d = dissection
    kept = np.asarray(d.array("activations/trace_clips"))
    traced = kept[:, 0, 0] >= 0
    assert traced.sum() == d.neuron_count - d.layer("fc").size, "the classifier gives one vector a clip"
    for side, name in enumerate(("high", "low")):
        assert np.array_equal(kept[traced, side], np.asarray(d.array(f"neurons/{name}_clips"))[traced, :10])
    target = TARGETS.create(small_config().target)
    target.load("cpu")
    neuron = d.neuron_id(700)
    for top in (*d.extreme_clips(neuron, "high", 2), *d.extreme_clips(neuron, "low", 1)):
        maps, _ = layer_maps(target, [clip_wave(d, top.clip.index, target.sample_rate)], neuron.layer)
        columns = maps[0, neuron.unit].mean(0)  # of 0.1 s
        trace = d.traces(neuron)[top.clip.index].values
        step = (np.nanmax(trace) - np.nanmin(trace)) / 254
        edges, _ = target.map_edges(maps.shape[2], maps.shape[3], top.clip.seconds)
        at = (np.arange(100) + 0.5) * top.clip.seconds / 100
        column = np.searchsorted(edges[1:-1], at, "right")
        inside = (edges[column] <= at - 0.02) & (edges[column + 1] >= at + 0.02)
        assert inside.sum() > 50 and np.allclose(trace[inside], columns[column[inside]], atol=step + 1e-5)
    assert d.traces("fc/0") == {} and d.trace_of_layer("fc") is None
    assert "on one token (cls)" in (d.trace_of_layer(neuron.layer) or "")


def test_a_stopped_run_goes_on_to_the_same_bytes_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.run(small_config(), root=tmp_path / "whole", only=STAGES)
    extract = activations.extract
    passed: list[range] = []

    def stopping(target, dissection, clips, *rest):
        if len(passed) == 2:
            raise KeyboardInterrupt
        passed.append(clips)
        return extract(target, dissection, clips, *rest)

    monkeypatch.setattr(activations, "extract", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(small_config(), root=tmp_path / "cut", only=STAGES)
    passed.clear()
    pipeline.run(small_config(), root=tmp_path / "cut", only=STAGES)
    assert passed == [range(16, 24)], "finished chunks are not run again"
    for name in ("trace_clips", "trace_ranges", "trace_levels"):
        one, other = (
            open_dissection("small", root=tmp_path / place).paths(f"activations/{name}")[0].read_bytes()
            for place in ("whole", "cut")
        )
        assert one == other


def test_traces_can_be_left_out_and_a_dissection_without_them_opens(tmp_path: Path) -> None:
    asked = small_config(activations={"batch": 4, "rows": 8, "traces": False})
    pipeline.run(asked, root=tmp_path, only=STAGES)
    d = open_dissection("small", root=tmp_path)
    assert not d.has_traces and not any("trace" in name for name in d.manifest.artifacts)
    assert d.traces("layer0_output/3") == {} and d.trace_of_layer("layer0_output") is None
    assert d.extreme_clips("layer0_output/3")
    with_traces = pipeline.run(small_config(), root=tmp_path, only=STAGES)
    assert "activations" in with_traces.computed and open_dissection("small", root=tmp_path).has_traces
