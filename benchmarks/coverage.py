"""How often the "95 %" intervals of a study hold what they are of, by the number of neurons.

Truth is known, since it is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from and_core.study.results import correlation_interval, estimate
from and_core.study.simulate import expected, rate
from benchmarks.report import Row

NEURONS = (5, 6, 8, 10, 20, 40)
STUDIES = 4_000
LEAST, MOST = 0.93, 0.97
RATERS, DESCRIPTIONS = 3, 3


def _ratings(
    quality: float, spread: float, skill: float
) -> tuple[float, Callable[[np.random.Generator, int], np.ndarray]]:
    """True mean rating, and the mean ratings of some neurons by three raters each."""

    def draw(rng: np.random.Generator, neurons: int) -> np.ndarray:
        fit = quality + spread * rng.standard_normal(neurons)
        return np.mean([rate(fit, 0.0, skill, rng) for _ in range(RATERS)], axis=0)

    return expected(quality, spread, 0.0, skill), draw


def _shares(rng: np.random.Generator, neurons: int) -> np.ndarray:
    """Share of three raters who find the intruder of each neuron, which is more or less easy to find."""
    return rng.binomial(RATERS, rng.beta(4, 2, neurons)) / RATERS


def _differences(rng: np.random.Generator, neurons: int) -> np.ndarray:
    """Difference of two methods' mean ratings on the same neurons."""
    common = 0.5 * rng.standard_normal(neurons)
    one, two = 3.6 + common + 0.5 * rng.standard_normal(neurons), 3.0 + common + 0.5 * rng.standard_normal(neurons)
    return np.mean([rate(one, 0.0, 0.6, rng) - rate(two, 0.0, 0.6, rng) for _ in range(RATERS)], axis=0)


def _covered(truth: float, draw: Callable[[np.random.Generator, int], np.ndarray], neurons: int) -> float:
    rng, held, given = np.random.default_rng(neurons), 0, 0
    for _ in range(STUDIES):
        interval = estimate(draw(rng, neurons))
        if interval is not None and interval.low is not None and interval.high is not None:
            given, held = given + 1, held + (interval.low <= truth <= interval.high)
    return held / given


def _correlation(neurons: int, own: float) -> float:
    """Coverage of Spearman's rho between a score and ratings, several descriptions a neuron, which have `own` in
    common."""

    def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        shared = np.repeat(rng.standard_normal((count, 2)), DESCRIPTIONS, 0)
        free = rng.standard_normal((count * DESCRIPTIONS, 2))
        score, noise = (own**0.5 * shared + (1 - own) ** 0.5 * free).T
        return score, 0.5 * score + 0.75**0.5 * noise

    truth = float(6 / np.pi * np.arcsin(0.5 / 2))  # of normal variables with a correlation of one half
    rng, held, given = np.random.default_rng(neurons), 0, 0
    group = np.repeat(np.arange(neurons), DESCRIPTIONS)
    for _ in range(STUDIES // 4):
        low, high = correlation_interval(*draw(rng, neurons), group)
        if low is not None and high is not None:
            given, held = given + 1, held + (low <= truth <= high)
    return held / given


def rows() -> Iterator[Row]:
    """Coverage by what is estimated; synthetic raters, as no study of people has a known truth."""
    cases = {
        "mean rating": _ratings(3.2, 0.7, 0.6),
        "mean rating, good descriptions": _ratings(4.2, 0.6, 0.6),
        "difference of two methods": (expected(3.6, 0.5**0.5, 0, 0.6) - expected(3.0, 0.5**0.5, 0, 0.6), _differences),
        "share that finds the intruder": (4 / 6, _shares),
    }
    for what, (truth, draw) in cases.items():
        yield _row(what, [_covered(truth, draw, n) for n in NEURONS])
    for own in (0.0, 0.5):
        yield _row(
            f"rank correlation, {own:.0%} shared by a neuron's descriptions", [_correlation(n, own) for n in NEURONS]
        )


def _row(what: str, shares: list[float]) -> Row:
    measured = ", ".join(f"{n}: {share:.3f}" for n, share in zip(NEURONS, shares, strict=True))
    slack = stats.binom(STUDIES, 0.95).std() / STUDIES * 2  # of the simulation itself
    held = all(LEAST - slack <= share <= MOST + slack for share in shares)
    return Row(
        f"coverage of 95 % intervals by neurons, {what} (simulated raters)", measured, f"{LEAST} to {MOST}", held
    )
