"""What a network of 55,346 neurons does as a whole: words, clusters, interpretability, acoustics and both maps, on 2,000 clips."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from and_core import pipeline
from and_core.store.files import cache_root
from benchmarks.browser import bench_config, build
from benchmarks.report import Row, alone, finish

STAGES = ("word_counts", "clusters", "interpretability", "acoustics", "map")
MOST_SECONDS, MOST_MB = 300, 6 * 1024


def analyse() -> None:
    """Every stage anew."""
    seen: dict[str, list[float]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        now = time.time()
        seen.setdefault(stage, [now, now])[1] = now

    began = time.time()
    pipeline.run(bench_config(), only=STAGES, force=True, progress=progress)
    finish(seconds=time.time() - began, ends={stage: times[1] - began for stage, times in seen.items()})


def rows() -> Iterator[Row]:
    """Time and memory of all stages together."""
    os.environ["AND_CACHE"] = str(cache_root() / "bench")
    alone("benchmarks.analysis", "build")
    found = alone("benchmarks.analysis", "analyse")
    parts, before = [], 0.0
    for stage in STAGES:
        parts.append(f"{stage} {found['ends'][stage] - before:.0f}")
        before = found["ends"][stage]
    said = f"{found['seconds']:.0f} s ({', '.join(parts)}), peak {found['peak_mb'] / 1024:.1f} GB"
    held = found["seconds"] <= MOST_SECONDS and found["peak_mb"] <= MOST_MB
    yield Row("words, clusters, interpretability, acoustics and two maps of 55,346 neurons x 2,000 clips", said, "300 s, 6 GB", held)


if __name__ == "__main__":
    build() if sys.argv[1] == "build" else analyse()
