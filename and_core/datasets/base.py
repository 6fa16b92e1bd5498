"""What every probing dataset offers."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field

from and_core.audio.decode import read_audio
from and_core.datasets.files import sound_files
from and_core.errors import DataError
from and_core.records import Provenance, settled_labels
from and_core.registry import FilePath, Plugin, Registry, Settings
from and_core.store.files import plain_file


@dataclass(frozen=True)
class ClipRef:
    """A clip before it is decoded: give its one `label`, or its `labels`.

    `extra` holds further columns (title, author, the truth of a synthetic clip).
    """

    name: str
    label: str | None = None
    fold: int | None = None
    source: str | None = None
    path: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        label, labels = settled_labels(self.label, self.labels)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "labels", labels)

    @property
    def identity(self) -> bytes:
        """What tells the clip from others, but for its sound."""
        several = (self.labels,) if len(self.labels) > 1 else ()
        return repr((self.name, self.label, self.fold, self.source, sorted(self.extra.items()), *several)).encode()


def read_rows(table: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row of a CSV whose `required` columns must be there and filled.

    Raises
    ------
    DataError
        Unreadable, a column is missing, or a cell is empty; the message names file, line and column.
    """
    try:
        with open(plain_file(table), newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} can't be read: {error}") from None
    missing = [name for name in required if not rows or name not in rows[0]]
    if missing:
        raise DataError(f"{table} lacks the columns {', '.join(missing)}")
    for number, row in enumerate(rows, 2):
        empty = [name for name in required if not row[name]]
        if empty:
            raise DataError(f"{table} line {number}: {', '.join(empty)} is empty")
        yield number, row


def unlisted(folder: Path, refs: list[ClipRef]) -> dict[str, int]:
    """Count the sound files below a folder that no clip is, and what is no sound."""
    listed = {os.path.realpath(ref.path) for ref in refs if ref.path is not None}
    sounds = sound_files(folder)
    without = sum(os.path.realpath(path) not in listed for _, path in sounds.files)
    return {**({"sound without a row": without} if without else {}), **dict(sorted(sounds.passed_over.items()))}


class FileDatasetSettings(Settings):
    """`path`: the folder; `max_seconds`: the longest clip that is taken."""

    path: FilePath
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0


S = TypeVar("S", bound=Settings)
F = TypeVar("F", bound=FileDatasetSettings)


class Dataset(Plugin[S]):
    """A list of clips and a way to hear each."""

    provenance: Provenance = "computed"

    def references(self) -> list[ClipRef]:
        """Return every clip, in an order that does not depend on the file system."""
        raise NotImplementedError

    def read(self, ref: ClipRef) -> tuple[np.ndarray, int]:
        """Return waveform (samples,) float32 mono and its rate.

        :class:`DataError` says what is wrong with a bad clip.
        """
        raise NotImplementedError

    def check(self) -> tuple[dict[str, int], list[str]]:
        """Return counts (clips, classes, folds, sources) and the names of files that are not there, without decoding
        anything."""
        refs = self.references()
        counts = {"clips": len(refs)}
        counts["classes"] = len({label for ref in refs for label in ref.labels})
        for what in ("fold", "source"):
            counts[f"{what}s"] = len({getattr(r, what) for r in refs} - {None})
        return counts, [r.name for r in refs if r.path is not None and not Path(r.path).is_file()]

    def fresh_settings(self) -> dict[str, Any] | None:
        """Return settings that give other clips of the same kind, to fit on; None where there are no others."""
        return None

    def passed_over(self) -> dict[str, int]:
        """Count what lies in the data set's folder and is no clip: kind -> how many."""
        return {}

    def columns(self, ref: ClipRef) -> Mapping[str, object]:
        """Return further columns of a clip's row in the clips table."""
        return ref.extra

    def fingerprint(self) -> str:
        """Return the identity of the content: names, labels, folds and the bytes of every file."""
        digest = hashlib.sha256()
        for ref in self.references():
            digest.update(ref.identity)
            if ref.path and Path(ref.path).is_file():
                with open(ref.path, "rb") as handle:
                    digest.update(hashlib.file_digest(handle, "sha256").digest())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return one line for provenance."""
        return self.kind


class FileDataset(Dataset[F]):
    """Sound files in a folder."""

    Settings = FileDatasetSettings

    def read(self, ref: ClipRef) -> tuple[np.ndarray, int]:
        """Decode the clip's file."""
        assert ref.path is not None
        return read_audio(ref.path, self.settings.max_seconds)

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"{self.kind}: {self.settings.path.name}"


DATASETS: Registry[Dataset[Any]] = Registry("dataset", "and_core.datasets")
