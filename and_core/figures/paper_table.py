"""What a table is made of: parts to look at, and plain rows for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """One table to look at: title, rows of texts, a note."""

    title: str
    cells: list[dict[str, str]]
    note: str = ""


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: parts to look at, and rows of plain values for a file."""

    parts: list[Part]
    rows: list[dict[str, Any]]
