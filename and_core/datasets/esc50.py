"""ESC-50 and every dataset in its layout: `audio/` and one CSV in `meta/`."""

from __future__ import annotations

import csv
from pathlib import Path

from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.errors import DataError

REQUIRED = ("filename", "fold", "category")


@DATASETS.register
class Esc50(Dataset):
    """Columns `filename, fold, target, category, esc10, src_file, take`; further columns are kept."""

    kind = "esc50"

    def references(self) -> list[ClipRef]:
        """Clips in the order of the CSV."""
        root = Path(self.settings.path)  # type: ignore[attr-defined]
        tables = sorted((root / "meta").glob("*.csv"))
        if len(tables) != 1:
            raise DataError(f"dataset.path={str(root)!r}: one CSV in meta/ is needed, {len(tables)} found")
        try:
            with open(tables[0], newline="", encoding="utf-8-sig") as handle:
                rows = list(csv.DictReader(handle))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{tables[0]} can't be read: {error}") from None
        missing = [name for name in REQUIRED if not rows or name not in rows[0]]
        if missing:
            raise DataError(f"{tables[0]} lacks the columns {', '.join(missing)}")
        refs = []
        for number, row in enumerate(rows, 2):
            empty = [name for name in REQUIRED if not row[name]]
            if empty:
                raise DataError(f"{tables[0]} line {number}: {', '.join(empty)} is empty")
            file = row["filename"]
            path = (root / "audio" / file).resolve()
            if not path.is_relative_to((root / "audio").resolve()):
                raise DataError(f"{tables[0]} line {number}: filename={file!r} leads outside audio/")
            if not row["fold"].strip().isdecimal():
                raise DataError(f"{tables[0]} line {number}: fold={row['fold']!r} is no whole number")
            extra = {k: v for k, v in row.items() if k not in (*REQUIRED, "src_file", "target", "esc10", "take") and k is not None}
            refs.append(ClipRef(file, row["category"], int(row["fold"]), row.get("src_file") or file, str(path), extra))
        return refs
