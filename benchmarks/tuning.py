"""The battery of stimuli against bare forward passes of a network of the paper's size; statistics of 55,346 neurons."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from and_core.config import PluginConfig, TuningConfig
from and_core.targets.base import TARGETS
from and_core.tuning.battery import battery, stimulus_table
from and_core.tuning.design import Design
from and_core.tuning.passes import front_end, passes
from and_core.tuning.presentation import presentation
from and_core.tuning.selectivity import corrected
from and_core.tuning.statistics import Reference, block_statistics, tuned
from benchmarks.extraction import paper_size
from benchmarks.report import Row, alone, finish

NEURONS, BLOCK, RATE = 55_346, 512, 16_000
BATCH, BATCHES = 2, 4
MOST_RATIO, MOST_SECONDS, MOST_MB = 1.1, 60, 4096


def ratio() -> None:
    """Seconds of one thread: stimuli made, filter banks, forward, capture and pooling, against forward alone."""
    torch.set_num_threads(1)
    config = TuningConfig()
    with tempfile.TemporaryDirectory() as scratch:
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=paper_size(Path(scratch) / "net", 1024)))
        target.load("cpu")
        how = presentation(target, config, 10.0)
        table = stimulus_table(battery(config, target.sample_rate, how.seconds), config, 0)
        rows = np.random.default_rng(0).permutation(table.num_rows)[: BATCH * BATCHES]
        table = table.take(rows)
        features = front_end(target, how, table)
        made = [features(range(i, i + BATCH)) for i in range(0, len(rows), BATCH)]
        bare, whole = [], []
        for _ in range(2):
            began = time.process_time()
            with torch.inference_mode():
                for x in made:
                    target.forward(x)
            bare.append(time.process_time() - began)
            began = time.process_time()
            for _ in passes(target, features, range(len(rows)), BATCH, 2):
                pass
            whole.append(time.process_time() - began)
        finish(ratio=min(whole) / min(bare), neurons=sum(layer.size for layer in target.layers()))


def statistics() -> None:
    """Made responses: neurons with a best frequency, a direction and a rate, half of them mostly noise."""
    config = TuningConfig(chords=0)
    table = stimulus_table(battery(config, RATE, 1.0), config, 0)
    design = Design(table)
    rng = np.random.default_rng(0)
    octave = np.log2(np.nan_to_num(design.columns["frequency"], nan=100.0))[:, None]
    centres = rng.uniform(6, 12, 4096)
    base = np.exp(-0.5 * ((octave - centres) / 0.4) ** 2).astype(np.float32)
    noise = rng.standard_normal((table.num_rows, 2048)).astype(np.float32)
    began, busy = time.perf_counter(), time.process_time()
    parts = []
    for start in range(0, NEURONS, BLOCK):
        size = min(BLOCK, NEURONS - start)
        first = start % 3584
        raw = 3 * base[:, first : first + size] + (0.2 + 2 * (start // BLOCK % 2)) * noise[:, start % 1536 :][:, :size]
        parts.append(block_statistics(raw, design, Reference(np.ones(size), np.full(size, 2.0), 200, 0)))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    made = tuned(columns, corrected)
    finish(
        seconds=time.perf_counter() - began, busy=time.process_time() - busy,
        tuned=float(made["tuned_to_frequency"].mean()),
    )  # fmt: skip


def rows() -> list[Row]:
    """Both claims."""
    passed, judged = alone("benchmarks.tuning", "ratio"), alone("benchmarks.tuning", "statistics")
    return [
        Row(
            f"the battery of stimuli through an AST of the paper's size ({passed['neurons']:,} neurons), against its "
            "forward passes (one thread)",
            f"{passed['ratio']:.3f}x", f"{MOST_RATIO}x", passed["ratio"] <= MOST_RATIO,
        ),
        Row(
            "statistics of tuning of 55,346 neurons (made responses)",
            f"{judged['seconds']:.0f} s ({judged['busy']:.0f} s of one core), peak {judged['peak_mb'] / 1024:.1f} GB",
            f"{MOST_SECONDS} s, 4 GB", judged["busy"] <= MOST_SECONDS and judged["peak_mb"] <= MOST_MB,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    {"ratio": ratio, "statistics": statistics}[sys.argv[1]]()
