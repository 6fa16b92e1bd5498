"""How seconds and peak memory of each stage grow with clips, on made activations: the pipeline's own stages, after
clips and activations that come from a generator in place of sound and a network.

Each stage runs in a process of its own, so that its peak memory is its own. `AND_GROWTH` names other sizes than
:data:`SIZES`, as ``1000x4663,10000x4663``; `AND_GROWTH_SECONDS` ends the rows after so many.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import zarr

from and_core import pipeline, registry
from and_core.audio.measures import MEASURES, UNITS
from and_core.audio.media import flac
from and_core.config import RunConfig, make_config
from and_core.corpus.recipes import CATEGORIES
from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.pipeline.run import STAGES
from and_core.pipeline.stage import Run, Stage
from and_core.records import Layer
from and_core.store.artifacts import layer_artifact
from and_core.store.files import cache_root
from and_core.store.writer import StageWriter
from and_core.targets.base import TARGETS, Target, TargetSettings
from benchmarks.report import Row, alone, finish

SMALL = [(f"layer{i}_{kind}", size) for i in range(12) for kind, size in (("intermediate", 256), ("output", 128))]
AST = [
    (f"layer{i}_{kind}", size)
    for i in range(12)
    for kind, size in (("attention_output", 768), ("intermediate", 3072), ("output", 768))
]
NETWORKS = {4_658: [*SMALL, ("fc", 50)], 55_346: [*AST, ("fc", 50)]}
SIZES = ((1_000, 4_658), (10_000, 4_658), (100_000, 4_658), (2_000, 55_346), (20_000, 55_346))
FACTORS, ROWS, INNER = 64, 256, 64
MOST_EXPONENT, MOST_MB = 1.1, 4096
FAST = 5.0  # seconds, below which an exponent is that of starting a stage


@DATASETS.register
class GrowthClips(Dataset):
    """References of clips whose measures are made up."""

    kind = "growth_clips"
    provenance = "synthetic"

    class Settings(registry.Settings):
        """`clips`: how many."""

        clips: int

    def references(self) -> list[ClipRef]:
        """A label, a fold and a source for each clip; four clips a source."""
        many: Any = self.settings
        return [
            ClipRef(f"{i:06d}.wav", CATEGORIES[i // 4 % len(CATEGORIES)], i // 4 % 5 + 1, f"{i // 4:06d}")
            for i in range(many.clips)
        ]

    def fingerprint(self) -> str:
        """Version."""
        return "1"

    def describe(self) -> str:
        """One line for provenance."""
        return "made clips of the growth benchmark"


@TARGETS.register
class GrowthNetwork(Target):
    """Names and sizes of layers alone."""

    kind = "growth_network"

    class Settings(TargetSettings):
        """`neurons`: which of :data:`NETWORKS`."""

        neurons: int

    def fingerprint(self) -> str:
        """Version."""
        return "1"

    def describe(self) -> str:
        """One line for provenance."""
        return "made activations of the growth benchmark"

    def load(self, device: str) -> None:
        """Load nothing: there is no network."""


def config_of(clips: int, neurons: int) -> RunConfig:
    """Return the configuration of one size."""
    return make_config(
        {
            "name": f"growth-{clips}x{neurons}",
            "dataset": {"kind": "growth_clips", "clips": clips},
            "target": {"kind": "growth_network", "neurons": neurons},
            "captions": {"kind": "acoustic"},
            "encoder": {"kind": "minilm", "model": "bundled"},
            "activations": {"traces": False},
            "scores": {},
        }
    )


def factors(clips: int) -> np.ndarray:
    """Return (N, 64) float32 what all neurons are made of: a part of the clip's class, and its own."""
    rng = np.random.default_rng(1)
    of_class = rng.standard_normal((len(CATEGORIES), FACTORS), np.float32)
    number = np.arange(clips) // 4 % len(CATEGORIES)
    return of_class[number] + rng.standard_normal((clips, FACTORS), np.float32)


def make_clips(run: Run, writer: StageWriter) -> None:
    """Write the table of clips, and packs that hold a tenth of a second for all."""
    refs = run.dataset.references()
    rng, f = np.random.default_rng(0), factors(len(refs))
    columns: dict[str, Any] = {
        "index": np.arange(len(refs)), "name": [r.name for r in refs], "label": [r.label for r in refs],
        "fold": [r.fold for r in refs], "source": [r.source for r in refs], "seconds": np.ones(len(refs)),
        "rate": np.full(len(refs), 16_000), "peak": np.full(len(refs), 0.5), "pack": np.zeros(len(refs), int),
    }  # fmt: skip
    spans = {"duration": (1, 0), "level": (-30, 10), "amplitude": (500, 300), "median_frequency": (1500, 900),
             "centroid": (2000, 1200), "flatness": (0.2, 0.15), "periodicity": (0.5, 0.25), "onset_rate": (3, 2),
             "dominant_frequency": (1000, 900)}  # fmt: skip
    for place, name in enumerate(MEASURES):
        middle, spread = spans.get(name, (0.5, 0.3))
        columns[name] = middle + spread * (f[:, place] / 2 + 0.3 * rng.standard_normal(len(refs)))
    sound = flac(0.1 * rng.standard_normal(1_600).astype(np.float32), 16_000)
    for what in ("audio", "spectrogram"):
        columns |= {f"{what}_offset": np.zeros(len(refs), int), f"{what}_bytes": np.full(len(refs), len(sound))}
        path = writer.out / f"{what}-00000.pack"
        path.write_bytes(sound)
        writer.files(what, "pack", [path], [len(refs)], "flac", ["clip"])
    writer.provenance = "synthetic"
    writer.table("clips", pa.table(columns), UNITS)
    schema = pa.schema([("name", pa.string()), ("reason", pa.string())])
    writer.table("skipped", pa.Table.from_pylist([], schema))
    writer.notes = {"dataset": run.dataset.describe(), "clips": len(refs), "skipped": 0, "without_label": 0}


def make_activations(run: Run, writer: StageWriter) -> None:
    """Write activations of factors, and noise of the same size, in chunks of clips."""
    settings: Any = run.target.settings
    sizes, total = NETWORKS[settings.neurons], len(run.dissection.clips)
    f, rng = factors(total), np.random.default_rng(2)
    layers: list[Layer] = []
    for number, (name, size) in enumerate(sizes):
        kind: Any = name.split("_", 1)[1] if "_" in name else name
        block = int(name[5:].split("_")[0]) if name != "fc" else None
        layers.append(Layer(name=name, kind=kind, block=block, size=size, offset=sum(x.size for x in layers)))
        root = writer.out / f"layer{number:04d}"
        inner, rows = min(INNER, size), min(ROWS, total)
        array = zarr.create_array(
            str(root), shape=(total, size), dtype="float32", chunks=(rows, inner), compressors=None, fill_value=0,
            shards=(rows, -(-size // inner) * inner), dimension_names=["clip", "neuron"],
        )  # fmt: skip
        weights = rng.standard_normal((FACTORS, size), np.float32) / 8
        for start in range(0, total, ROWS):
            part = f[start : start + ROWS] @ weights
            array[start : start + len(part)] = part + rng.standard_normal(part.shape, np.float32)
        paths = sorted(p for p in root.rglob("*") if p.is_file())
        writer.files(layer_artifact(name), "zarr", paths, [total, size], "float32", ["clip", "neuron"], "made")
    writer.json("layers", [layer.model_dump() for layer in layers])
    writer.json("classes", list(CATEGORIES))
    writer.notes = {"target": run.target.describe(), "checkpoint": "made", "pooling": "none", "precision": "float32",
                    "device": "cpu", "trained_folds": [], "neurons": sum(size for _, size in sizes)}  # fmt: skip


def made(stage: Stage) -> Stage:
    """Return the stage, its work replaced where it would need sound or a network."""
    if stage.name == "clips":
        return replace(stage, compute=make_clips)
    if stage.name == "activations":
        return replace(stage, compute=make_activations)
    return stage


def one(name: str, clips: int, neurons: int) -> None:
    """Run one stage."""
    vars(sys.modules["and_core.pipeline.run"])["STAGES"] = tuple(made(stage) for stage in STAGES)
    began, busy = time.perf_counter(), time.process_time()
    pipeline.run(config_of(clips, neurons), only=[name], force=True, progress=lambda *_: None)
    finish(seconds=time.perf_counter() - began, busy=time.process_time() - busy)


def wanted(config: RunConfig) -> list[str]:
    """Return the stages that run on made activations, in order."""
    return [stage.name for stage in STAGES if stage.wanted(Run(config, cache_root()))]


def rows() -> Iterator[Row]:
    """Each stage's processor time and peak memory at every size that is run, and the fitted exponent."""
    os.environ["AND_CACHE"] = str(cache_root() / "bench")
    given = os.environ.get("AND_GROWTH")
    sizes = [tuple(map(int, s.split("x"))) for s in given.split(",")] if given else list(SIZES)
    ends = time.monotonic() + float(os.environ.get("AND_GROWTH_SECONDS", "inf"))
    for neurons in NETWORKS:
        of_size = [clips for clips, count in sizes if count == neurons]
        yield from _rows_of(of_size, neurons, ends)


def _rows_of(sizes: list[int], neurons: int, ends: float) -> Iterator[Row]:
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    for clips in sizes:
        for stage in wanted(config_of(clips, neurons)):
            if time.monotonic() < ends:
                runs.setdefault(stage, {})[clips] = alone("benchmarks.growth", stage, str(clips), str(neurons))
                print(json.dumps([stage, clips, neurons, runs[stage][clips]]), file=sys.stderr, flush=True)
        shutil.rmtree(cache_root() / f"growth-{clips}x{neurons}", ignore_errors=True)
    for stage, by_clips in runs.items():
        seconds = [one["busy"] for one in by_clips.values()]
        peak = max(one["peak_mb"] for one in by_clips.values())
        exponent = _exponent(list(by_clips), seconds)
        measured = ", ".join(
            f"{clips:,}: {one['busy']:.1f} s, {one['peak_mb'] / 1024:.1f} GB" for clips, one in by_clips.items()
        )
        slow = max(seconds) >= FAST and len(seconds) > 1
        yield Row(
            f"growth of `{stage}`, {neurons:,} neurons (made activations)",
            f"{measured}; exponent {exponent:.2f}" if len(seconds) > 1 else measured,
            f"exponent {MOST_EXPONENT}, {MOST_MB / 1024:.0f} GB",
            (exponent <= MOST_EXPONENT or not slow) and peak < MOST_MB,
        )


def _exponent(clips: list[int], seconds: list[float]) -> float:
    """Return the slope between the two largest sizes, on logarithmic axes."""
    if len(clips) < 2:
        return float("nan")
    return float(np.log(seconds[-1] / max(seconds[-2], 1e-3)) / np.log(clips[-1] / clips[-2]))


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
