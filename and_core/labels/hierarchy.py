"""A small hierarchy of sounds: which classes are kinds of which others.

It is of our own making, for ESC-50's categories and AudioSet's names, and lies in ``and_core/data/hierarchy.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from and_core.config import read_mapping
from and_core.data import bundled
from and_core.names import plain_name

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def name_words(name: str) -> list[str]:
    """Return the words by which a name is known: commas, ampersands, hyphens and "and" make no difference.

    Examples
    --------
    >>> name_words("Dishes, pots & pans"), name_words("Dishes_pots_and_pans")
    (['dishes', 'pots', 'pans'], ['dishes', 'pots', 'pans'])
    """
    return [word for word in WORD.findall(plain_name(name)) if word != "and"]


def spelling(name: str) -> str | None:
    """Return a name as the hierarchy spells it, None where it has no such name.

    Examples
    --------
    >>> spelling("Chicken_rooster")
    'Chicken, rooster'
    """
    return _spellings().get(_key(name))


def children(name: str) -> list[str]:
    """Return the kinds of a sound that stand directly below it, none where the hierarchy has no such name.

    Examples
    --------
    >>> children("siren")[0]
    'Civil defense siren'
    """
    return _names(_edges()[0].get(_key(name), ()))


def parents(name: str) -> list[str]:
    """Return all ancestors of a sound, nearest first; none where the hierarchy has no such name.

    Examples
    --------
    >>> parents("Bark")[:3]
    ['Dog', 'Domestic animals, pets', 'Canidae, dogs, wolves']
    """
    return _names(_reached(_key(name), upwards=True))


def descendants(name: str) -> list[str]:
    """Return everything below a sound, nearest first; none where the hierarchy has no such name.

    Examples
    --------
    >>> descendants("Rain")
    ['Raindrop', 'Rain on surface']
    """
    return _names(_reached(_key(name), upwards=False))


def related(names: Iterable[str], name: str) -> list[str]:
    """Return which of several names are ancestors or descendants of a name; the name itself is not among them.

    Parameters
    ----------
    names : iterable of str
        Such as the classes of a network; they come back as they are given, in their order.
    name : str
        Such as the label of a clip.

    Examples
    --------
    >>> related(["Animal", "Chicken_rooster", "Dog", "Rooster"], "rooster")
    ['Animal', 'Chicken_rooster']
    """
    line = {*_reached(_key(name), upwards=True), *_reached(_key(name), upwards=False)}
    return [other for other in names if _key(other) in line]


def _key(name: str) -> str:
    return " ".join(name_words(name))


def _names(keys: Iterable[str]) -> list[str]:
    return [_spellings()[key] for key in keys]


@lru_cache(maxsize=1)
def _file() -> dict[str, list[str]]:
    return read_mapping(bundled("hierarchy.yaml"), "hierarchy")


@lru_cache(maxsize=1)
def _spellings() -> dict[str, str]:
    """Return key -> name; the first spelling in the file counts."""
    spellings: dict[str, str] = {}
    for parent, below in _file().items():
        for name in (parent, *below):
            spellings.setdefault(_key(name), name)
    return spellings


@lru_cache(maxsize=1)
def _edges() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return key -> keys of its children, and key -> keys of its parents, in the file's order."""
    down: dict[str, tuple[str, ...]] = {}
    up: dict[str, tuple[str, ...]] = {}
    for parent, below in _file().items():
        for child in below:
            down[_key(parent)] = (*down.get(_key(parent), ()), _key(child))
            up[_key(child)] = (*up.get(_key(child), ()), _key(parent))
    return down, up


@lru_cache(maxsize=4096)
def _reached(key: str, upwards: bool) -> tuple[str, ...]:
    """Return the keys above or below one, breadth first: the nearest come first."""
    edges = _edges()[upwards]
    order: dict[str, None] = {}
    level = edges.get(key, ())
    while level:
        fresh = [at for at in dict.fromkeys(level) if at not in order]
        order |= dict.fromkeys(fresh)
        level = tuple(below for at in fresh for below in edges.get(at, ()))
    return tuple(order)
