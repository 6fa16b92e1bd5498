"""Scoring every explanation of 55,346 neurons on 2,000 clips: five methods, all predictors, baselines and bootstrap
intervals, both halves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from and_core.evaluate.score import MethodBlock, held_out, score_block
from and_core.pipeline.scores import BLOCK
from and_core.store.dissection import open_dissection
from and_core.store.files import cache_root
from benchmarks.report import Row, alone, finish

MOST_SECONDS, MOST_MB = 180, 6 * 1024
CONCEPTS, WIDTH, DRAWS = 50, 384, 40
DISTINCT = {"SUM": 20_000, "OPEN": 2_000}  # different summaries and sets of adjectives


def score() -> None:
    """Two folds over all blocks of neurons; activations from the store, explanations and captions at random."""
    d = open_dissection("bench-55k")
    rng = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        x = rng.standard_normal((count, WIDTH)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    half = rng.permutation(len(d.clips)) < len(d.clips) // 2
    texts = {"DB": unit(CONCEPTS), "SUM": unit(DISTINCT["SUM"]), "OPEN": unit(DISTINCT["OPEN"])}
    texts |= {"TAB": texts["DB"], "ICL": texts["DB"]}
    which = {name: rng.integers(0, len(table), d.neuron_count) for name, table in texts.items()}
    began = time.time()
    for fold, held in enumerate(held_out(np.flatnonzero(half == side), DRAWS, side) for side in (False, True)):
        captions, sounds = unit(len(held.clips)).T.copy(), unit(len(held.clips)).T.copy()
        shares = rng.random((len(texts["OPEN"]), len(held.clips))).astype(np.float32).round(1)
        labels = rng.integers(0, CONCEPTS, len(held.clips))
        for layer in d.layers:
            for start in range(0, layer.size, BLOCK):
                u = np.asarray(d.layer_activations(layer.name, slice(start, start + BLOCK)), np.float32)[held.clips].T
                mine = slice(layer.offset + start, layer.offset + start + u.shape[0])
                said = {}
                for name, table in texts.items():
                    predictors: dict[str, Any] = {
                        "text": lambda rows, t=table, x=captions: t[rows] @ x,
                        "audio": lambda rows, t=table, x=sounds: t[rows] @ x,
                    }
                    if name in ("DB", "TAB", "ICL"):
                        predictors["presence"] = lambda rows, t=table, x=captions: np.exp(5 * (t[rows] @ x))
                        predictors["label"] = lambda rows, x=labels: (x[None] == rows[:, None]).astype(np.float32)
                    if name == "OPEN":
                        predictors["words"] = lambda rows, x=shares: x[rows]
                    said[name] = MethodBlock(which[name][mine], 0, predictors)
                score_block(u, held, said, fold)
    finish(seconds=time.time() - began)


def rows() -> Iterator[Row]:
    """Time and memory."""
    os.environ["AND_CACHE"] = str(cache_root() / "bench")
    alone("benchmarks.analysis", "build")
    found = alone("benchmarks.scores", "score")
    said = f"{found['seconds']:.0f} s, peak {found['peak_mb'] / 1024:.1f} GB"
    held = found["seconds"] <= MOST_SECONDS and found["peak_mb"] <= MOST_MB
    yield Row(
        "held-out scores: 55,346 neurons x 5 methods x 2,000 clips, with baselines and 40 bootstrap samples",
        said,
        "180 s, 6 GB",
        held,
    )


if __name__ == "__main__":
    {"score": score}[sys.argv[1]]()
