"""Statistics of tuning: golden values, invariants, and filters whose tuning is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.config import TuningConfig
from and_core.tuning import curves
from and_core.tuning.battery import battery, stimuli_of, stimulus_table
from and_core.tuning.design import Design
from and_core.tuning.selectivity import corrected, permutation_p, reliability
from and_core.tuning.statistics import Reference, block_statistics, responses, tuned
from and_core.tuning.stimulus import waveform
from tests.tuning.planted import AM_RATES, CENTRES, RATE, PlantedFilters, units

CONFIG = TuningConfig(chords=0)


@pytest.fixture(scope="module")
def design() -> Design:
    return Design(stimulus_table(battery(CONFIG, RATE, 1.0), CONFIG, 0))


@pytest.fixture(scope="module")
def planted(design: Design) -> np.ndarray:
    """Return (S, R) what the planted filters give."""
    table = stimulus_table(battery(CONFIG, RATE, 1.0), CONFIG, 0)
    waves = [waveform(s, RATE, 1.0, k) for s, k in zip(stimuli_of(table), table["seed"].to_pylist(), strict=True)]
    network = PlantedFilters()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(np.stack(waves[i : i + 32]))) for i in range(0, len(waves), 32)]
    return torch.cat(parts).numpy()


def measured(raw: np.ndarray, design: Design, seed: int = 0) -> dict[str, np.ndarray]:
    by = Reference(raw.std(0), np.percentile(raw, 95, axis=0), 200, seed)
    columns = block_statistics(raw, design, by)
    return columns | tuned(columns, corrected)


@pytest.fixture(scope="module")
def columns(planted: np.ndarray, design: Design) -> dict[str, np.ndarray]:
    return measured(planted, design)


def test_bands_are_found_at_their_frequency(columns) -> None:
    bands = list(units().bands)
    away = np.abs(np.log2(columns["best_frequency"][bands] / CENTRES))
    assert columns["tuned_to_frequency"][bands].all() and (columns["sign"][bands] == 1).all()
    assert (away <= 1 / 6).all(), away.max()
    assert np.median(away) < 0.05 and (columns["bandwidth"][bands] < 2.5).all()


def test_sums_of_two_bands_are_found_at_one_of_them(columns) -> None:
    for number, unit in enumerate(units().sums):
        away = np.abs(np.log2(columns["best_frequency"][unit] / CENTRES[[number, number + 14]]))
        assert away.min() <= 1 / 6


def test_modulation_rates_are_found_within_a_factor(columns) -> None:
    detectors = list(units().detectors)
    ratio = columns["best_rate"][detectors] / np.tile(AM_RATES, 2)
    assert (np.maximum(ratio, 1 / ratio) <= 1.25).mean() >= 0.95, ratio
    assert columns["tuned_to_modulation"][detectors].all()
    assert set(columns["modulation_shape"][detectors]) <= {"band-pass", "low-pass"}


def test_directions_are_all_right(columns) -> None:
    sweeps = list(units().sweeps)
    way = np.tile([1, -1], len(sweeps) // 2)
    assert (np.sign(columns["rises_more"][sweeps]) == way).all()
    assert columns["tuned_to_direction"][sweeps].all()


def test_levels_are_monotone_or_not(columns) -> None:
    levels = np.array(units().levels)
    assert (columns["level_shape"][levels[:4]] == "monotone").all() and (columns["level_slope"][levels[:4]] > 0).all()
    assert (columns["level_shape"][levels[4:]] == "non-monotone").sum() >= 3
    assert columns["tuned_to_level"][levels].all()


def test_shuffled_responses_are_not_tuned(planted: np.ndarray, design: Design) -> None:
    rng = np.random.default_rng(0)
    shuffled = np.stack([rng.permutation(column) for column in planted.T], 1)
    silent = design.silence
    shuffled[silent] = planted[silent]
    made = measured(shuffled, design)
    assert made["tuned"].mean() < 0.05
    for name in ("frequency", "level", "modulation", "direction"):
        assert made[f"tuned_to_{name}"].mean() < 0.05


def test_random_projections_of_bands_are_tuned(columns) -> None:
    """As the sums of bands that they are: said in the documents, not a fault."""
    assert columns["tuned_to_frequency"][list(units().random)].mean() > 0.5


def test_a_dead_neuron_and_one_that_gives_nan_are_not_tuned(planted: np.ndarray, design: Design) -> None:
    raw = planted[:, :4].copy()
    raw[:, 1] = 3.0
    raw[50, 2] = np.nan
    by = Reference(np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4), 50, 0)
    made = block_statistics(raw, design, by)
    made |= tuned(made, corrected)
    assert made["responds"].tolist() == [True, False, False, False] == made["tuned"].tolist()
    assert np.isnan(made["best_frequency"][1:]).all() and np.isnan(made["frequency_q"][1:]).all()


def test_responses_are_counted_from_silence_in_standard_deviations() -> None:
    raw = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 9.0]])
    assert np.allclose(responses(raw, np.array([2]), np.array([0.5, 2.0])), [[-2, -2], [2, -2], [0, 0]])


def test_permutations_give_even_p_values_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 12, 3, 400))
    p = permutation_p(y, 200, 0)
    assert abs((p < 0.05).mean() - 0.05) < 0.03 and 0.4 < np.median(p) < 0.6
    y[:, 3:7, :, 0] += 3
    assert permutation_p(y[..., :1], 200, 0)[0] < 1e-3


def test_reliability_is_that_of_the_mean_over_repeats() -> None:
    rng = np.random.default_rng(1)
    signal = rng.standard_normal((4000, 1, 1))
    y = signal + rng.standard_normal((4000, 3, 1))
    assert reliability(y)[0] == pytest.approx(0.75, abs=0.02)  # 1 / (1 + 1 / 3)
    assert reliability(np.ones((5, 3, 1)))[0] == 0


@settings(max_examples=30, deadline=None)
@given(
    centre=st.floats(0.6, 5.4), width=st.floats(0.3, 1.0), sign=st.sampled_from([1.0, -1.0]), offset=st.floats(-5, 5)
)
def test_peaks_lie_where_the_curve_was_made(centre: float, width: float, sign: float, offset: float) -> None:
    octaves = np.arange(0, 6.01, 1 / 6)
    curve = (offset + sign * np.exp(-0.5 * ((octaves - centre) / width) ** 2))[:, None]
    top = curves.peaks(curve)
    hertz, edge = curves.interpolated(100 * 2**octaves, top.deviation, top.place)
    assert top.sign[0] == sign and not edge[0]
    assert np.log2(hertz[0] / 100) == pytest.approx(centre, abs=0.03)
    span, low, high = curves.bandwidth(100 * 2**octaves, top.deviation, top.place)
    assert low[0] <= hertz[0] * 1.02 and high[0] >= hertz[0] / 1.02 and span[0] <= 2.36 * width + 0.3


def test_golden_values() -> None:
    assert curves.slope(np.array([0.0, 1.0, 2.0]), np.array([[0.0], [2.0], [4.0]]))[0] == 2
    levels = np.array([-60.0, -40.0, -20.0])
    octaves, heights = np.array([[1.0], [0.1], [0.0]]), np.array([[9.0], [0.6], [2.0]])
    assert curves.characteristic_level(levels, octaves, heights, np.array([2]))[0] == -40
    shapes = curves.shape_of(np.array([[1.0, 0, 0, 1], [1, 1, 0.2, 1], [0, 0, 1, 1]]), 3)
    assert shapes.tolist() == ["low-pass", "band-pass", "high-pass", "all-pass"]
    assert np.isnan(corrected(np.array([np.nan]))).all()
