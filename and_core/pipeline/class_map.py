"""Stage `class_map`: which labels of the collection each class of the network stands for, as a file says."""

from __future__ import annotations

import hashlib
from typing import Any

from and_core.errors import DataError
from and_core.labels.class_map import check_class_map, read_class_map
from and_core.pipeline.stage import Run, Stage
from and_core.store.clips import classes_of
from and_core.store.writer import StageWriter


def parameters(run: Run) -> dict[str, Any]:
    """Return the file's content."""
    path = run.config.class_map
    assert path is not None
    try:
        return {"file": hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError as error:
        raise DataError(f"class_map={str(path)!r} can't be read: {error.strerror}") from None


def compute(run: Run, writer: StageWriter) -> None:
    """Check the pairs against the network's classes and the clips' labels, and keep them.

    Cost: N.

    Raises
    ------
    DataError
        A class or a label that there is not, or a map that covers no class.
    """
    path, d = run.config.class_map, run.dissection
    assert path is not None
    class_map = read_class_map(path)
    warnings = check_class_map(class_map, d.target_classes or [], classes_of(d.clips_as_given))
    for warning in warnings:
        run.say(f"class_map: {warning}")
    writer.json("pairs", [list(pair) for pair in class_map.pairs])
    writer.notes = {"pairs": len(class_map.pairs), "warnings": warnings}
    run.progress("class_map", 1, 1)


STAGE = Stage(
    "class_map",
    "Reading the class map",
    ("clips", "activations"),
    parameters,
    compute,
    wanted=lambda run: run.config.class_map is not None and not run.recorded,
    reads="named",
)
