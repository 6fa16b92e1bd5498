"""Which labels of a collection each class of a network stands for: as a file, checked, and as arrays of truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from and_core.errors import DataError
from and_core.labels.map_file import nearest, read_rows, some, write_rows
from and_core.names import plain_name

REQUIRED = ("class", "label")
COLUMNS = (*REQUIRED, "how", "similarity")


@dataclass(frozen=True)
class ClassMap:
    """Pairs of a class and a label that it stands for. Both sides may repeat: a class may stand for several labels, a
    label have several classes. Names are compared by :func:`and_core.names.plain_name`.

    Attributes
    ----------
    pairs : tuple of (str, str)
        Class and label.
    path : Path or None
        File that it was read from.
    lines : tuple of int
        Line of each pair in that file.
    """

    pairs: tuple[tuple[str, str], ...]
    path: Path | None = field(default=None, compare=False)
    lines: tuple[int, ...] = field(default=(), compare=False)

    def where(self, number: int) -> str:
        """Return file and line of a pair, for messages."""
        return f"{self.path} line {self.lines[number]}" if self.path and self.lines else f"class_map[{number}]"


def by_name(classes: Iterable[str], labels: Iterable[str]) -> ClassMap:
    """Return the map of equal names: a class stands for the label that is called so.

    Examples
    --------
    >>> by_name(["Dog", "Water drops"], ["water_drops", "rain"]).pairs
    (('Water drops', 'water_drops'),)
    """
    alike: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        alike.setdefault(plain_name(label), []).append(label)
    return ClassMap(tuple((c, label) for c in classes for label in alike.get(plain_name(c), ())))


def read_class_map(path: str | Path) -> ClassMap:
    """Read a CSV with the columns ``class`` and ``label``; others, such as ``how``, are passed over.

    Raises
    ------
    DataError
        Unreadable, empty, a column is missing, a cell is empty, or a row is there twice; the message names file, line
        and column.
    """
    path = Path(path)
    rows = read_rows(path, "class_map", REQUIRED, "no class stands for any label")
    pairs, seen = [], dict[tuple[str, str], int]()
    for line, row in rows:
        pair = (row["class"], row["label"])
        first = seen.setdefault((plain_name(pair[0]), plain_name(pair[1])), line)
        if first != line:
            raise DataError(
                f"{path} line {line}: class={pair[0]!r} with label={pair[1]!r} stands in line {first} already; delete "
                "one of the two"
            )
        pairs.append(pair)
    return ClassMap(tuple(pairs), path, tuple(line for line, _ in rows))


def write_class_map(path: str | Path, pairs: Iterable[Sequence[object]]) -> None:
    """Write rows of class and label, and, where they are given, how the two were matched and their similarity.

    Parameters
    ----------
    path : str or Path
        What is there is replaced.
    pairs : iterable of sequences
        ``(class, label)`` or ``(class, label, how, similarity)``, such as the proposals of
        :func:`and_core.labels.propose.propose_class_map`.

    Raises
    ------
    DataError
        The file can't be written.
    """
    rows = [tuple(pair) for pair in pairs]
    write_rows(path, "class_map", COLUMNS[: max(map(len, rows), default=len(REQUIRED))], rows)


def check_class_map(class_map: ClassMap, classes: Sequence[str], labels: Iterable[str]) -> list[str]:
    """Return warnings about a map: labels without a class, classes without a label.

    Parameters
    ----------
    class_map : ClassMap
    classes : sequence of str
        Of the network.
    labels : iterable of str
        Of the collection.

    Raises
    ------
    DataError
        It names a class that the network has not, or a label that the collection has not (the nearest names are
        offered); or it covers no class at all.
    """
    labels = list(dict.fromkeys(labels))
    _check_side(class_map, 0, "class", classes, "the network")
    check_labels(class_map, labels)
    if not class_map.pairs:
        raise DataError(
            "class_map covers no class: no class of the network is called as a label of the collection is; "
            f"classes: {some(list(classes))}; labels: {some(labels)}"
        )
    covered = [{plain_name(pair[side]) for pair in class_map.pairs} for side in (0, 1)]
    alone = [
        [name for name in names if plain_name(name) not in covered[side]]
        for side, names in enumerate((classes, labels))
    ]
    warnings = []
    if alone[1]:
        warnings.append(f"{len(alone[1])} of {len(labels)} labels without a class: {some(alone[1])}")
    if alone[0]:
        warnings.append(f"{len(alone[0])} of {len(classes)} classes without a label: {some(alone[0])}")
    return warnings


def check_labels(class_map: ClassMap, labels: Sequence[str]) -> None:
    """Raise where a map names a label that the collection has not: what can be known before the network is loaded.

    Raises
    ------
    DataError
        The message offers the nearest names.
    """
    _check_side(class_map, 1, "label", labels, "the collection")


def _check_side(class_map: ClassMap, side: int, what: str, allowed: Sequence[str], owner: str) -> None:
    plain = {plain_name(other) for other in allowed}
    for number, pair in enumerate(class_map.pairs):
        if plain_name(pair[side]) not in plain:
            raise DataError(
                f"{class_map.where(number)}: {what}={pair[side]!r} is no {what} of {owner}; "
                f"{nearest(pair[side], allowed)}"
            )


def label_truth(class_map: ClassMap, classes: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Return which classes stand for which labels: (C, L) bool.

    Names that a map has and `classes` or `labels` have not are passed over; :func:`check_class_map` finds them.
    """
    rows, columns = _places(classes), _places(labels)
    stands = np.zeros((len(classes), len(labels)), bool)
    for class_name, label in class_map.pairs:
        stands[np.ix_(rows.get(plain_name(class_name), []), columns.get(plain_name(label), []))] = True
    return stands


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    """Return plain name -> every place where it stands."""
    places: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        places.setdefault(plain_name(name), []).append(number)
    return places


def truth(class_map: ClassMap, labels_of_clips: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """Return which classes each clip has: (N, C) bool.

    Parameters
    ----------
    class_map : ClassMap
    labels_of_clips : sequence of N sequences of str
        The labels of each clip; none for a clip without.
    classes : sequence of C str
        Of the network, in the order of its output units.

    Examples
    --------
    >>> dogs = ClassMap((("Dog", "dog"), ("Animal", "dog"), ("Animal", "cat")))
    >>> truth(dogs, [["dog"], ["cat", "rain"], []], ["Animal", "Dog"]).astype(int).tolist()
    [[1, 1], [1, 0], [0, 0]]
    """
    labels = list(dict.fromkeys(label for clip in labels_of_clips for label in clip))
    number = {label: n for n, label in enumerate(labels)}
    clips = np.zeros((len(labels_of_clips), len(labels)), bool)
    for row, clip in enumerate(labels_of_clips):
        clips[row, [number[label] for label in clip]] = True
    return clips @ label_truth(class_map, classes, labels).T
