"""Stages `neurons` (extreme clips and statistics) and `similar` (neurons that fire alike)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from and_core.config import MAX_K, ProbeConfig
from and_core.dissect import device_statistics, statistics
from and_core.dissect.neighbours import CANDIDATES, DIMENSIONS, SEED, alike
from and_core.pipeline.forward_pass import UNIT_CHUNK
from and_core.pipeline.stage import Run, Stage
from and_core.store.clips import classes_of, mask_of
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 2048  # neurons a chunk
NEIGHBOURS = 6
EXACT_CLIPS = 4096  # up to these, all pairs of neurons are compared, and maps come of a matrix of clips by clips
CLIPS_AT_ONCE = 256


def blocks(dissection: Dissection, most: int = BLOCK, times: int = 1) -> list[tuple[str, slice]]:
    """Return (layer, units) chunks of at most so many neurons, in network order; of fewer where there are more than
    :data:`EXACT_CLIPS` clips, so that a chunk's activations do not grow with them.

    Then a chunk holds 8 million activations, or a number of `times` as many: each opens every file of its layer, so
    what needs little memory beside reads more at once.
    """
    clips = len(dissection.activation_clips)
    if clips > EXACT_CLIPS:
        most = min(most, max(1, times * BLOCK * EXACT_CLIPS // clips // UNIT_CHUNK) * UNIT_CHUNK)
    return [
        (layer.name, slice(i, min(i + most, layer.size)))
        for layer in dissection.layers
        for i in range(0, layer.size, most)
    ]


def source_numbers(dissection: Dissection) -> np.ndarray:
    """Return (N,) number of each clip's source recording; a clip without one is a source of its own."""
    names = [clip.source_name for clip in dissection.clips]
    return np.unique(np.array(names), return_inverse=True)[1]


def compute(run: Run, writer: StageWriter) -> None:
    """Compute statistics in blocks of neurons, over the clips that explanations are made from.

    Those of a streamed pass are over all clips, and are taken over from there; a view, which is explained from some
    clips alone, takes its own from the clips whose activations are kept.

    Cost: N R, a partial selection for extreme clips.
    """
    if run.dissection.streamed is not None and run.config.probe == run.streamed_probe:
        of_all_clips(run, writer)
        return
    d, config = run.dissection, run.config.neurons
    used = np.flatnonzero(run.explained_from)
    given = d.clips_as_given  # means over corrected labels are the stage `labels`', so that a correction moves no rank
    label_mask = mask_of(given, classes_of(given))[used]
    sources = np.unique(source_numbers(d)[used], return_inverse=True)[1] if config.one_per_source else None
    parts = blocks(d, times=2)

    def chunk(i: int) -> dict[str, np.ndarray]:
        u: Any = np.asarray(d.layer_activations(*parts[i]), np.float32)[used]
        taken: Any = statistics
        if run.device != "cpu":
            u, taken = torch.from_numpy(u).to(run.device), device_statistics
        high, low = taken.extreme(u, sources), taken.extreme(-u, sources)
        return {
            "high_clips": numbered(high[0]),
            "high_values": high[1],
            "low_clips": numbered(low[0]),
            "low_values": -low[1],
            "histograms": taken.histograms(u, config.bins),
            "class_means": taken.class_means(u, label_mask),
            **taken.moments(u),
        }

    def numbered(clips: np.ndarray) -> np.ndarray:
        return np.where(clips >= 0, used[np.maximum(clips, 0)], -1).astype(np.int32)

    columns: dict[str, list[np.ndarray]] = {}
    for arrays in run.chunks(writer, len(parts), chunk):
        for name, value in arrays.items():
            columns.setdefault(name, []).append(value)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    for side in ("high", "low"):
        writer.array(f"{side}_clips", joined.pop(f"{side}_clips"), ["neuron", "rank"], "clip index, -1 for none")
        writer.array(f"{side}_values", joined.pop(f"{side}_values"), ["neuron", "rank"], "the target's own")
    writer.array("histograms", joined.pop("histograms"), ["neuron", "bin"], "clips")
    writer.array("class_means", joined.pop("class_means"), ["neuron", "class"], "the target's own")
    writer.table("statistics", pa.table({"neuron": np.arange(d.neuron_count, dtype=np.int32), **joined}))
    writer.notes = {
        "dead": int(joined["dead"].sum()),
        "one_per_source": config.one_per_source,
        "ranked": len(used) if sources is None else int(sources.max()) + 1,
    }


def of_all_clips(run: Run, writer: StageWriter) -> None:
    """Take over the statistics of a streamed pass."""
    d = run.dissection
    for side in ("high", "low"):
        for what, unit in (("clips", "clip index, -1 for none"), ("values", "the target's own")):
            array = np.asarray(d.array(f"activations/{side}_{what}"))[:, :MAX_K]
            writer.array(f"{side}_{what}", array, ["neuron", "rank"], unit)
    writer.array("histograms", d.array("activations/histograms"), ["neuron", "bin"], "clips")
    writer.array("bins", d.array("activations/bins"), ["neuron", "low, high"], "the target's own")
    writer.array("class_means", d.array("activations/class_means"), ["neuron", "class"], "the target's own")
    statistics = d.table("activations/statistics")
    writer.table("statistics", statistics)
    streamed = d.streamed
    assert streamed is not None
    writer.notes = {
        "dead": int(statistics["dead"].to_numpy(zero_copy_only=False).sum()),
        "one_per_source": run.config.neurons.one_per_source,
        "ranked": streamed["ranked"],
        "over": "all clips",
    }
    run.progress("neurons", 1, 1)


def similar(run: Run, writer: StageWriter) -> None:
    """Compute each neuron's nearest by correlation of activations over the probing set; dead neurons have and are none.

    Blocks of neurons are read from the store and multiplied pair by pair, so memory holds two blocks, not all
    activations.

    Cost: N R^2 up to 4,096 clips; beyond, N R by projection, and R^2 without clips.
    """
    d = run.dissection
    count = min(NEIGHBOURS, d.neuron_count - 1)
    if len(d.clips) > EXACT_CLIPS:
        nearest_of_many(run, writer, count)
        return
    parts = blocks(d)
    dead = torch.from_numpy(d.table("neurons/statistics")["dead"].to_numpy()).to(run.device)
    offsets = [d.layer(name).offset + units.start for name, units in parts]

    def unit_columns(i: int) -> torch.Tensor:
        u = torch.from_numpy(np.asarray(d.layer_activations(*parts[i]), np.float32)).to(run.device)
        u = u - u.mean(0)
        return u / u.norm(dim=0).clamp_min(1e-12)

    def chunk(i: int) -> dict[str, np.ndarray]:
        columns = unit_columns(i)
        rows = torch.arange(columns.shape[1], device=run.device)
        values = torch.empty(columns.shape[1], 0, device=run.device)
        indices = torch.empty(columns.shape[1], 0, dtype=torch.int64, device=run.device)
        for j, offset in enumerate(offsets):
            block = columns.T @ (columns if i == j else unit_columns(j))
            if i == j:
                block[rows, rows] = -2.0
            block[:, dead[offset : offset + block.shape[1]]] = -2.0
            best = block.topk(min(count, block.shape[1]), dim=1)
            values, indices = torch.cat([values, best.values], 1), torch.cat([indices, best.indices + offset], 1)
            kept = values.topk(min(count, values.shape[1]), dim=1)
            values, indices = kept.values, indices.gather(1, kept.indices)
        alive = (values > -2.0) & ~dead[offsets[i] : offsets[i] + len(rows)][:, None]
        return {
            "neurons": torch.where(alive, indices, -1).cpu().numpy().astype(np.int32),
            "correlations": torch.where(alive, values, torch.nan).cpu().numpy().astype(np.float32),
        }

    chunks = list(run.chunks(writer, len(parts), chunk))
    write_neighbours(writer, {name: np.concatenate([f[name] for f in chunks]) for name in ("neurons", "correlations")})


def nearest_of_many(run: Run, writer: StageWriter, count: int) -> None:
    """Compute the same among more than :data:`EXACT_CLIPS` clips: candidates by random projection, then their true
    correlations, in five passes over the activations."""
    d = run.dissection
    rows = d.table("neurons/statistics")

    def whole(_: int) -> dict[str, np.ndarray]:
        neurons, correlations = alike(
            lambda: d.activation_rows(CLIPS_AT_ONCE),
            rows["dead"].to_numpy(),
            rows["mean"].to_numpy(),
            count,
            run.device,
        )
        return {"neurons": neurons, "correlations": correlations}

    (arrays,) = run.chunks(writer, 1, whole)
    write_neighbours(writer, arrays)
    writer.notes = {"candidates": CANDIDATES, "dimensions": DIMENSIONS, "seed": SEED}


def write_neighbours(writer: StageWriter, arrays: dict[str, np.ndarray]) -> None:
    """Write each neuron's nearest and their correlations."""
    for name, unit in (("neurons", "neuron index, -1 for none"), ("correlations", "Pearson correlation")):
        writer.array(name, arrays[name], ["neuron", "rank"], unit)


def parameters(run: Run) -> dict[str, Any]:
    """Return how clips are ranked, and which, where some are left out."""
    probe = (
        {}
        if run.config.probe == ProbeConfig()
        else {"probe": run.config.probe.model_dump(mode="json", exclude_none=True), "seed": run.config.seed}
    )
    return run.config.neurons.model_dump() | probe


STAGE = Stage("neurons", "Ranking clips for every neuron", ("clips", "activations"), parameters, compute, reads="named")
SIMILAR = Stage(
    "similar",
    "Finding neurons that fire alike",
    ("activations", "neurons"),
    lambda run: {"neighbours": NEIGHBOURS},
    similar,
)
