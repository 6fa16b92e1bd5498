"""Stimuli: what is asked for is what is made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.config import TuningConfig, make_config
from and_core.errors import ConfigError
from and_core.tuning.battery import battery, grid, stimuli_of, stimulus_table
from and_core.tuning.design import Design
from and_core.tuning.stimulus import KINDS, Stimulus, amplitude, span, top_of, waveform

RATE = 16_000


def spectrum(wave: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    return np.fft.rfftfreq(len(wave), 1 / rate), power


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


@pytest.mark.parametrize("frequency", [62.0, 440.0, 1234.5, 7100.0])
@pytest.mark.parametrize("level", [-60.0, -20.0, -5.0])
def test_a_tone_has_its_frequency_level_and_ramps(frequency: float, level: float) -> None:
    wave = waveform(Stimulus("tone", "tone", level, frequency), RATE, 1.0, 3)
    hertz, power = spectrum(wave)
    assert abs(hertz[power.argmax()] - frequency) <= 1
    assert rms(wave[800:-800]) == pytest.approx(amplitude(level), rel=0.02)
    assert wave[0] == pytest.approx(0, abs=1e-6) and wave[-1] == pytest.approx(0, abs=0.02 * amplitude(level))
    other = waveform(Stimulus("tone", "tone", level, frequency), RATE, 1.0, 4)
    assert not np.allclose(wave, other) and rms(other) == pytest.approx(rms(wave), rel=0.01)


def test_a_complex_has_its_partials_and_no_others() -> None:
    for kind, first, shift in (("harmonic", 1, 0.0), ("missing", 3, 0.0), ("shifted", 1, 0.3)):
        hertz, power = spectrum(waveform(Stimulus("complex", kind, frequency=200.0), RATE, 1.0, 0))
        there = hertz[power > power.max() / 100]
        expected = 200 * (np.arange(first, int(7200 / 200) + 1) + shift)
        nearest = np.abs(there[:, None] - expected).min(1)
        assert nearest.max() <= 2 and len({round(float(h) / 200 - shift) for h in there}) == (expected <= 7200).sum()


def test_modulation_sweeps_and_ripples_are_what_they_are_called() -> None:
    wave = waveform(Stimulus("am", "modulated", frequency=2000.0, rate=16.0), RATE, 1.0, 0)
    hertz, power = spectrum(wave)
    assert {round(float(h)) for h in hertz[power > power.max() / 30]} >= {1984, 2000, 2016}
    low, _ = span(RATE)
    for way in (1, -1):
        sweep = waveform(Stimulus("sweep", "sweep", speed=8.0, direction=way), RATE, 2.0, 0)
        frames = np.abs(np.fft.rfft(sweep.reshape(-1, 400), 4096))
        octave = np.log2(np.fft.rfftfreq(4096, 1 / RATE)[frames.argmax(1)] / low)
        steps = np.diff(octave)
        assert np.median(steps) == pytest.approx(way * 8 * 400 / RATE, abs=0.03)
        ripple = waveform(Stimulus("ripple", "ripple", rate=4.0, density=1.0, direction=way), RATE, 1.0, 1)
        frames = np.abs(np.fft.rfft(ripple.reshape(-1, 800) * np.hanning(800), 4096)) ** 2
        hz = np.fft.rfftfreq(4096, 1 / RATE)
        bands = [frames[:, (hz >= c / 1.2) & (hz < c * 1.2)].sum(1) for c in (800, 800 * 2**0.25)]  # a quarter cycle
        phases = [np.angle(np.fft.fft(b - b.mean())[4]) for b in bands]
        later = np.angle(np.exp(1j * (phases[0] - phases[1])))  # how much later the higher band peaks
        assert later * way == pytest.approx(np.pi / 2, abs=0.5)


def test_a_falling_sweep_is_a_rising_one_played_backwards() -> None:
    up, down = (Stimulus("sweep", "sweep", speed=4.0, direction=way) for way in (1, -1))
    assert up.seed(2, 7) == down.seed(2, 7) != up.seed(1, 7)
    rising, falling = (waveform(s, RATE, 1.0, s.seed(2, 7)) for s in (up, down))
    assert np.allclose(rising, falling[::-1], atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([2000, 8000, 16_000, 22_050, 44_100]),
    seconds=st.sampled_from([0.1, 0.5, 1.0, 3.015]),
    pick=st.floats(0, 0.9999),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_stimulus_is_finite_within_full_scale_and_below_nyquist(
    rate: int, seconds: float, pick: float, seed: int
) -> None:
    every = battery(TuningConfig(chords=1), rate, seconds)
    stimulus = every[int(pick * len(every))]
    wave = waveform(stimulus, rate, seconds, seed)
    assert wave.dtype == np.float32 and len(wave) == round(rate * seconds)
    assert np.isfinite(wave).all() and np.abs(wave).max() <= 1
    assert (np.abs(wave).max() > 0) == (stimulus.kind != "silence")
    assert np.array_equal(wave, waveform(stimulus, rate, seconds, seed))
    top = np.nan_to_num(stimulus.frequency)
    assert top <= top_of(rate) + 1e-6 and np.nan_to_num(stimulus.rate) < rate / 2


def test_the_table_holds_the_battery_and_the_design_finds_it() -> None:
    config = TuningConfig(levels=(-40, -20), per_octave=3, chords=4)
    every = battery(config, RATE, 1.0)
    assert {s.kind for s in every} == set(KINDS)
    table = stimulus_table(every, config, 0)
    first = table.filter([k == 0 for k in table["repeat"].to_pylist()])
    assert list(map(repr, stimuli_of(first))) == list(map(repr, every))  # NaN is not itself
    design = Design(table)
    assert design.repeats == 3 and design.conditions == len(every) and len(design.chords) == 4
    assert design.tones.shape == (2, len(grid(50, 7200, 3)))
    assert (design.of("level")[design.tones] == np.array([-40, -20])[:, None]).all()
    assert np.allclose(design.of("frequency")[design.tones], design.frequencies)
    seconds, bursts = design.durations
    assert (
        seconds.tolist() == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
        and design.of("kind")[bursts].tolist() == ["burst"] * 7
    )
    assert design.onsets[0].tolist() == [0, 0.25, 0.5, 0.75]
    rows = design.rows(design.tones)
    assert rows.shape == (*design.tones.shape, 3) and (design.condition[rows] == design.tones[..., None]).all()
    assert design.nearest_carrier(np.array([np.nan, 420.0, 5000.0])).tolist() == [0, 3, 7]


def test_wrong_settings_are_named() -> None:
    raw = {"name": "x", "dataset": {"kind": "synthetic"}, "target": {"kind": "ast"}}
    assert make_config(raw).tuning is None
    with pytest.raises(ConfigError, match="must hold -20"):
        make_config({**raw, "tuning": {"levels": [-40, -30]}})
    with pytest.raises(ConfigError, match="tuning.fill='loop'"):
        make_config({**raw, "tuning": {"fill": "loop"}})
