"""Extraction of all layers against a bare forward pass; growth of memory with the number of clips."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from and_core import pipeline
from and_core.config import PluginConfig, make_config
from and_core.dissect.traces import RunningTraces
from and_core.pipeline.forward_pass import layer_array
from and_core.pipeline.traces import TraceTaker
from and_core.targets.base import TARGETS
from and_core.targets.hooks import Capture
from benchmarks.report import Row, alone, finish

BATCHES, BATCH, REPEATS = 2, 2, 3


def paper_size(folder: Path, frames: int) -> str:
    """An AST of the paper's size with random weights, in the hub's own format."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    ASTForAudioClassification(ASTConfig(max_length=frames, num_labels=50)).save_pretrained(folder)  # type: ignore[call-arg]
    ASTFeatureExtractor(max_length=frames).save_pretrained(folder)
    return str(folder)


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of one call: a few percent are lost in wall time wherever others use the machine."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio() -> None:
    """Same network, same decoded batches of 10 s: forward alone, and forward with capture, pooling, traces and
    streaming to Zarr."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=paper_size(folder / "net", 1024), pooling="mean"))
        target.load("cpu")
        layers = target.layers()
        neurons = sum(layer.size for layer in layers)
        rng = np.random.default_rng(0)
        batches = [
            target.features([(rng.standard_normal(160_000) * 0.1).astype(np.float32) for _ in range(BATCH)])
            for _ in range(BATCHES)
        ]
        arrays = {
            layer.name: layer_array(folder / "out" / layer.name, layer, BATCH * BATCHES, BATCH) for layer in layers
        }

        def bare() -> None:
            with torch.inference_mode():
                for batch in batches:
                    target.forward(batch)

        taker = TraceTaker(target, layers, [10.0] * (BATCH * BATCHES))

        def captured() -> None:
            taker.running = RunningTraces(neurons)  # every clip enters: traces are never dearer
            with Capture(target.hook_points(), target.pool, watch=taker.watch) as capture:
                for number, batch in enumerate(batches):
                    taker.first = number * BATCH
                    capture.run(lambda: target.forward(batch))  # noqa: B023 - called at once
                    for name, values in capture.outputs.items():
                        arrays[name][number * BATCH : (number + 1) * BATCH] = values.numpy()

        bare()
        pairs = [(processor_seconds(bare), processor_seconds(captured)) for _ in range(REPEATS)]
        finish(
            neurons=neurons,
            ratio=statistics.median(c / b for b, c in pairs),
            bare=statistics.median(b for b, _ in pairs) / (BATCH * BATCHES),
        )


def memory(clips: int) -> None:
    """Peak memory of clips and activations for a number of short clips (0.3 s), network of the paper's size."""
    with tempfile.TemporaryDirectory() as scratch:
        import soundfile as sf

        folder = Path(scratch)
        (folder / "x").mkdir()
        rng = np.random.default_rng(0)
        for i in range(clips):
            sf.write(folder / "x" / f"{i:05d}.wav", rng.standard_normal(4_800) * 0.1, 16_000)
        config = make_config(
            {
                "name": "memory",
                "dataset": {"kind": "folder", "path": str(folder / "x")},
                "captions": {"kind": "acoustic"},
                "target": {"kind": "ast", "checkpoint": paper_size(folder / "net", 32)},
                "activations": {"batch": 16, "rows": 64},
                "workers": 1,
            }
        )
        pipeline.run(config, root=folder, only=["clips", "activations"])
        finish(clips=clips)


def rows() -> list[Row]:
    """Rows of the table."""
    found = alone("benchmarks.extraction", "ratio")
    few, many = (alone("benchmarks.extraction", "memory", str(n)) for n in (100, 1000))
    growth = many["peak_mb"] - few["peak_mb"]
    return [
        Row(
            f"extraction of {found['neurons']:,} neurons with traces (AST, 12 blocks, 10 s clips, "
            f"{found['bare']:.2f} s a clip) against a bare forward pass, processor time, while every clip enters every "
            "top-ten",
            f"{found['ratio']:.3f}x",
            "1.08x",
            found["ratio"] <= 1.08,
        ),
        Row(
            "growth of peak memory from 100 to 1,000 clips",
            f"{growth:.0f} MB ({few['peak_mb']:.0f} to {many['peak_mb']:.0f})",
            "300 MB",
            growth < 300,
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1] == "ratio":
        ratio()
    else:
        memory(int(sys.argv[2]))
