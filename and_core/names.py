"""Names of classes and concepts: as they are read, and as they are compared."""

from __future__ import annotations

from collections.abc import Iterable


def readable(concept: str) -> str:
    """Return a concept with spaces for underscores.

    Examples
    --------
    >>> readable("water_drops")
    'water drops'
    """
    return " ".join(concept.replace("_", " ").split())


def plain_name(name: str) -> str:
    """Return a class or concept as it is compared with others: readable, in lower case.

    Examples
    --------
    >>> plain_name("Water_drops ")
    'water drops'
    """
    return readable(name).lower()


def numbers_by_name(names: Iterable[str]) -> dict[str, int]:
    """Return plain name -> place in a list, to match the classes of a network, the labels of clips and concepts by
    name.

    Examples
    --------
    >>> numbers_by_name(["dog", "Water_drops"])
    {'dog': 0, 'water drops': 1}
    """
    return {plain_name(name): number for number, name in enumerate(names)}
