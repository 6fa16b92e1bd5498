"""Mean and central sums of neurons over blocks of clips, joined without loss of digits (Pebay 2008, SAND2008-6212)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Of some clips.

    Attributes
    ----------
    count : int
        Clips.
    sums : (4, R) float64
        The mean, then the sums of the second, third and fourth power of what differs from it.
    """

    count: int
    sums: np.ndarray


def join(a: Moments, b: Moments) -> Moments:
    """Return the moments of the clips of both."""
    if not a.count or not b.count:
        return a if a.count else b
    x, y, n = float(a.count), float(b.count), float(a.count + b.count)
    (mean, a2, a3, a4), (other, b2, b3, b4) = a.sums, b.sums
    d = other - mean
    sums = np.empty_like(a.sums)
    sums[0] = mean + d * (y / n)
    sums[1] = a2 + b2 + d**2 * (x * y / n)
    sums[2] = a3 + b3 + d**3 * (x * y * (x - y) / n**2) + 3 * d * (x * b2 - y * a2) / n
    sums[3] = (
        a4 + b4 + d**4 * (x * y * (x * x - x * y + y * y) / n**3)
        + 6 * d**2 * (x * x * b2 + y * y * a2) / n**2 + 4 * d * (x * b3 - y * a3) / n
    )  # fmt: skip
    return Moments(a.count + b.count, sums)


def described(moments: Moments, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """Return what :func:`and_core.dissect.statistics.moments` gives of activations, from their moments and range."""
    dead = (high - low) <= 1e-6 * np.maximum(np.maximum(np.abs(low), np.abs(high)), np.float32(1e-12))
    mean, m2, m3, m4 = moments.sums
    variance = m2 / moments.count
    with np.errstate(all="ignore"):
        skewness = m3 / moments.count / variance**1.5
        kurtosis = m4 / moments.count / variance**2 - 3
    return {
        "mean": mean,
        "std": np.sqrt(variance),
        "skewness": np.where(dead, 0.0, skewness),
        "kurtosis": np.where(dead, 0.0, kurtosis),
        "minimum": low.astype(np.float64),
        "maximum": high.astype(np.float64),
        "dead": dead,
    }
