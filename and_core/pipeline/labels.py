"""Stage `labels`: labels of clips that somebody corrected, and what of the neurons they change by themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.dissect.statistics import class_means
from and_core.errors import DataError
from and_core.pipeline.neurons import blocks
from and_core.pipeline.stage import Run, Stage
from and_core.records import joined_labels
from and_core.store.clips import classes_of, mask_of
from and_core.store.files import plain_file
from and_core.store.writer import StageWriter

ROWS = pa.schema([("clip", pa.int32()), ("labels", pa.list_(pa.string()))])


def _data(run: Run) -> bytes:
    path = run.config.labels
    assert path is not None
    try:
        return plain_file(Path(path)).read_bytes()
    except OSError as error:
        raise DataError(f"labels={str(path)!r} can't be read: {error.strerror}") from None


def read_labels(data: bytes, path: str) -> dict[str, tuple[str, ...]]:
    """Return file name -> labels.

    Raises
    ------
    DataError
        The bytes are no such JSON object.
    """
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        given = None
    rows = given.values() if isinstance(given, dict) else [None]
    if not all(isinstance(labels, list) and all(isinstance(x, str) and x for x in labels) for labels in rows):
        raise DataError(f"labels={path!r} is no JSON object of file name to a list of labels")
    assert isinstance(given, dict)
    return {str(name): tuple(dict.fromkeys(labels)) for name, labels in given.items()}


def parameters(run: Run) -> dict[str, Any]:
    """Return the file's content, and which clips means are taken over."""
    probe = run.config.probe.model_dump(mode="json", exclude_none=True)
    return {"file": hashlib.sha256(_data(run)).hexdigest(), "probe": probe, "seed": run.config.seed}


def compute(run: Run, writer: StageWriter) -> None:
    """Keep the corrected labels of the clips that are there, and compute each neuron's mean over each class anew.

    Ranks, histograms and moments hold no label, so the stage `neurons` stays.

    Cost: N R.
    """
    d, path = run.dissection, str(run.config.labels)
    corrected = read_labels(_data(run), path)
    given = d.clips_as_given
    changed = {c.index: corrected[c.name] for c in given if corrected.get(c.name, c.labels) != c.labels}
    standing = [
        clip.model_copy(update={"label": joined_labels(changed[i]), "labels": changed[i]}) if i in changed else clip
        for i, clip in enumerate(given)
    ]
    rows = [{"clip": clip, "labels": list(labels)} for clip, labels in changed.items()]
    used = np.flatnonzero(run.explained_from)
    mask, parts = mask_of(standing, classes_of(standing))[used], blocks(d)

    def chunk(i: int) -> dict[str, np.ndarray]:
        return {"means": class_means(np.asarray(d.layer_activations(*parts[i]), np.float32)[used], mask)}

    means = [arrays["means"] for arrays in run.chunks(writer, len(parts), chunk)]
    writer.table("labels", pa.Table.from_pylist(rows, ROWS))
    writer.array("class_means", np.concatenate(means), ["neuron", "class"], "the target's own")
    writer.notes = {"corrected": len(rows), "of": len(corrected)}


STAGE = Stage(
    "labels",
    "Taking over corrected labels",
    ("clips", "activations"),
    parameters,
    compute,
    wanted=lambda run: run.config.labels is not None,
    reads="named",
)
