"""ESC-50 and every dataset in its layout: `audio/` and one CSV in `meta/`."""

from __future__ import annotations

from and_core.datasets.base import DATASETS, ClipRef, FileDataset, FileDatasetSettings, read_rows, unlisted
from and_core.errors import DataError

REQUIRED = ("filename", "fold", "category")


@DATASETS.register
class Esc50(FileDataset[FileDatasetSettings]):
    """Columns `filename, fold, target, category, esc10, src_file, take`; further columns are kept."""

    kind = "esc50"

    def references(self) -> list[ClipRef]:
        """Return clips in the order of the CSV."""
        root = self.settings.path
        tables = sorted((root / "meta").glob("*.csv"))
        if len(tables) != 1:
            raise DataError(f"dataset.path={str(root)!r}: one CSV in meta/ is needed, {len(tables)} found")
        refs = []
        for number, row in read_rows(tables[0], REQUIRED):
            file = row["filename"]
            path = (root / "audio" / file).resolve()
            if not path.is_relative_to((root / "audio").resolve()):
                raise DataError(f"{tables[0]} line {number}: filename={file!r} leads outside audio/")
            if not row["fold"].strip().isdecimal():
                raise DataError(f"{tables[0]} line {number}: fold={row['fold']!r} is no whole number")
            extra = {
                k: v
                for k, v in row.items()
                if k not in (*REQUIRED, "src_file", "target", "esc10", "take") and k is not None
            }
            refs.append(ClipRef(file, row["category"], int(row["fold"]), row.get("src_file") or file, str(path), extra))
        return refs

    def passed_over(self) -> dict[str, int]:
        """Count sound files that no row of the table names, and what is no sound."""
        return unlisted(self.settings.path / "audio", self.references())
