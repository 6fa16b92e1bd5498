"""Passing stimuli through a network: batch by batch, with sounds made by threads while the network works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.targets.base import Target
from and_core.targets.hooks import Capture, Watch
from and_core.targets.precision import autocast
from and_core.tuning.battery import stimuli_of
from and_core.tuning.presentation import Presentation

AHEAD = 2  # batches made while the network works


def passes(
    target: Target,
    features: Callable[[range], Any],
    rows: range,
    batch: int,
    workers: int,
    precision: str = "float32",
    watch: Watch | None = None,
) -> Iterator[tuple[range, dict[str, np.ndarray]]]:
    """Yield the pooled outputs (B, R) of all layers, batch by batch.

    Parameters
    ----------
    target : Target
        Loaded.
    features : callable
        Rows -> what the network is given of these stimuli.
    rows : range
        Presentations.
    watch : callable, optional
        Given what every layer makes before it is pooled, see :class:`and_core.targets.hooks.Capture`.
    """
    parts = [range(start, min(start + batch, rows.stop)) for start in range(rows.start, rows.stop, batch)]
    points = target.hook_points()
    last = None if "fc" in points else list(points)[-1]
    with ThreadPoolExecutor(max(1, workers - 1)) as pool, Capture(points, target.pool, last, watch) as capture:
        waiting: list[Future[Any]] = [pool.submit(features, part) for part in parts[:AHEAD]]
        for number, part in enumerate(parts):
            made = waiting.pop(0).result()
            if number + AHEAD < len(parts):
                waiting.append(pool.submit(features, parts[number + AHEAD]))
            with autocast(precision, target.device):
                capture.run(lambda: target.forward(made))  # noqa: B023 - called at once
            yield part, {name: value.numpy() for name, value in capture.outputs.items()}


def front_end(target: Target, how: Presentation, table: pa.Table) -> Callable[[range], Any]:
    """Return what makes the network's input of rows of a table of stimuli."""
    stimuli, seeds = stimuli_of(table), table["seed"].to_pylist()
    return lambda rows: target.features([how.wave(stimuli[i], target.sample_rate, seeds[i]) for i in rows])


def play(target: Target, how: Presentation, table: pa.Table, batch: int = 16) -> dict[str, np.ndarray]:
    """Return layer -> (S, R) activations on every presentation, for a network without a dissection."""
    every = [outputs for _, outputs in passes(target, front_end(target, how, table), range(table.num_rows), batch, 2)]
    return {name: np.concatenate([outputs[name] for outputs in every]) for name in every[0]}
