"""Any folder of audio files; with a folder per class, the folders' names are the labels."""

from __future__ import annotations

from pathlib import Path

from and_core.audio.decode import SUFFIXES
from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.errors import DataError


@DATASETS.register
class Folder(Dataset):
    """Files are taken in order of name, hidden ones left out; every file of an unknown type is tried, and named if it is no audio."""

    kind = "folder"

    class Settings(Dataset.Settings):
        """`all_files`: try every file, not only those with an audio suffix."""

        all_files: bool = False

    def references(self) -> list[ClipRef]:
        """Clips below the folder; the first folder on the way down is the label."""
        root = Path(self.settings.path)  # type: ignore[attr-defined]
        if not root.is_dir():
            raise DataError(f"dataset.path={str(root)!r} is no folder")
        every = self.settings.all_files  # type: ignore[attr-defined]
        refs = []
        for path in sorted(root.rglob("*")):
            parts = path.relative_to(root).parts
            if path.is_file() and not any(p.startswith(".") for p in parts) and (every or path.suffix.lower() in SUFFIXES):
                refs.append(ClipRef("/".join(parts), parts[0] if len(parts) > 1 else None, None, None, str(path)))
        if not refs:
            raise DataError(f"dataset.path={str(root)!r} holds no audio ({', '.join(SUFFIXES)})")
        return refs
