"""Any data set of the Hugging Face hub that has an audio column, through `datasets`."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from huggingface_hub.constants import HF_HUB_CACHE
from pydantic import Field

from and_core.audio.decode import MAX_DECODED_BYTES, check_file, read_audio
from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.errors import DataError, MissingExtra, first_line
from and_core.registry import PathMark, Settings
from and_core.store.files import lies_in


class HubDatasetSettings(Settings):
    """`id`: ``owner/name`` or a local folder; `config`, `split`, `revision` as `datasets` takes them.

    Names of the columns.
    """

    id: Annotated[str, PathMark(always=False, identifies=True)]
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    audio: str = "audio"
    label: str | None = "label"
    fold: str | None = None
    source: str | None = None
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0

    def reaches(self) -> list[str]:
        """Return the hub, for all but a folder."""
        return [] if Path(self.id).is_dir() else [f"fetches the data set {self.id}"]


@DATASETS.register
class HubDataset(Dataset[HubDatasetSettings]):
    """Clips of one split; bytes are decoded here like every other clip's.

    Other plain columns are kept, for captions among them.
    """

    kind = "hub"

    @cached_property
    def _table(self) -> Any:
        try:
            import datasets
        except ImportError:
            raise MissingExtra("datasets", "hub", "dataset.kind='hub'") from None
        s = self.settings
        try:
            table = datasets.load_dataset(s.id, s.config, split=s.split, revision=s.revision)
        except Exception as error:  # noqa: BLE001 - the hub, the network and every file format have errors of their own
            raise DataError(f"dataset.id={s.id!r} can't be loaded: {_cause(error)}") from None
        if not isinstance(table.features.get(s.audio), datasets.Audio):
            hearing = [name for name, feature in table.features.items() if isinstance(feature, datasets.Audio)]
            raise DataError(
                f"dataset.audio={s.audio!r} is no audio column of {s.id}; there are: {', '.join(hearing) or 'none'}"
            )
        for what in ("label", "fold", "source"):
            column = getattr(s, what)
            if (
                column is not None
                and column not in table.features
                and (what != "label" or "label" in s.model_fields_set)
            ):
                raise DataError(
                    f"dataset.{what}={column!r} is no column of {s.id}; there are: {', '.join(table.features)}"
                )
            feature = table.features.get(column)
            if what == "label" and hasattr(feature, "feature"):
                feature = feature.feature  # a list: several labels a clip
            if feature is not None and not isinstance(feature, datasets.ClassLabel | datasets.Value):
                raise DataError(
                    f"dataset.{what}={column!r} of {s.id} holds {type(feature).__name__.lower()}s, not one value a "
                    "clip; choose another column" + (" (or lists of names, or label: null)" if what == "label" else "")
                )
        return table.cast_column(s.audio, datasets.Audio(decode=False))

    @cached_property
    def _references(self) -> list[ClipRef]:
        s = self.settings
        table = self._table
        features = table.features
        label: Any = features.get(s.label) if s.label is not None else None
        label = getattr(label, "feature", label)
        rest = table.remove_columns([s.audio])
        refs: list[ClipRef] = []
        seen: set[str] = set()
        for i, (row, sound) in enumerate(zip(rest, table.select_columns([s.audio]), strict=True)):
            name = Path(sound[s.audio]["path"] or f"{s.split}-{i:06d}").name
            name = name if name not in seen else f"{s.split}-{i:06d}-{name}"
            seen.add(name)
            value = row.get(s.label) if s.label is not None else None
            labels = [_label(label, one) for one in (value if isinstance(value, list) else [value])]
            extra = {
                k: v
                for k, v in row.items()
                if (v is None or isinstance(v, str | int | float)) and k not in (s.label, s.fold, s.source)
            }
            source = row.get(s.source) if s.source else None
            refs.append(
                ClipRef(
                    name,
                    None,
                    _whole(row[s.fold], s.fold) if s.fold else None,
                    None if source is None else str(source),
                    None,
                    {**extra, "hub_row": i},
                    tuple(name for name in labels if name is not None),
                )
            )
        return refs

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, which get their own clips' references and need no other."""
        return {k: v for k, v in self.__dict__.items() if k != "_references"}

    def references(self) -> list[ClipRef]:
        """Return clips in the split's order."""
        return self._references

    def _bytes(self, row: int) -> bytes:
        sound = self._table[row][self.settings.audio]
        if sound["bytes"] is not None:
            return bytes(sound["bytes"])
        path = Path(sound["path"] or "")
        if not (path.is_absolute() and any(lies_in(path, folder) for folder in self._folders)):
            raise DataError("missing: the row holds no sound, and the file that it names is no part of the data set")
        check_file(path)
        if path.stat().st_size > MAX_DECODED_BYTES:
            raise DataError(f"too large: {path.stat().st_size} bytes, at most {MAX_DECODED_BYTES} are read")
        return path.read_bytes()

    @cached_property
    def _folders(self) -> list[Path]:
        """Where files of the data set lie: its own folder, or where `datasets` puts what it fetches."""
        import datasets

        own = Path(self.settings.id)
        return [own] if own.is_dir() else [Path(datasets.config.HF_DATASETS_CACHE), Path(HF_HUB_CACHE)]

    def read(self, ref: ClipRef) -> tuple[np.ndarray, int]:
        """Decode the row's bytes."""
        with tempfile.NamedTemporaryFile(suffix=Path(ref.name).suffix) as file:
            file.write(self._bytes(int(str(ref.extra["hub_row"]))))
            file.flush()
            return read_audio(file.name, self.settings.max_seconds)

    def fingerprint(self) -> str:
        """Return names, labels, folds and the bytes of every clip."""
        digest = hashlib.sha256()
        for ref in self.references():
            digest.update(ref.identity)
            try:
                sound = self._bytes(int(str(ref.extra["hub_row"])))
            except DataError as error:  # the clip is left out, and listed with the reason
                sound = str(error).encode()
            digest.update(hashlib.sha256(sound).digest())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return one line for provenance."""
        s = self.settings
        return f"hub: {Path(s.id).name if Path(s.id).is_dir() else s.id}, {s.split}"


def _label(feature: Any, value: Any) -> str | None:
    """Return a label's name; -1 and nothing stand for none."""
    if value is None or value == -1:
        return None
    return str(feature.int2str(value) if hasattr(feature, "int2str") else value)


def _cause(error: BaseException) -> str:
    """Return what an error says, and what lies at its root."""
    root: BaseException = error
    seen = {id(error)}
    while (deeper := root.__cause__ or root.__context__) is not None and id(deeper) not in seen:
        seen.add(id(deeper))
        root = deeper
    message, cause = first_line(error), first_line(root)
    return message if cause in message else f"{message.rstrip('.')}: {cause}"


def _whole(value: Any, column: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(f"dataset.fold={column!r} holds {value!r}, which is no whole number") from None
