"""Simulated clips through the statistics of a streamed pass: rate, memory, and extreme clips against a full sort.

Activations are made on the fly, so that nothing but the statistics is held, and all values of a few neurons."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import numpy as np

from and_core.dissect.streamed.histograms import Bins
from and_core.dissect.streamed.statistics import HIGH, LOW, StreamedStatistics
from benchmarks.report import Row, alone, finish

CLIPS, NEURONS, CLASSES, BLOCK = 200_000, 55_346, 10, 256
CHECKED = 48  # neurons of which all values are held, to be sorted
MANY = 2_000_000
STEADY, FLAT_MB = 0.8, 64  # last quarter's rate in the second's, and what memory may grow by after the first quarter


class Generator:
    """Activations of block after block: rows of one table of noise, shifted along neurons, each at its own scale."""

    def __init__(self) -> None:
        self.noise = np.random.default_rng(0).standard_normal((512, NEURONS + 4096)).astype(np.float32)
        self.out = np.empty((BLOCK, NEURONS), np.float32)

    def block(self, number: int, clips: int) -> np.ndarray:
        """Activations (clips, neurons) of a block."""
        rng = np.random.default_rng([1, number])
        rows, shifts = rng.integers(0, 512, clips), rng.integers(0, 4096, clips)
        scales = rng.lognormal(0, 0.3, clips).astype(np.float32)
        for i in range(clips):
            np.multiply(self.noise[rows[i], shifts[i] : shifts[i] + NEURONS], scales[i], out=self.out[i])
        return self.out[:clips]


def resident_mb() -> float:
    """Memory of this process now."""
    with open("/proc/self/statm") as handle:
        return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def stream(clips: int) -> None:
    """Take in so many clips; times are a processor's, of the statistics alone."""
    generator = Generator()
    first = np.concatenate([generator.block(n, BLOCK).copy() for n in range(4)])[:1000]
    made = StreamedStatistics(Bins.of(first, 40), CLASSES)
    del first
    checked = np.linspace(0, NEURONS - 1, CHECKED).astype(int)
    every = np.zeros((clips, CHECKED), np.float32)
    every[:] = 1  # so that the pages are there from the beginning
    took, memory = [], []
    for number, start in enumerate(range(0, clips, BLOCK)):
        numbers = np.arange(start, min(start + BLOCK, clips))
        u = generator.block(number, len(numbers))
        every[numbers] = u[:, checked]
        mask = np.eye(CLASSES, dtype=bool)[numbers % CLASSES]
        began = time.process_time()
        made.update(number, u, numbers, mask)
        took.append(time.process_time() - began)
        memory.append(resident_mb())
    result, quarter = made.finish(), max(1, len(took) // 4)
    equal = all(
        result[f"{side}_clips"][neuron].tolist() == np.argsort(-sign * every[:, i], kind="stable")[:k].tolist()
        for i, neuron in enumerate(checked)
        for side, sign, k in (("high", 1, HIGH), ("low", -1, LOW))
    )
    finish(
        seconds=sum(took),
        steady=float(np.median(took[quarter : 2 * quarter]) / np.median(took[-quarter:])),
        grown=max(memory[quarter:]) - memory[quarter],
        equal=equal,
        rate=float(BLOCK / np.median(took)),
        state_mb=sum(array.nbytes for array in made.state().values()) / 2**20,
    )


def rows() -> Iterator[Row]:
    """Rate, memory and exactness, and two million clips at that rate."""
    r = alone("benchmarks.streaming", str(CLIPS))
    yield Row(
        f"statistics of a stream: {CLIPS:,} simulated clips x {NEURONS:,} neurons, {CLASSES} classes, by one core",
        f"{r['seconds']:.0f} s of a processor, {r['rate']:.0f} clips a second; the last quarter at {r['steady']:.2f} "
        f"of the rate of the second; memory grows by {r['grown']:.0f} MB after the first quarter (statistics "
        f"{r['state_mb']:.0f} MB, process {r['peak_mb']:.0f})",
        f"{STEADY} of the rate, {FLAT_MB} MB",
        r["steady"] >= STEADY and r["grown"] <= FLAT_MB,
    )
    yield Row(
        f"its {HIGH} highest and {LOW} lowest clips against a full sort ({CHECKED} neurons)",
        "equal" if r["equal"] else "**not equal**",
        "equal",
        r["equal"],
    )
    yield Row(f"{MANY:,} clips (extrapolated)", f"{MANY / r['rate'] / 60:.0f} min", "-", None)


if __name__ == "__main__":
    stream(int(sys.argv[1]))
