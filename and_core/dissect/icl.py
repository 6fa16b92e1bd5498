"""Module A by language model (ICL, AND section 2): the concept set and a calibrated summary in, a ranked list of concepts out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from and_core.dissect.concepts import readable

ANSWER = re.compile(r"^\W*answers?\W*[:\-]\s*(.+)$", re.IGNORECASE | re.MULTILINE)
NOTHING = re.compile(r"^(?:none|no|nothing|n/?a|unknown|unclear|no (?:concept|answer|match).*|none of .*|i (?:don't|do not|can't|cannot).*)$", re.IGNORECASE)
Embed = Callable[[list[str]], np.ndarray]


class Choice(NamedTuple):
    """A concept that an answer names: what was said, the concept's number (-1 for none), how it was matched, and how closely."""

    said: str
    concept: int
    how: str
    similarity: float


def read_answer(answer: str, count: int) -> list[str]:
    """The names in an answer, at most `count`: what stands behind its last "Answer:", or its last line where there is no such mark.

    A list of names is cut at semicolons, or at commas where there are none.
    """
    marked = ANSWER.findall(answer)
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    text = marked[-1] if marked else lines[-1] if lines else ""
    parts = re.split(r";", text) if ";" in text or count == 1 else re.split(r",", text)
    names = [re.sub(r"^\(?\d{1,2}[.):]\s*", "", part.strip()).strip(" \t.*\"'`[]") for part in parts]
    return [name for name in names if name and not NOTHING.match(name)][:count]


def match_concepts(names: list[str], concepts: list[str], embed: Embed, vectors: np.ndarray, least: float) -> list[Choice]:
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
    list of Choice
        In the order of `names`; a concept named twice counts once.
    """
    number = {readable(c).lower(): i for i, c in enumerate(concepts)}
    found: list[Choice] = []
    seen: set[int] = set()
    for name in names:
        key = readable(name).lower()
        if key in number:
            choice = Choice(name, number[key], "exact", 1.0)
        else:
            similarity = vectors @ embed([readable(name)])[0]
            best = int(similarity.argmax())
            near = float(similarity[best])
            choice = Choice(name, best, "nearest", near) if near >= least else Choice(name, -1, "none", near)
        if choice.concept < 0 or choice.concept not in seen:
            found.append(choice)
            seen.add(choice.concept)
    return found
