"""A class map, proposed: by names, by words, by a hierarchy of sounds, by the vectors of a text encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from and_core.errors import ConfigError
from and_core.labels.hierarchy import name_words, parents, related, spelling
from and_core.names import plain_name, readable

How = Literal["name", "word", "parent", "embedding"]
HOWS: tuple[How, ...] = ("name", "word", "parent", "embedding")
FLOOR = 0.65  # cosine of two names below which their vectors prove nothing; for MiniLM
PARTS = re.compile(r"[,;/]")  # between names of one class; what stands in brackets is no name, but part of one
# What stands before one of these is what it is: "drops of water" are drops.
OF = {"of", "on", "in", "at", "with", "for", "from", "by"}
PLACE = {"on", "in", "at"}
GENERIC = {"music", "sound", "noise"}  # "classical" and "classical music" are one
IRREGULAR = {
    "teeth": "tooth", "feet": "foot", "mice": "mouse", "geese": "goose", "wolves": "wolf", "leaves": "leaf",
    "children": "child", "men": "man", "women": "woman", "knives": "knife",
}  # fmt: skip


class Proposal(NamedTuple):
    """A class that may stand for a label.

    Attributes
    ----------
    class_name, label : str
        As the network and the collection spell them.
    how : str
        ``name``: they are called alike, but for number and the parts of a name; ``word``: the label is a kind of the
        class by its words, or the class only adds where it sounds; ``parent``: the class stands above the label, or
        above a class so named, in the hierarchy of sounds; ``embedding``: their vectors are each other's nearest.
    similarity : float
        Cosine of the vectors of both names.
    """

    class_name: str
    label: str
    how: How
    similarity: float


def propose_class_map(
    classes: Sequence[str], labels: Sequence[str], encode: Callable[[list[str]], np.ndarray], floor: float = FLOOR
) -> list[Proposal]:
    """Return which classes may stand for which labels, label by label, the surest first; for somebody to confirm.

    Parameters
    ----------
    classes, labels : sequence of str
        Of the network and of the collection.
    encode : callable
        Texts -> (n, d) unit vectors, such as :meth:`and_core.encoders.base.TextEncoder.encode`.
    floor : float
        Cosine from which on two names match by their vectors alone, -1 to 1. Only labels that nothing else matches are
        matched so, and only if each is the other's nearest.

    Raises
    ------
    ConfigError
        `classes` or `labels` is empty.
    """
    classes, labels = list(dict.fromkeys(classes)), list(dict.fromkeys(labels))
    for what, names in (("classes", classes), ("labels", labels)):
        if not names:
            raise ConfigError(f"{what}=[] leaves nothing to match; give at least one name")
    vectors = np.asarray(encode([readable(name) for name in (*classes, *labels)]), np.float64)
    cosine = vectors[: len(classes)] @ vectors[len(classes) :].T
    hows = _hows(classes, labels, cosine, floor)
    return [
        Proposal(classes[c], label, how, float(cosine[c, n]))
        for n, label in enumerate(labels)
        for c, how in sorted(hows[n].items(), key=lambda item: (HOWS.index(item[1]), item[0]))
    ]


def _hows(classes: list[str], labels: list[str], cosine: np.ndarray, floor: float) -> list[dict[int, How]]:
    """Return for each label: number of a class -> how the two match."""
    if {plain_name(name) for name in classes} == {plain_name(label) for label in labels}:
        # One vocabulary: whoever made it tells snoring from breathing, so that nothing but the name matches.
        return [{c: "name" for c, name in enumerate(classes) if plain_name(name) == plain_name(n)} for n in labels]
    hows = [match_classes(classes, label) for label in labels]
    bare = [n for n, how in enumerate(hows) if not how]
    for c, n in _mutual(cosine, floor):
        if n in bare and not _apart(classes[c], labels[n]):
            hows[n][c] = "embedding"
    return hows


def match_classes(classes: Sequence[str], label: str) -> dict[int, How]:
    """Return which classes match a label by name, by words or by the hierarchy: number of a class -> how.

    Examples
    --------
    >>> match_classes(["Animal", "Dog", "Siren"], "dog")
    {1: 'name', 0: 'parent'}
    """
    how = _by_words(classes, label)
    above = {*parents(label), *(name for c in how for name in parents(classes[c]))}
    for c, name in enumerate(classes):
        if spelling(name) in above:
            how.setdefault(c, "parent")
    return how


def _mutual(cosine: np.ndarray, floor: float) -> Iterator[tuple[int, int]]:
    """Yield class and label that are each other's nearest, at `floor` or above."""
    nearest = cosine.argmax(0)
    for label, name in enumerate(nearest):
        if cosine[name].argmax() == label and cosine[name, label] >= floor:
            yield int(name), label


# -- by words ----------------------------------------------------------------------------------------------------------


def _by_words(classes: Sequence[str], label: str) -> dict[int, How]:
    """Return numbers of the classes that a label matches by name or by words.

    Number folds always, "sneezing" into "sneeze" only where no name matches as it stands: "crow" is no crowing.
    """
    hows: dict[int, How] = {}
    for fold in (_singular, _stem):
        for number, name in enumerate(classes):
            how = _match(name, label, fold)
            if how is not None:
                hows.setdefault(number, how)
        if "name" in hows.values():
            break
    return hows


def _match(class_name: str, label: str, fold: Callable[[str], str]) -> How | None:
    if plain_name(class_name) == plain_name(label):
        return "name"
    pairs = [
        ([fold(word) for word in ours], [fold(word) for word in theirs], theirs)
        for ours, theirs in product(_parts(class_name), _parts(label))
        if ours and theirs  # a name of signs alone has no words
    ]
    if any(_same(ours, theirs) for ours, theirs, _ in pairs):
        return "name"
    if _apart(class_name, label):
        return None
    for ours, theirs, unfolded in pairs:
        heads = {fold(word) for word in _heads(unfolded)}
        if (set(ours) <= set(theirs) and heads & set(ours)) or _without_more(ours) == theirs:
            return "word"
    return None


def _apart(class_name: str, label: str) -> bool:
    """Return whether the hierarchy knows both names, and neither as a kind of the other: a mouse click is no mouse."""
    return None not in (spelling(class_name), spelling(label)) and not related([class_name], label)


@lru_cache(maxsize=8192)
def _parts(name: str) -> list[list[str]]:
    """Return the words of each part of a name that stands for the whole: "Chicken, rooster" -> chicken, rooster."""
    parts = [name_words(part) for part in PARTS.split(plain_name(spelling(name) or name))]
    return [part for part in parts if part] or [name_words(name)]


def _same(ours: list[str], theirs: list[str]) -> bool:
    """Return whether two parts have the same words in any order, or would if a compound were written apart."""
    joined = {"".join(words) for words in (ours, ours[::-1])} & {"".join(words) for words in (theirs, theirs[::-1])}
    return set(ours) == set(theirs) or bool(joined)


def _without_more(words: list[str]) -> list[str]:
    """Return the words of a class without those that make it no other sound: "rain on surface", "classical music"."""
    end = next((n for n, word in enumerate(words) if n and word in PLACE), len(words))
    return words[: end - 1] if end > 1 and words[end - 1] in GENERIC else words[:end]


def _heads(words: list[str]) -> set[str]:
    """Return what a label is and what it does: a class that is called so has the label's clips, and others.

    What it is: the last word ("church bell" is a bell, "mouse click" no mouse), before a preposition or what it does
    ("glass breaking"). What it does: a word on -ing ("crackling fire" is crackling).
    """
    end = next((n for n, word in enumerate(words) if n and word in OF), len(words))
    doing = {word for word in words[:end] if word.endswith("ing")}
    while end > 1 and words[end - 1] in doing:
        end -= 1
    return {words[end - 1], *doing}


def _singular(word: str) -> str:
    """Return a word in the singular, by rules that hold for names of sounds.

    Examples
    --------
    >>> [_singular(word) for word in ("babies", "waves", "splashes", "glass", "mice")]
    ['baby', 'wave', 'splash', 'glass', 'mouse']
    """
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if re.search(r"(ch|sh|ss|x|zz)es$", word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and re.search(r"[^sui]s$", word) else word


def _stem(word: str) -> str:
    """Return a word without number, -ing and a silent e, for comparing alone.

    Examples
    --------
    >>> [_stem(word) for word in ("sneezing", "sneeze", "clapping", "string", "cries")]
    ['sneez', 'sneez', 'clap', 'string', 'cry']
    """
    word = _singular(word)
    if len(word) > 5 and word.endswith("ing") and re.search("[aeiouy]", word[:-3]):
        word = word[:-3]
        return word[:-1] if re.search(r"([bdgkmnprt])\1$", word) else word.removesuffix("e")
    return word.removesuffix("e")
