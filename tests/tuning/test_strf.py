"""Receptive fields: weights that were planted are found, and noise foretells nothing."""

from __future__ import annotations

import numpy as np
import pytest

from and_core.tuning.stimulus import Stimulus, waveform
from and_core.tuning.strf import BANDS, Sums, band_centres, lagged, log_mel, solve

LAGS = 3


@pytest.fixture(scope="module")
def sums() -> tuple[Sums, np.ndarray]:
    rng = np.random.default_rng(0)
    weights = np.zeros((LAGS * BANDS, 3))
    weights[4, 0], weights[BANDS + 5, 0], weights[2 * BANDS + 20, 1] = 1.0, -0.5, 1.0
    made = Sums(LAGS * BANDS, 3)
    for clip in range(40):
        x = lagged(rng.standard_normal((60, BANDS)), LAGS)
        y = x @ weights + 0.3 * rng.standard_normal((60, 3)) + 5
        made.add(clip, x, y.astype(np.float32))
    return made, weights


def test_planted_weights_are_found_and_noise_foretells_nothing(sums) -> None:
    made, weights = sums
    fields = solve(made)
    assert fields.weights.shape == (3, LAGS * BANDS) and fields.shown.tolist() == [True, True, False]
    for unit in (0, 1):
        assert np.corrcoef(fields.weights[unit], weights[:, unit])[0, 1] > 0.98
    signal = 1 + 0.25
    assert fields.r2[0] == pytest.approx(signal / (signal + 0.09), abs=0.02) and fields.r2[2] < 0.02


def test_sums_give_what_ridge_regression_gives(sums) -> None:
    """Against scikit-learn on the clips themselves, held-out R^2 with the chosen penalty included."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    clips = [(rng.standard_normal((30, 8)), rng.standard_normal((30, 2))) for _ in range(10)]
    made = Sums(8, 2)
    for i, (x, y) in enumerate(clips):
        y += x[:, :2]
        made.add(i, x, y.astype(np.float32))
    fields = solve(made)
    x, y = (np.concatenate([clip[i] for clip in clips]) for i in (0, 1))
    width = x.std(0)
    values = np.linalg.eigvalsh(np.cov((x / width).T, bias=True))
    for unit in range(2):
        penalty = fields.penalty[unit] * values.mean() * len(x)
        ridge = Ridge(alpha=penalty).fit((x - x.mean(0)) / width, y[:, unit] - y[:, unit].mean())
        assert np.allclose(fields.weights[unit], ridge.coef_ / y[:, unit].std(), atol=1e-4)


def test_a_slice_of_neurons_is_solved_alike(sums) -> None:
    made, _ = sums
    assert np.allclose(solve(made, slice(1, 3)).weights, solve(made).weights[1:3], atol=1e-6)


def test_a_tone_lies_in_its_band_and_its_time() -> None:
    rate = 16_000
    tone = waveform(Stimulus("tone", "tone", frequency=1000.0), rate, 0.5, 0)
    wave = np.concatenate([np.zeros(8000, np.float32), tone])
    bands = log_mel(wave, rate, np.linspace(0, 1, 11))
    assert bands.shape == (10, BANDS)
    nearest = int(np.argmin(np.abs(band_centres(rate) - 1000)))
    assert abs(int(bands[7].argmax()) - nearest) <= 1 and (bands[7].max() - bands[2].max()) > 5
