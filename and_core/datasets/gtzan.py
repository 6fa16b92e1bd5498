"""GTZAN in its own layout: `genres_original/<genre>/*.wav`."""

from __future__ import annotations

from and_core.datasets.base import DATASETS, ClipRef, FileDataset, FileDatasetSettings
from and_core.datasets.files import printable_name, sound_files
from and_core.errors import DataError


@DATASETS.register
class Gtzan(FileDataset[FileDatasetSettings]):
    """Ten genres of a hundred excerpts of 30 s.

    One file of the published set (jazz.00054) is known to be broken and gets listed.
    """

    kind = "gtzan"

    def references(self) -> list[ClipRef]:
        """Return the clips by genre and name."""
        root = self.settings.path / "genres_original"
        paths = [path for parts, path in sound_files(root).files if len(parts) == 2 and path.suffix.lower() == ".wav"]
        if not paths:
            raise DataError(f"dataset.path={str(root.parent)!r} holds no genres_original/<genre>/*.wav")
        return [
            ClipRef(
                printable_name(path.name), printable_name(path.parent.name), None, printable_name(path.stem), str(path)
            )
            for path in paths
        ]

    def passed_over(self) -> dict[str, int]:
        """Count what lies beside the excerpts."""
        sounds = sound_files(self.settings.path / "genres_original")
        others = sum(len(parts) != 2 or path.suffix.lower() != ".wav" for parts, path in sounds.files)
        return {**({"other sound": others} if others else {}), **dict(sorted(sounds.passed_over.items()))}
