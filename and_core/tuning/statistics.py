"""What is said of each neuron's tuning: statistics of its responses to the battery, for a block of neurons at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from and_core.tuning import curves
from and_core.tuning.design import Design
from and_core.tuning.selectivity import permutation_p, reliability

FAMILIES = ("frequency", "level", "modulation", "ripple", "direction", "repetition", "duration")
RELIABLE, Q = 0.7, 0.05
MONOTONE = 0.75  # of the largest response, that the response to the highest level of a monotone neuron has
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """What responses are measured by.

    Attributes
    ----------
    std, high : (R,) float
        Standard deviation and 95th percentile of the activation over the probing set.
    permutations, seed : int
    """

    std: np.ndarray
    high: np.ndarray
    permutations: int
    seed: int


def responses(raw: np.ndarray, silence: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return (S, R) activations less that on silence, in standard deviations of the probing set; NaN for a neuron that
    has none there.

    Parameters
    ----------
    raw : (S, R) float
    silence : (s,) int
        Rows of silence.
    std : (R,) float
    """
    known = np.where(std > 0, std, np.nan)
    made: np.ndarray = (raw - np.median(raw[silence], 0)) / known
    return made


def block_statistics(raw: np.ndarray, design: Design, by: Reference) -> Columns:
    """Return columns (R,) of statistics of a block of neurons.

    Parameters
    ----------
    raw : (S, R) float
        Activations, a row a presentation.
    """
    y = responses(raw, design.silence, by.std)
    dead = ~np.isfinite(y).all(0) | (np.ptp(np.nan_to_num(y), axis=0) == 0)
    y = np.where(dead, 0.0, y).astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN|Mean of empty|invalid value", RuntimeWarning)
        made = _statistics(y, design, by)
    made["responds"] = ~dead
    high = (by.high - np.median(raw[design.silence], 0)) / np.where(by.std > 0, by.std, np.nan)
    made["reaches"] = ~dead & (made["strongest_response"] >= high)
    for name, values in made.items():
        if values.dtype.kind == "f":
            made[name] = np.where(dead, np.nan, values)
    return made


def _statistics(y: np.ndarray, design: Design, by: Reference) -> Columns:
    every = y[design.rows(design.played)]  # (A, n, R)
    means = every.mean(1)
    made: Columns = {
        "reliability": reliability(every),
        "strongest": design.played[means.argmax(0)].astype(np.int32),
        "strongest_response": means.max(0),
        "weakest": design.played[means.argmin(0)].astype(np.int32),
        "weakest_response": means.min(0),
    }
    made |= _frequency(y, design, by)
    made |= _level(y, design, made, by)
    made |= _spectrum(y, design)
    made |= _modulation(y, design, made, by)
    made |= _direction(y, design, by)
    made |= _time(y, design, by)
    return made


def _tested(name: str, y: np.ndarray, by: Reference, around: np.ndarray | None = None) -> Columns:
    """Return reliability, spread and p of a family: responses (G, A, n, R) by stratum and value.

    Neurons whose responses are neither reliable nor large get p = 1 without a permutation.
    """
    strata, values, repeats, neurons = y.shape
    flat = y.reshape(strata * values, repeats, neurons)
    reliable = reliability(flat)
    means = flat.mean(1)
    spread = np.ptp(y.mean(2), axis=1).max(0)
    shown = (reliable >= RELIABLE) & (spread >= curves.FLOOR) & (np.abs(means).max(0) >= curves.FLOOR)
    p = np.ones(neurons)
    if shown.any():
        p[shown] = permutation_p(y[..., shown], by.permutations, by.seed)
    return {f"{name}_reliability": reliable, f"{name}_spread": spread, f"{name}_p": p}


def _frequency(y: np.ndarray, design: Design, by: Reference) -> Columns:
    tones = y[design.rows(design.tones)]  # (L, F, n, R)
    made = _tested("frequency", tones, by)
    means, noise = tones.mean(2), tones.std(2).mean(1)
    tops = [curves.peaks(level) for level in means]
    heights = np.stack([top.height for top in tops])
    best = (heights / (noise / np.sqrt(design.repeats) + curves.QUIET)).argmax(0)
    columns = np.arange(y.shape[1])
    deviation = np.stack([top.deviation for top in tops])[best, :, columns].T  # (F, R)
    place = np.stack([top.place for top in tops])[best, columns]
    hertz, edge = curves.interpolated(design.frequencies, deviation, place)
    width, low, high = curves.bandwidth(design.frequencies, deviation, place)
    octaves = np.log2(design.frequencies)
    away = np.stack([octaves[top.place] - octaves[place] for top in tops])
    away = np.where(np.stack([top.sign for top in tops]) == np.stack([t.sign for t in tops])[best, columns], away, 99)
    made |= {
        "best_frequency": hertz,
        "at_edge": edge,
        "sign": np.stack([top.sign for top in tops])[best, columns],
        "best_frequency_level": design.levels[best],
        "best_frequency_response": means[best, place, columns],
        "best_frequency_height": heights[best, columns],
        "bandwidth": width,
        "concentration": curves.concentration(design.frequencies, deviation, low, high),
        "band_low": low,
        "band_high": high,
        "characteristic_level": curves.characteristic_level(design.levels, away, heights, best),
        "_place": place,
    }
    fine = design.chosen("fine")
    if len(fine):
        top = curves.peaks(y[design.rows(fine)].mean(1))  # over all: the grid may miss what is narrower than its steps
        made["fine_frequency"] = curves.interpolated(design.of("frequency")[fine], top.deviation, top.place)[0]
    return made


def _level(y: np.ndarray, design: Design, made: Columns, by: Reference) -> Columns:
    """Return the level function: of tones at the best frequency of a neuron that they excite, of all tones else."""
    tones = y[design.rows(design.tones)].swapaxes(0, 1)  # (F, L, n, R)
    found = _tested("level", tones, by)
    means = tones.mean(2)
    tuned = (made["frequency_reliability"] >= RELIABLE) & (made["frequency_p"] < Q) & (made["sign"] > 0)
    columns = np.arange(y.shape[1])
    curve = np.where(tuned, means[made["_place"], :, columns].T, means.mean(0))  # (L, R)
    rise = curves.slope(design.levels / 10, curve)
    turned = curve * np.where(np.abs(curve.max(0)) >= np.abs(curve.min(0)), 1, -1)
    monotone = np.divide(turned[-1], turned.max(0), out=np.full(len(columns), np.nan), where=turned.max(0) > 0)
    range_ = np.ptp(curve, axis=0)
    shape = np.select([range_ < curves.FLOOR, monotone >= MONOTONE], ["flat", "monotone"], "non-monotone")
    made.pop("_place")
    return found | {
        "level_slope": rise,
        "monotonicity": np.clip(monotone, -1, 1),
        "best_level": design.levels[turned.argmax(0)],
        "level_range": range_,
        "level_shape": shape,
    }


def _spectrum(y: np.ndarray, design: Design) -> Columns:
    """Return tone against noise, and harmonic against inharmonic complexes, at the level of all stimuli."""
    tone = y[design.rows(design.tones[design.reference])].mean(1).max(0)
    at = design.levels[design.reference]
    noises = [design.chosen("noise", kind=kind, level=at) for kind in ("white", "pink")]
    noise = np.max([y[design.rows(c)].mean((0, 1)) for c in noises], 0)
    means = {
        kind: y[design.rows(design.chosen("complex", kind=kind))].mean((0, 1))
        for kind in ("harmonic", "missing", "shifted")
    }
    return {
        "tone_response": tone,
        "noise_response": noise,
        "tone_noise": curves.contrast(tone, noise),
        "harmonicity": curves.contrast(means["harmonic"], means["shifted"]),
        "missing_fundamental": curves.contrast(means["missing"], means["harmonic"]),
    }


def _modulation(y: np.ndarray, design: Design, made: Columns, by: Reference) -> Columns:
    tuned = (made["frequency_reliability"] >= RELIABLE) & (made["frequency_p"] < Q)
    carrier = design.nearest_carrier(np.where(tuned, made["best_frequency"], np.nan))
    neurons = y.shape[1]
    found: Columns = {
        "carrier": np.array(design.carriers)[carrier],
        "best_rate": np.full(neurons, np.nan),
        "rate_sign": np.zeros(neurons, np.int8),
        "modulation_shape": np.full(neurons, "flat", "<U12"),
        **_untested("modulation", neurons),
    }
    for number in np.unique(carrier):
        own = np.flatnonzero(carrier == number)
        conditions = design.modulated(int(number))
        if len(conditions) < 3:
            continue
        curve = y[design.rows(conditions)][..., own]
        for name, values in _tested("modulation", curve[None], by).items():
            found[name][own] = values
        top = curves.peaks(curve.mean(1))
        found["best_rate"][own] = curves.interpolated(design.of("rate")[conditions], top.deviation, top.place)[0]
        found["rate_sign"][own] = top.sign
        shape = curves.shape_of(top.deviation, len(conditions))
        found["modulation_shape"][own] = np.where(found["modulation_spread"][own] < curves.FLOOR, "flat", shape)
    return found


def _direction(y: np.ndarray, design: Design, by: Reference) -> Columns:
    """Return selectivity for rising or falling sounds, by sweeps and by ripples."""
    neurons = y.shape[1]
    speeds, sweeps = design.sweeps
    ripples = design.chosen("ripple")
    if not len(ripples):
        return _no_sweeps(neurons)
    swept = y[design.rows(sweeps)]  # (V, 2, n, R)
    means = swept.mean(2)
    centred = (swept - swept.mean((1, 2), keepdims=True)).transpose(1, 0, 2, 3)  # (2, V, n, R)
    pooled = centred.reshape(1, 2, -1, neurons)
    found = _tested("direction", pooled, by)
    flat = swept.reshape(-1, design.repeats, neurons)
    pair = np.abs(means[:, 0] - means[:, 1])
    found["direction_reliability"] = reliability(flat)
    shown = (found["direction_reliability"] >= RELIABLE) & (pair.max(0) >= curves.FLOOR)
    found["direction_p"] = np.where(shown, permutation_p(pooled, by.permutations, by.seed), 1.0)
    found["direction_spread"] = pair.max(0)
    rippled = y[design.rows(ripples)]
    top = curves.peaks(rippled.mean(1))
    way = design.of("direction")[ripples]
    rate = design.of("rate")[ripples] * np.where(way == 0, 1, way)
    up, down = (rippled[way == sign].mean((0, 1)) for sign in (1, -1))
    return (
        found
        | _tested("ripple", rippled[None], by)
        | {
            "direction_index": curves.contrast(means[:, 0].mean(0), means[:, 1].mean(0)),
            "rises_more": means[:, 0].mean(0) - means[:, 1].mean(0),
            "best_speed": speeds[pair.argmax(0)],
            "ripple_rate": rate[top.place],
            "ripple_density": design.of("density")[ripples][top.place],
            "ripple_sign": top.sign,
            "ripple_direction_index": curves.contrast(up, down),
        }
    )


def _untested(name: str, neurons: int) -> Columns:
    """Return reliability, spread and p of a family that was not played."""
    return {f"{name}_{what}": np.full(neurons, v) for what, v in (("reliability", 0.0), ("spread", 0.0), ("p", 1.0))}


def _no_sweeps(neurons: int) -> Columns:
    """Return columns of sweeps and ripples for a target whose range is too narrow for any."""
    nothing = ("direction_index", "rises_more", "best_speed", "ripple_rate", "ripple_density", "ripple_direction_index")
    made = _untested("direction", neurons) | _untested("ripple", neurons)
    return made | {name: np.full(neurons, np.nan) for name in nothing} | {"ripple_sign": np.zeros(neurons, np.int8)}


def _time(y: np.ndarray, design: Design, by: Reference) -> Columns:
    trains = design.chosen("click", kind="train")
    seconds, bursts = design.durations
    onsets, quarters = design.onsets
    repeated, lasting = y[design.rows(trains)], y[design.rows(bursts)]
    rates = curves.peaks(repeated.mean(1))
    growing, dying = (y[design.rows(design.chosen("time", kind=kind))].mean((0, 1)) for kind in ("ramped", "damped"))
    means = lasting.mean(1)
    gaps = np.flatnonzero((design.of("family") == "time") & np.isfinite(design.of("gap")))
    placed = y[design.rows(quarters)].mean(1)
    whole = means[-1]
    return (
        _tested("repetition", repeated[None], by)
        | _tested("duration", lasting[None], by)
        | {
            "best_repetition": curves.interpolated(design.of("rate")[trains], rates.deviation, rates.place)[0],
            "repetition_sign": rates.sign,
            "best_duration": seconds[means.argmax(0)],
            "duration_slope": curves.slope(np.log2(seconds), means),
            "best_onset": onsets[placed.argmax(0)],
            "onset_spread": np.ptp(placed, axis=0),
            "growing": curves.contrast(growing, dying),
            "gap_effect": y[design.rows(gaps)].mean(1).min(0) - whole if len(gaps) else np.zeros(y.shape[1]),
        }
    )


def tuned(columns: Columns, correct: Callable[[np.ndarray], np.ndarray]) -> Columns:
    """Return, by family, the corrected p of every neuron and whether it is tuned: reliable over repeats, with a spread
    that permutations do not reach.

    Parameters
    ----------
    columns : dict of str to (R,) array
        Of all neurons.
    correct : callable
        Corrects p values for their number.
    """
    made: Columns = {}
    for name in FAMILIES:
        p = np.where(columns["responds"], columns[f"{name}_p"], np.nan)
        q = correct(p)
        reliable = columns[f"{name}_reliability"] >= RELIABLE
        shown = reliable & (columns[f"{name}_spread"] >= curves.FLOOR) & (np.nan_to_num(q, nan=1.0) < Q)
        made[f"{name}_q"], made[f"tuned_to_{name}"] = q, columns["responds"] & shown
    made["tuned"] = np.any([made[f"tuned_to_{name}"] for name in FAMILIES], 0)
    return made
