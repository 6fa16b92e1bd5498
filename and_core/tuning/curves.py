"""Measures of tuning curves, of many neurons at once: the last axis is always neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUIET = 0.05  # standard deviations: noise that is assumed where repeats agree better
HOLDS = 1 / 3  # octaves by which a best frequency may move with level and be the same
DEEPER = 2.0  # times as far must a neuron fall as it rises to be called suppressed
FLOOR = 0.5  # standard deviations that count as an effect


@dataclass(frozen=True)
class Peaks:
    """Where curves deviate most from their median.

    Attributes
    ----------
    place : (R,) int
        Index of the peak.
    sign : (R,) int8
        1 where it is above the median of the curve, -1 below.
    height : (R,) float
        By how much, always positive.
    deviation : (A, R) float
        The curve less its median, turned so that the peak is positive.
    """

    place: np.ndarray
    sign: np.ndarray
    height: np.ndarray
    deviation: np.ndarray


def peaks(curve: np.ndarray) -> Peaks:
    """Return the peak of each curve (A, R); NaN counts for nothing.

    What rises counts first: a neuron is taken to be suppressed where it falls more than twice as far as it rises.
    """
    away = curve - np.nanmedian(curve, 0)
    above, below = np.nanmax(away, 0), -np.nanmin(away, 0)
    sign = np.where(DEEPER * above >= below, 1, -1).astype(np.int8)
    deviation = away * sign
    place = np.nanargmax(deviation, 0)
    return Peaks(place, sign, np.where(sign > 0, above, below), deviation)


def interpolated(axis: np.ndarray, values: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return peaks between the points of a curve by a parabola through three of them, and whether one lies at an end.

    Parameters
    ----------
    axis : (A,) float
        Positive, evenly spaced in its logarithm about each peak.
    values : (A, R) float
    place : (R,) int

    Examples
    --------
    >>> peak, edge = interpolated(np.array([1.0, 2.0, 4.0]), np.array([[0.0], [1.0], [1.0]]), np.array([1]))
    >>> float(peak[0].round(3)), bool(edge[0])
    (2.828, False)
    """
    log = np.log2(axis)
    columns = np.arange(values.shape[1])
    inner = np.clip(place, 1, max(1, len(axis) - 2))
    edge = (place == 0) | (place == len(axis) - 1)
    if len(axis) < 3:
        return axis[place], edge
    left, middle, right = (values[inner + step, columns] for step in (-1, 0, 1))
    curvature = left - 2 * middle + right
    usable = ~edge & np.isfinite(curvature) & (curvature < 0)
    shift = np.where(usable, 0.5 * (left - right) / np.where(usable, curvature, 1), 0.0)
    step = np.where(shift > 0, log[inner + 1] - log[inner], log[inner] - log[inner - 1])
    return 2 ** (log[place] + np.where(usable, np.clip(shift, -0.5, 0.5) * step, 0.0)), edge


def bandwidth(axis: np.ndarray, deviation: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return octaves for which a curve stays above half of its peak, and the two ends of it in the axis's unit; what
    reaches an end of the axis is counted up to there."""
    log = np.log2(axis)
    columns = np.arange(deviation.shape[1])
    half = deviation[place, columns] / 2
    ends = []
    for way in (-1, 1):
        end = log[place].copy()
        open_ = np.ones(len(columns), bool)
        for step in range(1, len(axis)):
            at = place + way * step
            inside = open_ & (at >= 0) & (at < len(axis))
            if not inside.any():
                break
            at, before = np.clip(at, 0, len(axis) - 1), np.clip(at - way, 0, len(axis) - 1)
            here, last = deviation[at, columns], deviation[before, columns]
            above = inside & (here >= half)
            crossed = inside & ~above
            share = np.clip((last - half) / np.where(last > here, last - here, 1), 0, 1)
            end = np.where(above, log[at], np.where(crossed, log[before] + share * (log[at] - log[before]), end))
            open_ = above
        ends.append(end)
    return ends[1] - ends[0], 2 ** ends[0], 2 ** ends[1]


def concentration(axis: np.ndarray, deviation: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return (R,) share of a curve's power within a band: 1 where nothing outside of it deviates from the median."""
    inside = (axis[:, None] >= low) & (axis[:, None] <= high)
    power = np.square(np.nan_to_num(deviation))
    whole = power.sum(0)
    return np.divide((power * inside).sum(0), whole, out=np.zeros_like(whole), where=whole > 0)


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return (one - other) / (|one| + |other|), between -1 and 1; NaN where both are 0.

    Examples
    --------
    >>> contrast(np.array([3.0, 1.0]), np.array([1.0, -1.0])).tolist()
    [0.5, 1.0]
    """
    total = np.abs(one) + np.abs(other)
    return np.divide(one - other, total, out=np.full_like(total, np.nan, dtype=float), where=total > 0)


def slope(axis: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return (R,) slope of the least-squares line through curves (A, R)."""
    centred = axis - axis.mean()
    made: np.ndarray = centred @ curve / np.sum(centred**2)
    return made


def shape_of(deviation: np.ndarray, rates: int) -> np.ndarray:
    """Return (R,) which rates a curve passes: ``low-pass``, ``high-pass``, ``band-pass``; ``all-pass`` where both ends
    stay above half between its lowest and highest value.

    Parameters
    ----------
    deviation : (A, R) float
        Turned so that the peak is positive.
    rates : int
        How many of the A values there are; the others are NaN.
    """
    known = deviation[:rates]
    half = (known.max(0) + known.min(0)) / 2
    low, high = known[0] >= half, known[-1] >= half
    return np.select([low & high, low, high], ["all-pass", "low-pass", "high-pass"], "band-pass")


def characteristic_level(levels: np.ndarray, octaves: np.ndarray, heights: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return (R,) the lowest level at which the best frequency holds, going down from the best level.

    Parameters
    ----------
    levels : (L,) dB, rising
    octaves : (L, R) float
        How far the peak at each level lies from the best frequency.
    heights : (L, R) float
        Peak at each level.
    best : (R,) int
        Place of the best level.
    """
    holds = (np.abs(octaves) <= HOLDS + 1e-6) & (heights >= FLOOR)
    lowest = best.copy()
    going = np.ones(len(best), bool)
    for step in range(1, len(levels)):
        at = best - step
        going = going & (at >= 0) & holds[np.clip(at, 0, None), np.arange(len(best))]
        lowest = np.where(going, at, lowest)
    return levels[lowest]
