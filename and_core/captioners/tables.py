"""Ready-made captions: a column of the dataset, or a file of file names and texts."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from and_core.audio.decode import SUFFIXES
from and_core.captioners.base import CAPTIONERS, Captioner, Listen, clean_caption, joined
from and_core.errors import DataError
from and_core.records import Provenance
from and_core.registry import FilePath, Settings
from and_core.store.files import plain_file

NAME_COLUMNS = ("filename", "file", "name", "file_name", "clip")
TEXT_COLUMNS = ("caption", "text", "description", "title")


def readable_title(title: str) -> str:
    """Return a title that is a file name read as words: no ending, no separators, no runs of digits."""
    path = Path(title)
    if path.suffix.lower() in SUFFIXES or ("_" in title and " " not in title):
        title = path.stem if path.suffix.lower() in SUFFIXES else title
        words = re.sub(r"[_.\-]+|(?<=[a-z])(?=[A-Z])", " ", title)
        title = " ".join(w for w in words.split() if not w.isdigit()) or title
    return title


class CaptionColumnSettings(Settings):
    """`column`: its name."""

    column: str


@CAPTIONERS.register
class CaptionColumn(Captioner[CaptionColumnSettings]):
    """A column of the dataset's own table, such as the uploaders' titles."""

    kind = "column"
    provenance: Provenance = "imported"

    def fingerprint(self) -> str:
        """Return the version of the reading of titles."""
        return "2"

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return the column's texts, underscores and file endings read as spaces."""
        column = self.settings.column
        if rows and column not in rows[0]:
            raise DataError(f"captions.column={column!r} is no column of the dataset; there are: {', '.join(rows[0])}")
        return [None if row[column] in (None, "") else readable_title(str(row[column])) for row in rows]

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"column {self.settings.column!r} of the dataset"


def _by(part: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    names_by_part: dict[str, list[str]] = {}
    for name in names:
        names_by_part.setdefault(part(name), []).append(name)
    return names_by_part


class CaptionFileSettings(Settings):
    """`column`: the text's column in a CSV, found by name where it is not given."""

    path: FilePath
    column: str | None = None


@CAPTIONERS.register
class CaptionFile(Captioner[CaptionFileSettings]):
    """A CSV with a column of file names and one or several of captions, or a JSON object of file name to text or texts
    (the reference's format).

    A clip may have several captions, in rows or in columns ``caption_1``, ``caption_2``, ... of its own: all are used.
    """

    kind = "file"
    provenance: Provenance = "imported"

    def fingerprint(self) -> str:
        """Hash of the file's bytes."""
        try:
            return hashlib.sha256(plain_file(Path(self.settings.path)).read_bytes()).hexdigest()
        except OSError:
            raise DataError(f"captions.path={str(self.settings.path)!r} can't be read") from None

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return each clip's captions by file name, with or without its folders and ending.

        Several as sentences of one text.
        """
        return [joined(texts) or None for texts in self.every(rows, listen)]

    def every(self, rows: list[dict[str, Any]], listen: Listen) -> list[list[str]]:
        """Return each clip's captions one by one."""
        table = self._load()
        texts = [table.get(key, []) if key is not None else [] for key in self._keys(table, rows)]
        if rows and not any(texts):
            raise DataError(f"{self.settings.path}: none of its {len(table)} names is a clip of the dataset")
        return texts

    def notes(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return names in the file that are no clip."""
        table = self._load()
        unknown = sorted(set(table) - set(self._keys(table, rows)))
        several = sum(len(texts) > 1 for texts in table.values())
        return {
            "unknown": unknown[:100],
            "unknown_count": len(unknown),
            **({"with_several": several} if several else {}),
        }

    def _keys(self, table: dict[str, list[str]], rows: list[dict[str, Any]]) -> list[str | None]:
        """Name in the file of each clip: its own, else one with the same file name or stem, where only one name and one
        clip have it."""
        keys: list[str | None] = [str(row["name"]) if str(row["name"]) in table else None for row in rows]
        for part in (lambda name: Path(name).name, lambda name: Path(name).stem):
            names, clips = _by(part, table), _by(part, [str(row["name"]) for row in rows])
            for i, row in enumerate(rows):
                short = part(str(row["name"]))
                if keys[i] is None and len(names.get(short, [])) == 1:
                    if len(clips[short]) > 1:
                        raise DataError(
                            f"{self.settings.path}: {names[short][0]!r} could be any of {', '.join(clips[short][:4])}; "
                            "give the folders too"
                        )
                    keys[i] = names[short][0]
        return keys

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"file {Path(self.settings.path).name}"

    def _load(self) -> dict[str, list[str]]:
        path = Path(self.settings.path)
        try:
            text = plain_file(path).read_text(encoding="utf-8-sig")
            if path.suffix.lower() == ".json":
                raw = json.loads(text)
                listed: dict[str, Any] = (
                    {k: [v] if isinstance(v, str) else v for k, v in raw.items()}
                    if isinstance(raw, dict)
                    else {"": None}
                )
                if not all(isinstance(v, list) and all(isinstance(text, str) for text in v) for v in listed.values()):
                    raise DataError(f"{path}: a JSON object of file name to text, or to a list of texts, is needed")
                return {str(k): _distinct(v) for k, v in listed.items()}
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
            raise DataError(f"captions.path={str(path)!r} can't be read: {error}") from None
        columns = list(rows[0]) if rows else []
        name = next((c for c in NAME_COLUMNS if c in columns), None)
        wanted = self.settings.column
        chosen = (
            [wanted]
            if wanted in columns
            else []
            if wanted
            else [c for c in TEXT_COLUMNS if c in columns][:1]
            or [c for c in columns if c is not None and re.fullmatch(rf"(?:{'|'.join(TEXT_COLUMNS)})_?\d+", c)]
        )
        if name is None or not chosen:
            needed = (
                f"a column of names ({', '.join(NAME_COLUMNS)}) and one of texts ({wanted or ', '.join(TEXT_COLUMNS)})"
            )
            raise DataError(f"{path}: {needed} are needed; it has: {', '.join(map(str, columns)) or 'no rows'}")
        captions: dict[str, list[str]] = {}
        for row in rows:
            if row[name]:
                captions.setdefault(row[name], []).extend(row[column] for column in chosen if row[column])
        return {key: _distinct(texts) for key, texts in captions.items()}


def _distinct(texts: list[str]) -> list[str]:
    """Return texts in order, white space folded, repetitions and what is no text left out."""
    return list(dict.fromkeys(text for t in texts if (text := clean_caption(t))))
