"""UrbanSound8K in its own layout: `audio/fold1..10/` and `metadata/UrbanSound8K.csv`."""

from __future__ import annotations

from and_core.datasets.base import DATASETS, ClipRef, FileDataset, FileDatasetSettings, read_rows, unlisted
from and_core.errors import DataError

REQUIRED = ("slice_file_name", "fold", "class")


@DATASETS.register
class UrbanSound8K(FileDataset[FileDatasetSettings]):
    """Slices of longer recordings; `fsID` names the recording, so that each can count once."""

    kind = "urbansound8k"

    def references(self) -> list[ClipRef]:
        """Return clips in the order of the CSV."""
        root = self.settings.path
        table = root / "metadata" / "UrbanSound8K.csv"
        refs = []
        for number, row in read_rows(table, REQUIRED):
            if not row["fold"].strip().isdecimal():
                raise DataError(f"{table} line {number}: fold={row['fold']!r} is no whole number")
            path = (root / "audio" / f"fold{int(row['fold'])}" / row["slice_file_name"]).resolve()
            if not path.is_relative_to((root / "audio").resolve()):
                raise DataError(
                    f"{table} line {number}: slice_file_name={row['slice_file_name']!r} leads outside audio/"
                )
            refs.append(
                ClipRef(
                    row["slice_file_name"],
                    row["class"],
                    int(row["fold"]),
                    row.get("fsID") or row["slice_file_name"],
                    str(path),
                )
            )
        return refs

    def passed_over(self) -> dict[str, int]:
        """Count sound files that no row of the table names, and what is no sound."""
        return unlisted(self.settings.path / "audio", self.references())
