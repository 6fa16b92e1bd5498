"""Maps between names as CSV files: read, checked, written; messages offer the names that are meant."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from and_core.display import csv_text, spreadsheet_cell
from and_core.errors import DataError
from and_core.names import plain_name
from and_core.store.files import plain_file, write_atomic

NAMED = 10  # names in a message
CUTOFF = 0.5  # of difflib's ratio, above which a name is offered as near


def read_rows(path: Path, setting: str, required: Sequence[str], nothing: str) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV with their lines: the required cells first, none of them empty.

    Parameters
    ----------
    path : Path
    setting : str
        That names the file, for messages.
    required : sequence of str
        Columns that must be there.
    nothing : str
        What a file without rows means: ``no class stands for any label``.

    Raises
    ------
    DataError
        Unreadable, empty, a column is missing, or a cell is empty; the message names file, line and column.
    """
    try:
        with open(plain_file(path), newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, strict=True)
            header = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{setting}={str(path)!r} can't be read: {error}") from None
    if not header:
        raise DataError(f"{path} is empty; its first line must be {','.join(required)}")
    missing = [name for name in required if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}; its first line must begin {','.join(required)}, separated "
            "by commas"
        )
    if not rows:
        raise DataError(f"{path} holds no row below its header: {nothing}")
    for line, row in rows:
        if None in row:
            raise DataError(
                f"{path} line {line}: more cells than columns; a name with a comma in it stands in double quotes"
            )
        row.update({name: _cell(row[name]) for name in required})
        empty = [name for name in required if not row[name]]
        if empty:
            raise DataError(f"{path} line {line}: {', '.join(empty)} is empty")
    return rows


def _cell(text: str | None) -> str:
    """Return a cell without the apostrophe by which :func:`write_rows` kept a spreadsheet from running it."""
    text = (text or "").strip()
    return text[1:] if text[:1] == "'" and spreadsheet_cell(text[1:]) == text else text


def write_rows(path: str | Path, setting: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write rows under columns; numbers to two places. What is there is replaced.

    Raises
    ------
    DataError
        The file can't be written.
    """
    import pandas as pd

    cells = [[f"{value:.2f}" if isinstance(value, float | np.floating) else value for value in row] for row in rows]
    try:
        write_atomic(Path(path), csv_text(pd.DataFrame(cells, columns=list(columns))).encode())
    except OSError as error:
        raise DataError(f"{setting}={str(path)!r} can't be written: {error.strerror}") from None


def nearest(name: str, allowed: Sequence[str]) -> str:
    """Return the part of a message that says which names are meant, or which there are."""
    plain = {plain_name(other): other for other in allowed}
    near = get_close_matches(plain_name(name), list(plain), n=3, cutoff=CUTOFF)
    return f"nearest: {'; '.join(plain[other] for other in near)}" if near else f"allowed: {some(list(allowed))}"


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are; by semicolons, since names have commas."""
    more = len(names) - NAMED
    return "; ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "") or "none"
