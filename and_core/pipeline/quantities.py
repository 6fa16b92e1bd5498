"""Stage `quantities`: which acoustic measure each neuron follows, chosen on one half of the clips and judged on
the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.audio.quantities import QUANTITIES, clip_measures
from and_core.dissect.probe import first_half
from and_core.evaluate.quantities import (
    BINS,
    FLOOR,
    LEVEL,
    SAME,
    Correlations,
    Split,
    correlate,
    followed,
    halves,
    likeness,
    recordings,
)
from and_core.pipeline.neurons import blocks, source_numbers
from and_core.pipeline.scores import presence
from and_core.pipeline.stage import Run, Stage
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 512  # neurons a chunk
FIELDS = ("every", "first", "second", "by_measure", "by_concept")


def parameters(run: Run) -> dict[str, Any]:
    """Return the seed of the halves, which clips count, and what makes a neuron follow a measure."""
    return {
        "seed": run.config.seed,
        "probe": run.config.probe.model_dump(mode="json", exclude_none=True),
        "presence": run.config.closed.softmax_scale,
        "floor": FLOOR,
        "level": LEVEL,
        "same": SAME,
        "bins": BINS,
    }


def concept_presence(d: Dissection, scale: float) -> np.ndarray:
    """Return (N, C) presence of every concept that there is: labels, and what captions and sounds make probable."""
    parts = [d.label_mask.astype(np.float32)]
    if d.has("texts"):
        parts.append(presence(d, scale))
    return np.concatenate(parts, 1)


def correlated_blocks(blocks: Iterable[np.ndarray], split: Split, threads: int) -> Iterator[Correlations]:
    """Yield the correlations of blocks (R, N) of activations, each block shared among threads."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for u in blocks:
            parts = [part for part in np.array_split(u, max(1, threads)) if len(part)]
            yield joined(list(pool.map(lambda part: correlate(part, split), parts)))


def joined(parts: list[Correlations]) -> Correlations:
    """Return the correlations of several blocks of neurons as one."""
    return Correlations(
        *(np.concatenate([getattr(c, name) for c in parts], 1 if name.startswith("by") else 0) for name in FIELDS)
    )


def compute(run: Run, writer: StageWriter) -> None:
    """Compute every measure against every neuron, in blocks of neurons.

    Cost: R N log N, and R N for each measure and concept.
    """
    d, used = run.dissection, run.explained_from
    by_name = clip_measures(d)
    names = list(by_name)
    measures = np.stack(list(by_name.values()), 1)
    concepts = concept_presence(d, run.config.closed.softmax_scale)
    split = halves(measures, concepts, first_half(d.clips, run.config.seed), used)
    parts = blocks(d, BLOCK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        name, units = parts[i]
        u = np.asarray(d.layer_activations(name, units), np.float32).T
        c = next(correlated_blocks([u], split, run.config.workers))
        return {field: getattr(c, field) for field in FIELDS}

    chunks = run.chunks(writer, len(parts), chunk, d.neuron_count, BLOCK)
    every = joined([Correlations(**arrays) for arrays in chunks])
    count = recordings(measures, source_numbers(d), used)
    f = followed(every, likeness(measures, used), count)
    dead = d.table("neurons/statistics")["dead"].to_numpy(zero_copy_only=False)
    follows, measure = f.follows & ~dead, np.where(dead, -1, f.measure)
    columns = {
        "neuron": np.arange(d.neuron_count, dtype=np.int32),
        "measure": pa.array([names[m] if m >= 0 else None for m in measure.tolist()], pa.string()),
        "spearman": _number(f.spearman),
        "sign": np.nan_to_num(np.sign(f.spearman)).astype(np.int8),
        "p": _number(f.p),
        "by_measure": _number(f.by_measure),
        "by_concept": _number(f.by_concept),
        "follows": follows,
    }
    about = {
        "spearman": "held-out Spearman correlation",
        "p": "corrected over all neurons and measures (Benjamini and Yekutieli)",
        "by_measure": "held-out Pearson correlation of the activation with what the measure predicts",
        "by_concept": "the same with the best single concept",
    }
    writer.table("neurons", pa.table(columns), about)
    writer.json("words", {name: asdict(QUANTITIES[name]) for name in names})
    writer.array("correlations", every.every, ["neuron", "measure"], "Spearman correlation over all clips that count")
    writer.table("clips", pa.table({name: _number(values) for name, values in by_name.items()}))
    told = {name: int(((measure == i) & follows).sum()) for i, name in enumerate(names)}
    writer.notes = {
        "measures": names,
        "recordings": count.tolist(),
        "neurons": int((~dead).sum()),
        "follow": int(follows.sum()),
        "told": {name: number for name, number in told.items() if number},
        "concepts": int(concepts.shape[1]),
        "seed": run.config.seed,
    }


def _number(values: np.ndarray) -> pa.Array:
    """Return a column of numbers, none for NaN."""
    return pa.array(values, from_pandas=True)


STAGE = Stage(
    "quantities",
    "Neurons against acoustic measures",
    ("clips", "activations", "neurons"),
    parameters,
    compute,
    optional=("texts", "sounds", "labels"),
)
