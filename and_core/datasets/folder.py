"""Any folder of audio files; with a folder per class, the folders' names are the labels, or a table has them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from and_core.audio.decode import SUFFIXES
from and_core.datasets.base import DATASETS, ClipRef, FileDataset, FileDatasetSettings, read_rows
from and_core.datasets.files import SoundFiles, sound_files
from and_core.errors import DataError
from and_core.registry import FilePath, LaterSetting


class FolderSettings(FileDatasetSettings):
    """`all_files`: try every file, not only those with an audio suffix.

    `labels`: a CSV with the columns ``file`` (below the folder) and ``label``, a row for each label of a file; files
    without a row have none.
    """

    all_files: bool = False
    labels: Annotated[FilePath | None, LaterSetting()] = None


@DATASETS.register
class Folder(FileDataset[FolderSettings]):
    """Every file with a suffix of sound, in order of name; each is read, or listed with the reason.

    Links are followed, hidden files left out.
    """

    kind = "folder"

    @cached_property
    def _walked(self) -> SoundFiles:
        root = self.settings.path
        if not root.is_dir():
            raise DataError(f"dataset.path={str(root)!r} is no folder")
        return sound_files(root, self.settings.all_files)

    def references(self) -> list[ClipRef]:
        """Return the clips below the folder; the first folder on the way down is the label, unless a table has them.

        Raises
        ------
        DataError
            The folder holds no sound, or the table names a file that is not there.
        """
        listed = None if self.settings.labels is None else self._listed(self.settings.labels)
        refs = []
        for parts, path in self._walked.files:
            name = "/".join(parts)
            labels = parts[:1] if len(parts) > 1 else ()
            if listed is not None:
                labels = tuple(listed.pop(name, ()))
            refs.append(ClipRef(name, labels=labels, path=str(path)))
        if listed:
            raise DataError(
                f"{self.settings.labels}: file={next(iter(listed))!r} is not below {str(self.settings.path)!r}; "
                f"{len(listed)} such files are named"
            )
        if not refs:
            others = ", ".join(f"{count} {what}" for what, count in self.passed_over().items())
            raise DataError(
                f"dataset.path={str(self.settings.path)!r} holds no sound: no file that ends in {', '.join(SUFFIXES)}"
                + (f"; there are: {others}" if others else "")
            )
        return refs

    def _listed(self, table: Path) -> dict[str, list[str]]:
        labels: dict[str, list[str]] = {}
        for _, row in read_rows(table, ("file", "label")):
            labels.setdefault(row["file"].strip().replace("\\", "/"), []).append(row["label"].strip())
        return labels

    def passed_over(self) -> dict[str, int]:
        """Count files of other types, hidden ones, and what is no regular file."""
        return dict(sorted(self._walked.passed_over.items()))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, which get their own clips' references and need no other."""
        return {k: v for k, v in self.__dict__.items() if k != "_walked"}
