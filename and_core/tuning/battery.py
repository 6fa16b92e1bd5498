"""The battery: which stimuli are played, as a list and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields

import numpy as np
import pyarrow as pa

from and_core.config import TuningConfig
from and_core.tuning.stimulus import LEVEL, LOWEST, Stimulus, span, top_of

AM_RATES = tuple(2.0 ** (i / 2) for i in range(17))  # 1 to 256 Hz in half octaves
CARRIERS = 100.0  # Hz, from which the octave grid of carriers goes up
SPEEDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # octaves a second
SIRENS = (1.0, 2.0, 4.0, 8.0, 16.0)  # Hz
RIPPLE_RATES = (2.0, 4.0, 8.0, 16.0, 32.0)  # Hz, either way
DENSITIES = (0.5, 1.0, 2.0, 4.0)  # cycles an octave
TRAINS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # clicks a second
DURATIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds, and D
GAPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # seconds
ONSETS = (0.0, 0.25, 0.5, 0.75)  # of D
ENVELOPES = (4.0, 8.0, 16.0)  # Hz, of what grows or dies away
HIGHEST_FUNDAMENTAL = 1500.0
LOUDEST_NOISE = -10.0  # dB; peaks of louder noise would be cut
WIDTHS = (1 / 3, 1.0, 2.0)  # octaves
CENTS = 20.0  # between tones of the fine set
COLUMNS = [field.name for field in fields(Stimulus)]


def grid(low: float, high: float, per_octave: float) -> list[float]:
    """Return frequencies in Hz from `low` up to `high`, so many an octave.

    Examples
    --------
    >>> grid(100, 400, 1)
    [100.0, 200.0, 400.0]
    """
    if high < low:
        return []
    steps = np.arange(int(np.log2(high / low) * per_octave + 1e-9) + 1)
    made: list[float] = (low * 2 ** (steps / per_octave)).tolist()
    return made


def battery(settings: TuningConfig, rate: int, seconds: float) -> list[Stimulus]:
    """Return every stimulus once, in the order in which they are played.

    Parameters
    ----------
    settings : TuningConfig
    rate : int
        The target's own, in samples a second; nothing is made above .45 of it.
    seconds : float
        Duration D.
    """
    return [stimulus for family in _families(settings, rate, seconds) for stimulus in family]


def _families(c: TuningConfig, rate: int, seconds: float) -> Iterator[Iterable[Stimulus]]:
    top = top_of(rate)
    low, high = span(rate)
    levels = sorted(c.levels)
    yield [Stimulus("silence", "silence")]
    yield (Stimulus("tone", "tone", level, f) for level in levels for f in grid(LOWEST, top, c.per_octave))
    if c.fine:
        yield (Stimulus("fine", "tone", LEVEL, f) for f in grid(LOWEST, top, 1200 / CENTS))
    fundamentals = grid(LOWEST, min(HIGHEST_FUNDAMENTAL, top / 4), c.per_octave / 2)
    yield (Stimulus("complex", kind, LEVEL, f) for kind in ("harmonic", "missing", "shifted") for f in fundamentals)
    yield (Stimulus("noise", kind, x) for kind in ("white", "pink") for x in levels if x <= LOUDEST_NOISE)
    yield (Stimulus("noise", "band", LEVEL, f, width) for width in WIDTHS for f in grid(LOWEST * 2, top / 2**0.5, 3))
    yield [Stimulus("click", "click")]
    yield (Stimulus("click", "train", rate=r) for r in TRAINS)
    carriers = [float("nan"), *grid(CARRIERS, top, 1)]
    yield (
        Stimulus("am", "modulated", frequency=f, rate=r)
        for f in carriers
        for r in AM_RATES
        if not f < 2 * r and 2 * r < top and not f + r > rate / 2
    )
    if high > low:
        yield (Stimulus("sweep", "sweep", speed=v, direction=way) for v in SPEEDS for way in (1, -1))
        yield (
            Stimulus("sweep", "chirp", sounding=part * seconds, direction=way)
            for part in (0.25, 1.0)
            for way in (1, -1)
        )
        yield (Stimulus("sweep", "siren", rate=r) for r in SIRENS)
        yield (Stimulus("ripple", "ripple", rate=r, density=0.0) for r in RIPPLE_RATES)
        yield (Stimulus("ripple", "ripple", rate=0.0, density=x) for x in DENSITIES)
        yield (
            Stimulus("ripple", "ripple", rate=r, density=x, direction=way)
            for way in (1, -1)
            for r in RIPPLE_RATES
            for x in DENSITIES
        )
    yield (Stimulus("time", "burst", onset=x, sounding=seconds / 4) for x in ONSETS)
    yield (Stimulus("time", "burst", onset=0.0, sounding=x) for x in (*(x for x in DURATIONS if x < seconds), seconds))
    yield (Stimulus("time", "burst", onset=0.0, gap=x) for x in GAPS if x < seconds / 2)
    yield (Stimulus("time", kind, rate=r) for kind in ("ramped", "damped") for r in ENVELOPES)
    if c.chords:
        yield [Stimulus("chord", "chord")]


def repeats_of(stimulus: Stimulus, settings: TuningConfig) -> int:
    """Return how often a stimulus is played, each time with other phases or other noise."""
    return {"silence": 1, "chord": settings.chords}.get(stimulus.family, settings.repeats)


def stimulus_table(stimuli: list[Stimulus], settings: TuningConfig, seed: int) -> pa.Table:
    """Return one row a presentation: its condition, repeat and seed, and every parameter of the stimulus."""
    rows = [
        {"condition": c, "repeat": k, "seed": s.seed(k, seed), **asdict(s)}
        for c, s in enumerate(stimuli)
        for k in range(repeats_of(s, settings))
    ]
    integers = {"condition": pa.int32(), "repeat": pa.int16(), "seed": pa.uint32(), "direction": pa.int8()}
    texts = {"family": pa.string(), "kind": pa.string()}
    schema = pa.schema([(name, integers.get(name) or texts.get(name) or pa.float64()) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema)


def stimuli_of(table: pa.Table) -> list[Stimulus]:
    """Return the stimuli of a table, one a row."""
    return [Stimulus(**row) for row in table.select(COLUMNS).to_pylist()]
