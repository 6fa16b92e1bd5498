"""Stage `clips`: every clip decoded once; measured, and kept as sound and spectrogram for the dashboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.audio.measures import MEASURES, UNITS
from and_core.datasets.base import ClipRef
from and_core.datasets.prepare import Job, leave_with_parent, prepare_chunk
from and_core.dissect.streamed.sample import drawn
from and_core.errors import DataError
from and_core.pipeline.stage import Run, Stage
from and_core.store.chunks import read_mark
from and_core.store.writer import StageWriter

PER_CHUNK = 32
BITS = 24  # of the sound that is kept, which the network hears
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)  # for each worker
PARALLEL_FROM = 96  # clips; below that, starting worker processes costs more than it brings


def parameters(run: Run) -> dict[str, Any]:
    """Return the data and how they are read."""
    later = run.captioner.later_measures  # clips that were measured before there were these are measured anew for them
    return {
        **({"measures": list(later)} if later else {}),
        "dataset": run.dataset.identifying_settings(),
        "fingerprint": run.dataset_fingerprint,
        "chunk": PER_CHUNK,
        "bits": BITS,
        **({"packed": run.config.activations.stream_kept, "seed": run.config.seed} if run.streamed else {}),
    }


def compute(run: Run, writer: StageWriter) -> None:
    """Work through the clips in chunks, several at a time, then join the tables.

    Of more clips than `activations.stream_beyond`, those that are drawn are kept as sound, and references to the rest.

    Cost: N.
    """
    refs = run.dataset.references()
    chunks = [refs[i : i + PER_CHUNK] for i in range(0, len(refs), PER_CHUNK)]
    packed: list[list[int]] | None = None
    if run.streamed:
        kept = drawn([ref.name for ref in refs], run.config.activations.stream_kept, run.config.seed)
        packed = [np.flatnonzero(kept[i : i + PER_CHUNK]).tolist() for i in range(0, len(refs), PER_CHUNK)]
    prepare(run, writer.out, writer.chunks, chunks, packed, "clips")
    _join(run, writer, len(chunks))


def prepare(
    run: Run, out: Path, marks: Path, chunks: list[list[ClipRef]], packed: list[list[int]] | None, what: str
) -> None:
    """Prepare chunks of clips that are not marked yet, several at a time."""
    total, finished = sum(map(len, chunks)), 0
    jobs: list[Job] = []
    for i, chunk in enumerate(chunks):
        if read_mark(marks / f"{i:06d}")[0]:
            finished += len(chunk)
        else:
            jobs.append((run.dataset, i, chunk, str(out), str(marks), None if packed is None else packed[i]))
    run.progress(what, finished, total)
    if len(jobs) * PER_CHUNK >= PARALLEL_FROM and run.config.workers > 1:
        from loky import ProcessPoolExecutor

        with ProcessPoolExecutor(
            run.config.workers, initializer=leave_with_parent, initargs=(os.getpid(),), env=ONE_THREAD
        ) as pool:
            for job, _ in zip(jobs, pool.map(prepare_chunk, jobs), strict=True):
                finished += len(job[2])
                run.progress(what, finished, total)
    else:
        for job in jobs:
            prepare_chunk(job)
            finished += len(job[2])
            run.progress(what, finished, total)


def _join(run: Run, writer: StageWriter, count: int) -> None:
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    packs: list[int] = []
    for number in range(count):
        part = writer.noted(number)
        if (writer.out / f"audio-{number:05d}.pack").exists():
            packs.append(number)
        for row in part["rows"]:
            row["pack"] = len(packs) - 1 if row.get("packed", True) else None
            row.pop("place", None)
        rows += part["rows"]
        skipped += part["skipped"]
    if not rows:
        reasons = "; ".join(f"{s['name']}: {s['reason']}" for s in skipped[:5])
        raise DataError(f"none of the {len(skipped)} clips can be used: {reasons}")
    columns = dict.fromkeys(
        key for row in rows for key in row
    )  # a column that the first clip lacks is a column all the same
    for index, row in enumerate(rows):
        row |= {key: None for key in columns if key not in row}
        row["index"] = index
        if "labels" in columns and row["labels"] is None:
            row["labels"] = [] if row["label"] is None else [row["label"]]
        for key in MEASURES:
            row[key] = None if row[key] != row[key] else row[key]  # NaN: the measure has no meaning here
    writer.provenance = run.dataset.provenance
    writer.table("clips", pa.Table.from_pylist(rows), {**UNITS, "seconds": "s", "rate": "Hz", "peak": "full scale"})
    schema = pa.schema([("name", pa.string()), ("reason", pa.string())])
    writer.table("skipped", pa.Table.from_pylist(skipped, schema=schema))
    for what, dtype in (("audio", "flac"), ("spectrogram", "jpeg")):
        paths = [writer.out / f"{what}-{number:05d}.pack" for number in packs]
        writer.files(what, "pack", paths, [len(rows)], dtype, ["clip"])
    beyond = [row["name"] for row in rows if row["peak"] > 1]
    writer.notes = {
        "dataset": run.dataset.describe(), "clips": len(rows), "skipped": len(skipped),
        "without_label": sum(r["label"] is None for r in rows),
        **({"scaled": len(beyond), "scaled_names": beyond[:20]} if beyond else {}),
    }  # fmt: skip


STAGE = Stage("clips", "Decoding and measuring clips", (), parameters, compute)
