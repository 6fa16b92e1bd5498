"""Stage `intruder`: can a neuron's high clips be told from its low ones by sound alone, and which clips that sound like
them do not fire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.audio.measures import MEASURES
from and_core.dissect.probe import first_half
from and_core.evaluate.intruder import (
    COLUMNS,
    DRAWS,
    FIRES,
    HIGH,
    LEAST_CLIPS,
    NEGATIVES,
    both_ways,
    hard_negatives,
    measure_vectors,
    p_values,
    random_neurons,
    sound_vectors,
)
from and_core.pipeline.neurons import blocks, source_numbers
from and_core.pipeline.stage import Run, Stage
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 1024  # neurons a chunk
SURE = 0.05  # p-value at which notes count a neuron as told apart
UNITS = {
    "auroc": "chance .5; NaN for dead neurons and those that rest on nearly all clips",
    "found": "probability, chance .2",
    "p": "share of random neurons that do as well",
    "neighbours_fire": "share of the nearest clips",
    "neighbours_chance": "share of all clips",
}


def parameters(run: Run) -> dict[str, Any]:
    """Return which clips are used and how they are halved."""
    return {
        "seed": run.config.seed, "draws": DRAWS, "high": HIGH, "fires": FIRES, "negatives": NEGATIVES,
        "probe": run.config.probe.model_dump(mode="json", exclude_none=True),
    }  # fmt: skip


def vectors(d: Dissection, clips: np.ndarray) -> tuple[np.ndarray, str]:
    """Return sound vectors (A, D) of some clips, and by what: the text-audio encoder that heard them, else acoustic
    measures."""
    if d.has("sounds"):
        return sound_vectors(np.asarray(d.array("sounds/clip_embeddings"))[clips]), d.notes("sounds")["encoder"]
    measures = {name: values[clips] for name, values in d.measures(MEASURES).items()}
    return measure_vectors(measures), "acoustic measures"


def compute(run: Run, writer: StageWriter) -> None:
    """Compute the test and the hard negatives in blocks of neurons, and the test for neurons that fire at random.

    Cost: R N log N, and R N for each dimension of the sound vectors.
    """
    d, seed = run.dissection, run.config.seed
    clips = np.flatnonzero(run.explained_from)
    first = first_half(d.clips, seed)[clips]
    sizes = [int(first.sum()), int((~first).sum())]
    notes = {"clips": sizes, "seed": seed, "draws": DRAWS}
    if min(sizes) < LEAST_CLIPS:
        columns = {name: np.zeros(0, np.float32) for name in UNITS}
        writer.table("tests", pa.table({"neuron": np.zeros(0, np.int32), **columns}), UNITS)
        writer.array("negatives", np.zeros((0, NEGATIVES), np.int32), ["neuron", "rank"], "clip number")
        reason = f"a half holds fewer than {LEAST_CLIPS} clips, too few to tell high ones from low ones"
        writer.notes = {**notes, "reason": reason}
        return
    x, by = vectors(d, clips)
    parts = blocks(d, BLOCK)
    starts = range(0, DRAWS, BLOCK)
    sources = source_numbers(d)[clips]

    def chunk(i: int) -> dict[str, np.ndarray]:
        if i >= len(parts):
            start = starts[i - len(parts)]
            u = random_neurons(sources, min(BLOCK, DRAWS - start), [seed, start])
            return {"z": both_ways(u, x, first)["z"]}
        name, units = parts[i]
        u = np.ascontiguousarray(np.asarray(d.layer_activations(name, units), np.float32)[clips].T)
        near = hard_negatives(u, x)
        return {**both_ways(u, x, first), "negatives": np.where(near >= 0, clips[near], -1)}

    total = d.neuron_count + DRAWS
    chunks = list(run.chunks(writer, len(parts) + len(starts), chunk, total, BLOCK))
    tested, null = chunks[: len(parts)], np.concatenate([arrays["z"] for arrays in chunks[len(parts) :]])
    values = {name: np.concatenate([arrays[name] for arrays in tested]) for name in COLUMNS}
    negatives = np.concatenate([arrays["negatives"] for arrays in tested]).astype(np.int32)
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    values["p"] = p_values(values.pop("z"), null)
    for column in values.values():
        column[dead] = np.nan
    negatives[dead] = -1
    columns = {name: values[name].astype(np.float32) for name in UNITS}
    writer.table("tests", pa.table({"neuron": np.arange(d.neuron_count, dtype=np.int32), **columns}), UNITS)
    writer.array("negatives", negatives, ["neuron", "rank"], "clip number, nearest first; -1 for none")
    known = np.isfinite(values["p"])
    writer.notes = {
        **notes,
        "by": by,
        "tested": int(known.sum()),
        "told_apart": int((values["p"][known] <= SURE).sum()),
        "sure": SURE,
        **{f"{name}_mean": round(float(values[name][known].mean()), 4) if known.any() else None for name in UNITS},
    }


STAGE = Stage(
    "intruder",
    "Telling high clips from low ones by sound",
    ("clips", "activations", "neurons"),
    parameters,
    compute,
    optional=("sounds",),
    wanted=lambda run: run.config.scores is not None,
)
