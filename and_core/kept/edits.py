"""Corrections of captions and labels, beside the originals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import insert, select

from and_core.errors import DataError, one_of
from and_core.kept.database import EDIT, KeptFile, now

Kind = Literal["caption", "label"]
KINDS: tuple[Kind, ...] = ("caption", "label")
LONGEST = 4_000  # letters


@dataclass(frozen=True)
class Edit:
    """A text of a clip as it was, and as somebody says it is.

    Attributes
    ----------
    kind : str
        ``caption`` or ``label``.
    clip : str
        Name of the clip.
    original, text : str
        What the dissection was first made with, and what stands now.
    who, created : str
        By whom, and when (UTC).
    """

    kind: str
    clip: str
    original: str
    text: str
    who: str
    created: str

    def row(self) -> dict[str, str]:
        """Return it as a row of a table."""
        return asdict(self)


def keep_edit(file: KeptFile, dissection: str, kind: Kind, clip: str, original: str, text: str, who: str = "") -> None:
    """Keep a correction; the original of the first one stays, and a text equal to it takes the correction back.

    Several labels of a clip are one text, with ``; `` between them.

    Raises
    ------
    DataError
        An empty text or one that is too long, or a kind that is not there.
    StorageError
        It can't be written.
    """
    text, who = " ".join(text.split()), who.strip()[:80]
    if kind not in KINDS:
        raise one_of("kind", kind, KINDS, DataError)
    first = [edit for edit in edits(file, dissection, kind, history=True) if edit.clip == clip]
    back = bool(first) and text == first[0].original  # one that had none before may have none again
    if (not text and not back) or len(text) > LONGEST:
        raise DataError(f"{kind}: {len(text)} letters; 1 to {LONGEST} are allowed")
    values = {"dissection": dissection, "kind": kind, "clip": clip, "text": text, "who": who}
    with file.write() as connection:
        kept = first[0].original if first else original
        connection.execute(insert(EDIT).values(**values, original=kept, created=now()))


def edits(file: KeptFile, dissection: str, kind: Kind | None = None, history: bool = False) -> list[Edit]:
    """Return the corrections that stand, or with `history` every one that was ever made, the oldest first."""
    query = select(EDIT).where(EDIT.c.dissection == dissection).order_by(EDIT.c.id)
    if kind is not None:
        query = query.where(EDIT.c.kind == kind)
    with file.read() as connection:
        rows = connection.execute(query).mappings().all() if connection is not None else []
    every = [Edit(**{name: row[name] for name in Edit.__dataclass_fields__}) for row in rows]
    if history:
        return every
    latest = {(edit.kind, edit.clip): edit for edit in every}
    return [edit for edit in latest.values() if edit.text != edit.original]


def write_corrections(file: KeptFile, dissection: str, kind: Kind = "caption") -> str | None:
    """Write the corrected captions or labels to a file named by its contents, and return its path; None where there
    are none.

    A dissection's results are made from such a file, so one that is written stays as it is.
    """
    texts: dict[str, str | list[str]] = {edit.clip: edit.text for edit in edits(file, dissection, kind)}
    if kind == "label":
        texts = {clip: [part for part in str(text).split("; ") if part] for clip, text in texts.items()}
    if not texts:
        return None
    data = json.dumps(texts, ensure_ascii=False, indent=1, sort_keys=True).encode()
    path = file.path.parent / f"{kind}s-{hashlib.sha256(data).hexdigest()[:16]}.json"
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(path)
    return str(path.resolve())
