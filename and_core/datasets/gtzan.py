"""GTZAN in its own layout: `genres_original/<genre>/*.wav`."""

from __future__ import annotations

from pathlib import Path

from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.errors import DataError


@DATASETS.register
class Gtzan(Dataset):
    """Ten genres of a hundred excerpts of 30 s; one file of the published set (jazz.00054) is known to be broken and gets listed."""

    kind = "gtzan"

    def references(self) -> list[ClipRef]:
        """Clips by genre and name."""
        root = Path(self.settings.path) / "genres_original"  # type: ignore[attr-defined]
        paths = sorted(root.glob("*/*.wav"))
        if not paths:
            raise DataError(f"dataset.path={str(root.parent)!r} holds no genres_original/<genre>/*.wav")
        return [ClipRef(path.name, path.parent.name, None, path.stem, str(path)) for path in paths]
