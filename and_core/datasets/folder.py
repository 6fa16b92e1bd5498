"""Any folder of audio files; with a folder per class, the folders' names are the labels."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from and_core.audio.decode import SUFFIXES
from and_core.datasets.base import DATASETS, ClipRef, FileDataset, FileDatasetSettings
from and_core.datasets.files import SoundFiles, sound_files
from and_core.errors import DataError


class FolderSettings(FileDatasetSettings):
    """`all_files`: try every file, not only those with an audio suffix."""

    all_files: bool = False


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
        """Return the clips below the folder; the first folder on the way down is the label."""
        refs = [
            ClipRef("/".join(parts), parts[0] if len(parts) > 1 else None, None, None, str(path))
            for parts, path in self._walked.files
        ]
        if not refs:
            others = ", ".join(f"{count} {what}" for what, count in self.passed_over().items())
            raise DataError(
                f"dataset.path={str(self.settings.path)!r} holds no sound: no file that ends in {', '.join(SUFFIXES)}"
                + (f"; there are: {others}" if others else "")
            )
        return refs

    def passed_over(self) -> dict[str, int]:
        """Count files of other types, hidden ones, and what is no regular file."""
        return dict(sorted(self._walked.passed_over.items()))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, which get their own clips' references and need no other."""
        return {k: v for k, v in self.__dict__.items() if k != "_walked"}
