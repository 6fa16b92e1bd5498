"""The glossary of the documentation, read for the page that shows it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"
ENTRY = re.compile(r"^\*\*(?P<term>.+?)\*\* \{#(?P<anchor>[\w-]+)\}\n:   (?P<text>.+(?:\n    .+)*)", re.MULTILINE)


class Term(NamedTuple):
    """A term with its section, what it means, and the paper or field it comes from."""

    section: str
    term: str
    anchor: str
    text: str
    source: str

    @property
    def names(self) -> list[str]:
        """How the term is written: what stands between commas, without what tells it from another in brackets."""
        return [re.sub(r" \(.*\)$", "", name) for name in self.term.split(", ")]


@lru_cache(maxsize=1)
def terms() -> tuple[Term, ...]:
    """Return all terms in order; none where the documentation is not there."""
    if not FILE.is_file():
        return ()
    entries = []
    for part in re.split(r"^## ", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        section = part.split("\n", 1)[0].strip()
        for match in ENTRY.finditer(part):
            text = " ".join(match["text"].split())
            source = re.search(r"\*([^*]+)\*$", text)
            meaning = _plain(text[: source.start()] if source else text)
            origin = _plain(source[1]).rstrip(".") if source else ""
            entries.append(Term(section, match["term"], match["anchor"], meaning, origin))
    return tuple(entries)


def term(anchor: str) -> Term | None:
    """Return a term by its anchor; None where the documentation is not there or has no such term."""
    return _by_anchor().get(anchor)


def meaning(anchor: str) -> str | None:
    """Return what a term means, for the help of a widget; None as in :func:`term`."""
    entry = term(anchor)
    return entry.text if entry is not None else None


@lru_cache(maxsize=1)
def _by_anchor() -> dict[str, Term]:
    return {entry.anchor: entry for entry in terms()}


def _plain(text: str) -> str:
    """Return text without the marks of links, code and emphasis."""
    marks = r"\[([^\]]+)\]\([^)]*\)|`([^`]*)`|(?<!\w)\*([^*]+)\*(?!\w)"
    return re.sub(marks, lambda mark: mark[1] or mark[2] or mark[3], text).strip()
