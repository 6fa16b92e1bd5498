"""Module A by language model (ICL, AND section 2): the concept set and a calibrated summary in, a ranked list of
concepts out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from and_core.names import numbers_by_name, plain_name, readable

ANSWER = re.compile(r"^\W*answers?\W*?:[*_ \t]*", re.IGNORECASE | re.MULTILINE)
LISTED = re.compile(r"^(?:\(?\d{1,2}[.):]|[-*\u2022])\s+")
LISTED_INSIDE = re.compile(r"[;,]?\s+\(?\d{1,2}[.):]\s+")
NOTHING = re.compile(
    r"^(?:none|no|nothing|n/?a|unknown|unclear|no (?:concept|answer|match).*|none of .*|i (?:don't|do "
    r"not|can't|cannot).*)$",
    re.IGNORECASE,
)
Embed = Callable[[list[str]], np.ndarray]


class NamedConcept(NamedTuple):
    """A concept that an answer names: what was said, the concept's number (-1 for none), how it was matched, and how
    closely."""

    said: str
    concept: int
    how: str
    similarity: float


def read_answer(answer: str, count: int, cut: bool = False) -> list[str]:
    """Return the names in an answer, at most `count`: what stands behind its last "Answer:", or its last line where
    there is no such mark.

    Names are cut at semicolons, at the marks of a list, one a line, or at commas where there is none of these. An
    answer that ran into its limit before it came to "Answer:" names nothing.
    """
    marks = list(ANSWER.finditer(answer))
    text = answer[marks[-1].end() :] if marks else "" if cut else answer.strip().rpartition("\n")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and LISTED.match(lines[0]):
        parts = [
            part for line in lines if LISTED.match(line) for part in LISTED_INSIDE.split(LISTED.sub("", line, count=1))
        ]
    else:
        first = lines[0] if lines else ""
        parts = first.split(";") if ";" in first or count == 1 else first.split(",")
    names = [LISTED.sub("", part.strip()).strip(" \t.*\"'`[]") for part in parts]
    return [name for name in names if name and not NOTHING.match(name)][:count]


def match_concepts(
    names: list[str], concepts: list[str], embed: Embed, vectors: np.ndarray, least: float
) -> list[NamedConcept]:
    """Map names to the concept set: an exact match first, else the nearest by embedding if it is near enough.

    Parameters
    ----------
    names : list of str
        As the model wrote them.
    concepts : list of str, M
    embed : callable
        Texts -> (n, D) unit vectors.
    vectors : (M, D) float32
        Unit vectors of the concepts.
    least : float
        Cosine similarity below which a name stands for no concept.

    Returns
    -------
    list of NamedConcept
        In the order of `names`; a concept named twice counts once.
    """
    number = numbers_by_name(concepts)
    matches: list[NamedConcept] = []
    seen: set[int] = set()
    for name in names:
        key = plain_name(name)
        if key in number:
            choice = NamedConcept(name, number[key], "exact", 1.0)
        else:
            similarity = vectors @ embed([readable(name)])[0]
            best = int(similarity.argmax())
            near = float(similarity[best])
            choice = (
                NamedConcept(name, best, "nearest", near) if near >= least else NamedConcept(name, -1, "none", near)
            )
        if choice.concept < 0 or choice.concept not in seen:
            matches.append(choice)
            seen.add(choice.concept)
    return matches
