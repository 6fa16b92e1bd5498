"""Planted neurons: linear units fitted to mean something known, so that hidden layers have a ground truth.

Each reads one layer of the network and is fitted by ridge regression on clips that are not in the probing set: to a
class, to a measured property of the sound, to both together, to everything but a class, to the rank of an acoustic
measure; or it is a random direction and means nothing. :mod:`and_core.evaluate.planted_fit` fits them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from and_core.audio.adjectives import earned
from and_core.labels.hierarchy import descendants, parents
from and_core.store.dissection import Dissection

KINDS = ("concept", "property", "conjunction", "negation", "random", "quantity", "disjunction", "pair", "category")
LEAST = 8  # clips with and without the meaning that a fit needs
LEAST_TOLD = 4  # clips of a half of the probing set with and without each of two meanings at once
LEAST_MEASURED = 40  # clips with a measure, and different values of it, that a fit to its ranks needs
EACH = {"conjunction": 10, "negation": 10, "random": 40, "disjunction": 10, "pair": 10, "category": 10}  # a layer
TRIED = 100  # of two meanings at once, that are fitted, so that a layer may hold as many of them


@dataclass(frozen=True)
class Unit:
    """What a unit was planted to mean: a class, an adjective that measures bear out, both, all but a class, either of
    two classes, two adjectives at once, any class of a category, more of a measure (or less of it, where `sign` is -1),
    or nothing.

    `other` is the second class or adjective; a category stands in `concept`.
    """

    kind: str
    concept: str = ""
    word: str = ""
    measure: str = ""
    sign: int = 1
    other: str = ""

    def as_dict(self) -> dict[str, str | int]:
        """Return a dictionary for a file."""
        return asdict(self)


def measured_words(rows: Sequence[Mapping[str, Any]]) -> list[frozenset[str]]:
    """Return, for each clip, the adjectives that its measures earn."""
    return [
        frozenset(rule.word for rule in earned({k: float("nan") if v is None else v for k, v in row.items()}).values())
        for row in rows
    ]


def meant(unit: Unit, labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]]) -> np.ndarray | None:
    """Return (N,) bool: clips that have a unit's meaning; None for a random direction and for a quantity."""
    below = {unit.concept, *descendants(unit.concept)} if unit.kind == "category" else {unit.concept}
    of_class = np.array([not below.isdisjoint(own) for own in labels])
    with_word = np.array([unit.word in of_clip for of_clip in words])
    masks: dict[str, np.ndarray] = {
        "concept": of_class,
        "property": with_word,
        "conjunction": of_class & with_word,
        "negation": ~of_class,
        "disjunction": of_class | np.array([unit.other in own for own in labels]),
        "pair": with_word & np.array([unit.other in of_clip for of_clip in words]),
        "category": of_class,
    }
    return masks.get(unit.kind)


def choose_units(labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]], seed: int) -> list[Unit]:
    """Return what is planted: every class and every measured adjective that enough fitting clips have, and some of the
    other kinds, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    classes = sorted({label for own in labels for label in own})
    adjectives = sorted(frozenset().union(*words)) if words else []

    def fits(unit: Unit) -> bool:
        mask = meant(unit, labels, words)
        return mask is not None and mask.sum() >= LEAST and (~mask).sum() >= LEAST

    def without_word(unit: Unit) -> int:
        """Count clips of the unit's class that lack its word."""
        of_class, both = meant(Unit("concept", unit.concept), labels, words), meant(unit, labels, words)
        assert of_class is not None and both is not None
        return int((of_class & ~both).sum())

    singles = [
        unit
        for unit in (*(Unit("concept", c) for c in classes), *(Unit("property", word=w) for w in adjectives))
        if fits(unit)
    ]
    pairs = [Unit("conjunction", c, w) for c in classes for w in adjectives]
    pairs = [unit for unit in pairs if fits(unit) and without_word(unit) >= LEAST]
    others = [unit for unit in (Unit("negation", c) for c in classes) if fits(unit)]
    drawn = [
        [candidates[i] for i in rng.permutation(len(candidates))[: TRIED if kind == "conjunction" else EACH[kind]]]
        for kind, candidates in (("conjunction", pairs), ("negation", others))
    ]
    return [*singles, *drawn[0], *drawn[1], *(Unit("random") for _ in range(EACH["random"]))]


def choose_forms(labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]], seed: int) -> list[Unit]:
    """Return units that mean several things: two classes, two adjectives that clips have each without the other too,
    and whole categories of the hierarchy with two classes or more; drawn by `seed`."""
    rng = np.random.default_rng([seed, len(KINDS)])
    classes = sorted({label for own in labels for label in own})
    adjectives = sorted(frozenset().union(*words)) if words else []
    heads = sorted({parent for c in classes for parent in parents(c)} - set(classes))
    candidates = {
        "disjunction": [Unit("disjunction", a, other=b) for i, a in enumerate(classes) for b in classes[i + 1 :]],
        "pair": [Unit("pair", word=a, other=b) for i, a in enumerate(adjectives) for b in adjectives[i + 1 :]],
        "category": [Unit("category", h) for h in heads if len(set(descendants(h)) & set(classes)) > 1],
    }
    chosen: list[Unit] = []
    for kind, units in candidates.items():
        fitting = [unit for unit in units if _fits(unit, labels, words)]
        chosen += [fitting[i] for i in rng.permutation(len(fitting))[: TRIED if kind == "pair" else EACH[kind]]]
    return chosen


def chosen_of_layer(units: Sequence[Unit], valid: np.ndarray) -> list[int]:
    """Return numbers of the units that are planted in a layer: those that it holds, of each kind in :data:`EACH` the
    first so many."""
    counts: Counter[str] = Counter()
    chosen = []
    for number, unit in enumerate(units):
        if valid[number] and counts[unit.kind] < EACH.get(unit.kind, len(units)):
            counts[unit.kind] += 1
            chosen.append(number)
    return chosen


def halves_of(
    unit: Unit, labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (N,) bool, twice: clips that have each of two meanings that a unit has at once; None for other kinds."""
    if unit.kind not in ("conjunction", "pair"):
        return None
    other = [unit.other in own for own in words] if unit.kind == "pair" else [unit.concept in own for own in labels]
    return np.array([unit.word in own for own in words]), np.array(other)


def can_be_told(
    unit: Unit, labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]], first: np.ndarray
) -> bool:
    """Return whether each half of a probing set has clips enough to tell the two meanings of a unit apart: some with
    both, some with either alone (a class: without the adjective); True for other kinds.

    Parameters
    ----------
    first : (N,) bool
        Clips of the first half.
    """
    halves = halves_of(unit, labels, words)
    if halves is None:
        return True
    word, other = halves
    kinds = [word & other, other & ~word, *([word & ~other] if unit.kind == "pair" else [])]
    return all((kind & part).sum() >= LEAST_TOLD for kind in kinds for part in (first, ~first))


def _fits(unit: Unit, labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]]) -> bool:
    """Return whether enough clips have the unit's meaning, and enough have not; of a pair, also each word alone."""
    mask = meant(unit, labels, words)
    if mask is None or min(mask.sum(), (~mask).sum()) < LEAST:
        return False
    alone = [
        np.array([word in own for own in words]) & ~mask for word in (unit.word, unit.other) if unit.kind == "pair"
    ]
    return all(one.sum() >= LEAST for one in alone)


def choose_quantities(measures: Mapping[str, np.ndarray]) -> list[Unit]:
    """Return what is planted of measures: more and less of each one that enough fitting clips have.

    Parameters
    ----------
    measures : mapping of str to (N,) float
        NaN where a measure has no meaning for a clip.
    """
    fit = [name for name, values in measures.items() if len(np.unique(values[np.isfinite(values)])) >= LEAST_MEASURED]
    return [Unit("quantity", measure=name, sign=sign) for name in fit for sign in (1, -1)]


def auroc(values: np.ndarray, mask: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN where all or no clips have the meaning."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(mask, values)) if mask.any() and not mask.all() else float("nan")


def true_words(
    d: Dissection, index: int, words: Sequence[frozenset[str]], k: int, base: Mapping[str, float]
) -> set[str]:
    """Return adjectives that most of a neuron's highest clips earn by their measures, and more of them than of all
    clips."""
    tops = [int(c) for c in np.asarray(d.extreme_indices("high")[index, :k]) if c >= 0]
    counts = {word: sum(word in words[c] for c in tops) / max(1, len(tops)) for word in base}
    return {word for word, share in counts.items() if share > 0.5 and share > base[word]}
