"""What headlines cost for 55,346 neurons on 2,000 clips: the intruder test with hard negatives, the evidence behind
every probability, several meanings."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

from and_core.evaluate.compositions import Predicates, compose, expected_levels
from and_core.evaluate.ears import drawn_truths
from and_core.evaluate.intruder import both_ways, hard_negatives, random_neurons, sound_vectors
from and_core.evaluate.verdict import DRAWS, Named, evidence, named_by_presence, pair_of_halves
from and_core.pipeline import intruder
from benchmarks.report import Row, alone, finish

NEURONS, CLIPS, CONCEPTS, WIDTH = 55_346, 2_000, 50, 128
ADJECTIVES = 18
METHODS = ("DB", "TAB", "SUM")  # beside presence
BLOCK = intruder.BLOCK
MOST_SECONDS, MOST_MB = 300, 6 * 1024


def blocks() -> Iterator[np.ndarray]:
    """Yield activations at random, shifted from block to block."""
    noise = np.random.default_rng(0).standard_normal((BLOCK + 97, CLIPS)).astype(np.float32)
    for start in range(0, NEURONS, BLOCK):
        shift = start // BLOCK % 97
        yield noise[shift : shift + min(BLOCK, NEURONS - start)]


def by_sound() -> None:
    """The intruder test, hard negatives, and the neurons that fire at random behind its p-values."""
    rng = np.random.default_rng(1)
    x = sound_vectors(rng.standard_normal((CLIPS, WIDTH)).astype(np.float32))
    first, sources = rng.random(CLIPS) < 0.5, np.arange(CLIPS) // 2
    began, busy = time.perf_counter(), time.process_time()
    for u in blocks():
        both_ways(u, x, first)
        hard_negatives(u, x)
    for start in range(0, intruder.DRAWS, BLOCK):
        both_ways(random_neurons(sources, min(BLOCK, intruder.DRAWS - start), [0, start]), x, first)
    finish(seconds=time.perf_counter() - began, busy=time.process_time() - busy)


def judged() -> None:
    """The evidence for what four methods say of every neuron, judged on draws of what may be true, both halves."""
    rng = np.random.default_rng(1)
    odds = rng.standard_normal((CLIPS, CONCEPTS)).astype(np.float32) * 3
    first, sources = rng.random(CLIPS) < 0.5, np.arange(CLIPS) // 2
    draws = [
        drawn_truths(odds[half], None, 0.5, sources[half], DRAWS, seed) for seed, half in enumerate((first, ~first))
    ]
    halves = pair_of_halves(np.arange(CLIPS), first, odds, draws)
    began, busy = time.perf_counter(), time.process_time()
    for u in blocks():
        named = {name: Named(*(rng.integers(-1, CONCEPTS, len(u)) for _ in range(3))) for name in METHODS}
        evidence(u, halves, {**named, "PC": named_by_presence(u, halves)})
    finish(seconds=time.perf_counter() - began, busy=time.process_time() - busy)


def composed() -> None:
    """Several meanings: every form for every neuron, both halves; eleven layers with their read-outs."""
    rng = np.random.default_rng(1)
    concept = rng.integers(0, CONCEPTS, CLIPS)[:, None] == np.arange(CONCEPTS)
    adjectives = rng.random((CLIPS, ADJECTIVES)) < 0.2
    categories = np.stack([concept[:, start : start + 5].any(1) for start in range(0, CONCEPTS, 5)], 1)
    holds = np.concatenate([concept, adjectives, categories], 1)
    kinds = np.repeat(["concept", "adjective", "category"], [CONCEPTS, ADJECTIVES, categories.shape[1]])
    predicates, first = Predicates([str(q) for q in range(len(kinds))], kinds, holds), rng.random(CLIPS) < 0.5
    began, busy = time.perf_counter(), time.process_time()
    for number, u in enumerate(blocks()):
        if number % 5 == 0:
            expected = expected_levels(np.repeat(u.T, 3, axis=1), concept, first)
        compose(u, predicates, first, expected)
    finish(seconds=time.perf_counter() - began, busy=time.process_time() - busy)


def rows() -> Iterator[Row]:
    """Time and peak memory of each; the limit is on all together."""
    parts = {
        "the intruder test and hard negatives": alone("benchmarks.confidence", "by_sound"),
        f"evidence of confidence for four methods, {CONCEPTS} concepts": alone("benchmarks.confidence", "judged"),
        "several meanings": alone("benchmarks.confidence", "composed"),
    }
    for name, values in parts.items():
        yield Row(
            f"55,346 neurons x 2,000 clips (made activations): {name}",
            f"{values['seconds']:.0f} s ({values['busy']:.0f} s of one core), peak {values['peak_mb'] / 1024:.1f} GB",
            f"{MOST_SECONDS} s together, 6 GB",
            sum(part["seconds"] for part in parts.values()) <= MOST_SECONDS and values["peak_mb"] <= MOST_MB,
        )


if __name__ == "__main__":
    {"by_sound": by_sound, "judged": judged, "composed": composed}[sys.argv[1]]()
