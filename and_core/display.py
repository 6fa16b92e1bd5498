"""Texts from data on their way to a terminal, a page or a file: shown as they are, never acted on."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pandas as pd

DIRECTION = {
    0x061C,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
}  # marks that turn round the text beside them
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")  # begins what a spreadsheet runs
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?|[+-]?(inf|nan)", re.IGNORECASE)
MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~$:<>&^=\"'-])")
ADDRESS = re.compile(r"(?<=:)(?=\\?/\\?/)|(?<=www)(?=\.)|(?=@)|(?<=mailto)(?=\\?:)|(?<=xmpp)(?=\\?:)", re.IGNORECASE)
JOINER = "\u2060"  # of no width: breaks an address, so that no Markdown makes a link of it


def whole_characters(text: str) -> str:
    """Return a text with ``?`` for half characters (lone surrogates), which no file and no database takes.

    Examples
    --------
    >>> whole_characters("a\\ud800b")
    'a?b'
    """
    return text.encode("utf-8", "replace").decode()


def visible(text: object) -> str:
    """Return a text without what acts on a terminal or on the text beside it.

    Control characters go, but for line ends and tabs; marks of direction are shown as ``[U+202E]``.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():  # most texts, and pages show hundreds
        return plain
    return "".join(
        f"[U+{ord(c):04X}]" if ord(c) in DIRECTION else c
        for c in plain
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")
    )


def markdown(text: object) -> str:
    """Return a text as Markdown that shows it, on one line: no markup, no formula, no link."""
    return ADDRESS.sub(JOINER, MARKUP.sub(r"\\\1", " ".join(visible(text).split())))


LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def latex(text: object) -> str:
    """Return a text as LaTeX that prints it."""
    return "".join(LATEX.get(c, c) for c in visible(text))


def spreadsheet_cell(value: Any) -> Any:
    """Return a cell for CSV: a text that a spreadsheet would take for a formula gets a leading apostrophe.

    So does one that has such an apostrophe.
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    value = value.replace("\r\n", "\n").replace("\r", "\n")  # a lone return, unquoted, would begin a row of its own
    bare = value.lstrip(" '")
    return f"'{value}" if value[:1] == "'" or bare[:1] in FORMULA else value


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV that no spreadsheet runs: names of columns and texts alike."""
    safe = frame.rename(columns=spreadsheet_cell)
    for number, kind in enumerate(safe.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            safe.isetitem(number, [spreadsheet_cell(value) for value in safe.iloc[:, number]])
    return safe.to_csv(index=False, lineterminator="\n")
