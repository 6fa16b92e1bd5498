"""What a network with classes hears for each concept: weights over its classes, proposed, and as a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from and_core.errors import DataError
from and_core.labels.hierarchy import descendants, parents, spelling
from and_core.labels.map_file import nearest, read_rows, write_rows
from and_core.labels.propose import match_classes
from and_core.names import plain_name

RULES = 1  # raised when other weights are proposed for the same names
REQUIRED = ("concept", "class", "weight")
COLUMNS = (*REQUIRED, "how", "similarity")
BESIDE = 0.5  # weight of a class that matches by words, beside one that is called like the concept
NEAREST = 3  # classes that stand for a concept which matches none
SHARPNESS = 4  # power of their cosines, over the highest of them

ConceptHow = Literal["name", "word", "kind", "parent", "embedding", "file"]


class ConceptClass(NamedTuple):
    """A class by which a concept is heard.

    Attributes
    ----------
    concept, class_name : str
        As the concept set and the network spell them.
    weight : float
        Above 0; 1 for the class that is called like the concept.
    how : str
        ``name``, ``word``, ``parent``: as :class:`and_core.labels.propose.Proposal` has them; ``kind``: the class
        stands below the concept in the hierarchy of sounds; ``embedding``: nothing matches, and its vector is among the
        nearest; ``file``: a file says so.
    similarity : float
        Cosine of the vectors of both names.
    """

    concept: str
    class_name: str
    weight: float
    how: ConceptHow
    similarity: float


def weigh_classes(concept: str, classes: Sequence[str], cosines: np.ndarray) -> list[ConceptClass]:
    """Return the classes by which a concept is heard, the heaviest first; none for a text without a letter.

    The first of these that there is: classes called like it (and, half as much, those that match by words); classes
    that match by words, and kinds of it; classes above it in the hierarchy, but none that stands above another of
    them; the nearest by their vectors, with the fourth power of the cosine over the highest.

    Parameters
    ----------
    concept : str
    classes : sequence of C str
        Of the network.
    cosines : (C,) array
        Of the vectors of the concept's and each class's name, by a text encoder.
    """
    if not any(character.isalpha() for character in concept):
        return []
    below = set(descendants(concept))
    matched: dict[int, ConceptHow] = {c: "kind" for c, name in enumerate(classes) if spelling(name) in below}
    matched |= match_classes(classes, concept)
    hows = set(matched.values())
    weights: dict[int, float]
    if "name" in hows:
        weights = {c: 1.0 if how == "name" else BESIDE for c, how in matched.items() if how in ("name", "word")}
    elif hows & {"word", "kind"}:
        weights = {c: 1.0 for c, how in matched.items() if how in ("word", "kind")}
    elif matched:
        broader = {above for c in matched for above in parents(classes[c])}
        weights = {c: 1.0 for c in matched if spelling(classes[c]) not in broader}
    else:
        near = [int(c) for c in np.argsort(-cosines, kind="stable")[:NEAREST] if cosines[c] > 0]
        weights = {c: float((cosines[c] / cosines[near[0]]) ** SHARPNESS) for c in near}
    rows = [
        ConceptClass(concept, classes[c], weight, matched.get(c, "embedding"), float(cosines[c]))
        for c, weight in weights.items()
    ]
    return sorted(rows, key=lambda row: (-row.weight, -row.similarity, row.class_name))


def read_concept_classes(path: str | Path) -> list[tuple[str, str, float]]:
    """Read a CSV with the columns ``concept``, ``class`` and ``weight``; others are passed over.

    Raises
    ------
    DataError
        Unreadable, empty, a column is missing, a cell is empty, a weight is no number of at least 0, a pair is there
        twice, or all weights of a concept are 0; the message names file, line and column.
    """
    path = Path(path)
    rows, seen = [], dict[tuple[str, str], int]()
    sums: dict[str, float] = {}
    for line, row in read_rows(path, "map", REQUIRED, "no concept stands for any class"):
        concept, class_name = row["concept"], row["class"]
        try:
            weight = float(row["weight"])
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(f"{path} line {line}: weight={row['weight']!r} must be a number of at least 0")
        first = seen.setdefault((plain_name(concept), plain_name(class_name)), line)
        if first != line:
            raise DataError(
                f"{path} line {line}: concept={concept!r} with class={class_name!r} stands in line {first} already; "
                "delete one of the two"
            )
        sums[plain_name(concept)] = sums.get(plain_name(concept), 0.0) + weight
        rows.append((concept, class_name, weight))
    for concept, total in sums.items():
        if not total:
            raise DataError(
                f"{path}: concept={concept!r} has no weight above 0, so it stands for nothing; give it one, or delete "
                "its rows for what is proposed"
            )
    return rows


def check_classes(path: Path, rows: Iterable[tuple[str, str, float]], classes: Sequence[str]) -> None:
    """Raise where a map names a class that the network has not.

    Raises
    ------
    DataError
        The message offers the nearest names.
    """
    known = {plain_name(name) for name in classes}
    for _, class_name, _ in rows:
        if plain_name(class_name) not in known:
            raise DataError(f"{path}: class={class_name!r} is no class of the network; {nearest(class_name, classes)}")


def write_concept_classes(path: str | Path, rows: Iterable[ConceptClass]) -> None:
    """Write a map that :func:`read_concept_classes` reads. What is there is replaced.

    Raises
    ------
    DataError
        The file can't be written.
    """
    write_rows(path, "map", COLUMNS, list(rows))
