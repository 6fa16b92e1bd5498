"""Neurons that fire alike, of 55,346 on more clips than all pairs are compared on: recall of the true six."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

from and_core.dissect.neighbours import alike
from benchmarks.report import Row, alone, finish

NEURONS, CLIPS, FACTORS, COUNT, CHUNK = 55_346, 4_200, 64, 6, 256
CHECKED = 400  # neurons whose true six are computed
LEAST_RECALL, MOST_MB = 0.95, 4096


def recall(neurons: int) -> None:
    """Compare with the true nearest of some neurons; activations are of factors, and noise of the same size."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((CLIPS, FACTORS), np.float32)
    weights = rng.standard_normal((FACTORS, neurons), np.float32) / 8

    def chunks() -> Iterator[np.ndarray]:
        for start in range(0, CLIPS, CHUNK):
            part = factors[start : start + CHUNK] @ weights
            yield part + np.random.default_rng([1, start]).standard_normal(part.shape, np.float32)

    began = time.perf_counter()
    dead = np.zeros(neurons, bool)
    given, _ = alike(chunks, dead, np.zeros(neurons), COUNT)
    seconds = time.perf_counter() - began
    checked = np.sort(rng.permutation(neurons)[:CHECKED])
    products, sums, squares = np.zeros((CHECKED, neurons)), np.zeros(neurons), np.zeros(neurons)
    for x in chunks():
        products += x[:, checked].T @ x
        sums += x.sum(0, dtype=np.float64)
        squares += np.square(x, dtype=np.float64).sum(0)
    deviation = np.sqrt(squares - sums**2 / CLIPS)
    true = (products - np.outer(sums[checked], sums) / CLIPS) / np.outer(deviation[checked], deviation)
    true[np.arange(CHECKED), checked] = -2
    nearest = np.argsort(-true, axis=1)[:, :COUNT]
    shared = sum(len(set(a) & set(b)) for a, b in zip(given[checked].tolist(), nearest.tolist(), strict=True))
    finish(seconds=seconds, recall=shared / nearest.size)


def rows() -> Iterator[Row]:
    """Recall, time and memory."""
    r = alone("benchmarks.neighbours", str(NEURONS))
    yield Row(
        f"the six most similar of {NEURONS:,} neurons on {CLIPS:,} clips (made activations), by projection",
        f"recall {r['recall']:.3f} of the true six of {CHECKED} neurons; {r['seconds']:.0f} s, "
        f"peak {r['peak_mb'] / 1024:.1f} GB",
        f"{LEAST_RECALL}, {MOST_MB / 1024:.0f} GB",
        r["recall"] >= LEAST_RECALL and r["peak_mb"] < MOST_MB,
    )


if __name__ == "__main__":
    recall(int(sys.argv[1]))
