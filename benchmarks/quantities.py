"""Every acoustic measure against 55,346 neurons on 2,000 clips: rank correlations on all clips and in both halves, the
comparison with the best concept, correction for all tests."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np

from and_core.audio.quantities import QUANTITIES
from and_core.evaluate.quantities import followed, halves, likeness, recordings
from and_core.pipeline.quantities import BLOCK, correlated_blocks, joined
from benchmarks.report import Row, alone, finish

NEURONS, CLIPS, CONCEPTS = 55_346, 2_000, 100
MISSING = {"fundamental": 0.58, "glide": 0.34, "irregularity": 0.45}  # shares of the demo's clips without the measure
MOST_SECONDS, MOST_MB = 20, 1024


def correlations() -> None:
    """Blocks of activations at random, one of every hundred neurons following a measure."""
    rng = np.random.default_rng(0)
    measures = rng.standard_normal((CLIPS, len(QUANTITIES)))
    for place, name in enumerate(QUANTITIES):
        measures[rng.random(CLIPS) < MISSING.get(name, 0), place] = np.nan
    concepts = rng.random((CLIPS, CONCEPTS)).astype(np.float32)
    first, used, sources = rng.random(CLIPS) < 0.5, np.ones(CLIPS, bool), np.arange(CLIPS) // 2
    noise = rng.standard_normal((BLOCK + 97, CLIPS)).astype(np.float32)
    planted = np.nan_to_num(measures[:, 0]).astype(np.float32)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, NEURONS, BLOCK):
            size = min(BLOCK, NEURONS - start)
            shift = start // BLOCK % 97
            u = noise[shift : shift + size]
            if size > 100:
                u = u.copy()
                u[100] += 3 * planted
            yield u

    tracemalloc.start()
    began, busy = time.perf_counter(), time.process_time()
    split = halves(measures, concepts, first, used)
    c = joined(list(correlated_blocks(blocks(), split, 2)))
    found = followed(c, likeness(measures, used), recordings(measures, sources, used))
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    finish(
        seconds=seconds,
        busy=busy,
        arrays_mb=tracemalloc.get_traced_memory()[1] / 2**20,
        follow=int(found.follows.sum()),
    )


def rows() -> Iterator[Row]:
    """Time, and memory beyond the inputs."""
    found = alone("benchmarks.quantities", "correlations")
    yield Row(
        f"55,346 neurons x {len(QUANTITIES)} acoustic measures x 2,000 clips, both halves and against 100 concepts",
        f"{found['seconds']:.0f} s ({found['busy']:.0f} s of one core), peak {found['arrays_mb']:.0f} MB of arrays",
        f"{MOST_SECONDS} s, 1 GB",
        found["seconds"] <= MOST_SECONDS and found["arrays_mb"] <= MOST_MB,
    )


if __name__ == "__main__":
    {"correlations": correlations}[sys.argv[1]]()
