"""Traces: eight bits and back, running top-tens against a sort of everything, where a neuron fires."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.dissect.statistics import extreme
from and_core.dissect.traces import RunningTraces, frame_weights
from and_core.store.traces import UNHEARD, dequantise, firing_stretch, quantise


def test_golden_levels() -> None:
    traces = np.array(
        [[-1.0, 0.0, 1.0, np.nan], [2.0, 2.0, 2.0, 2.0], [np.nan] * 4, [0.0, 0.25, 0.5, 127.0]], np.float32
    )
    levels, low, high = quantise(traces)
    assert levels.dtype == np.uint8 and levels.tolist() == [
        [0, 127, 254, UNHEARD], [0, 0, 0, 0], [UNHEARD] * 4, [0, 1, 1, 254]
    ]  # fmt: skip
    assert low.tolist() == [-1.0, 2.0, 0.0, 0.0] and high.tolist() == [1.0, 2.0, 0.0, 127.0]
    back = dequantise(levels, low, high)
    assert back[0, :3].tolist() == [-1.0, 0.0, 1.0] and np.isnan(back[0, 3]) and back[1].tolist() == [2.0] * 4


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_eight_bits_are_off_by_half_a_step_at_most(values: list[float]) -> None:
    trace = np.array([values], np.float32)
    levels, low, high = quantise(trace)
    step = (high.astype(np.float64) - low) / 254
    assert (
        np.abs(dequantise(levels, low, high).astype(np.float64) - trace).max()
        <= step[0] / 2 + 1e-6 * np.abs(trace).max()
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5), st.integers(1, 12), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_running_top_tens_are_those_of_all_clips_however_the_run_was_cut(
    seed: int, clips: int, neurons: int, rows: int, values: int
) -> None:
    rng = np.random.default_rng(seed)
    u = rng.integers(0, values, (clips, neurons)).astype(np.float32)  # few values: many ties
    traces = rng.standard_normal((clips, neurons, 7)).astype(np.float32)
    whole, resumed = RunningTraces(neurons, 4, 7), RunningTraces(neurons, 4, 7)
    for start in range(0, clips, rows):
        chunk = range(start, min(start + rows, clips))
        for clip in chunk:
            whole.add(0, clip, u[clip], partial(np.take, traces[clip], axis=0))
        resumed.restore(whole.entries(start))
    made = whole.result()
    assert all(np.array_equal(made[name], resumed.result()[name]) for name in made)
    for side, sign in enumerate((1, -1)):
        expected, _ = extreme(sign * u, k=4)
        assert np.array_equal(made["clips"][:, side], expected)
        for neuron in range(neurons):
            for rank, clip in enumerate(expected[neuron]):
                levels, low, high = quantise(traces[[clip], neuron])
                kept = made["levels"][neuron, side, rank]
                assert np.array_equal(kept, levels[0] if clip >= 0 else np.full(7, UNHEARD))
                assert made["ranges"][neuron, side, rank].tolist() == ([low[0], high[0]] if clip >= 0 else [0, 0])


def test_frames_share_columns_by_time() -> None:
    weights = frame_weights(np.array([0.02, 1.0, 2.0]), 2.0, 2.0, 4)
    assert weights.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]], "the first column begins with the clip"
    weights = frame_weights(np.linspace(0, 3, 4), 2.0, 2.0, 2)
    assert weights.tolist() == [[1, 0], [0, 1], [0, 0]], "what is padded after the clip's end is left out"
    weights = frame_weights(np.linspace(0, 2, 3), 4.0, 2.0, 4)
    assert weights[:, :2].tolist() == [[1, 0], [0, 1]] and np.isnan(weights[:, 2:]).all(), "nor is what is not heard"
    weights = frame_weights(np.array([0.0, 0.75, 1.5, 2.25, 3.0]), 3.0, 3.0, 2)
    assert weights.T.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ([0, 0, 0, 0, 1, 1, 0, 0, 0, 0], (4.0, 6.0)),
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], (0.0, 1.0)),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0.6, 1], (8.0, 10.0)),
        ([2] * 10, None),
        ([np.nan] * 10, None),
    ],
)
def test_where_it_fires(trace: list[float], expected: tuple[float, float] | None) -> None:
    assert firing_stretch(np.array(trace, np.float32), 10.0) == expected


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 30))
@settings(max_examples=60, deadline=None)
def test_a_stretch_lies_in_its_clip_holds_the_peak_and_is_long_enough(seed: int, seconds: float) -> None:
    trace = np.random.default_rng(seed).standard_normal(100).astype(np.float32)
    start, stop = firing_stretch(trace, seconds) or (0.0, 0.0)
    peak = (int(trace.argmax()) + 0.5) * seconds / 100
    assert 0 <= start <= peak <= stop <= seconds + 1e-9 and stop - start >= min(0.5, seconds) - 1e-9
