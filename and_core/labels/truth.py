"""What is true of the clips of a dissection, in the classes of its network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from and_core.labels.class_map import ClassMap, by_name, label_truth, truth
from and_core.labels.hierarchy import name_words, parents, spelling
from and_core.names import plain_name
from and_core.store.dissection import Dissection


def class_map_of(d: Dissection) -> ClassMap:
    """Return which labels each class of the network stands for: as the configuration's file says, else those of its
    name."""
    pairs = d.class_pairs
    return by_name(d.target_classes or [], d.classes) if pairs is None else ClassMap(tuple(pairs))


def class_truth(d: Dissection) -> np.ndarray:
    """Return (N, C) bool: which of the network's classes each clip has; C is 0 where it has no classifier."""
    return truth(class_map_of(d), [clip.labels for clip in d.clips], d.target_classes or [])


def concept_truth(class_map: ClassMap, classes: Sequence[str], concepts: Sequence[str]) -> np.ndarray:
    """Return (C, M) bool: which concepts are right for each class: the labels that it stands for, and its own name."""
    right = label_truth(class_map, classes, concepts)
    plain = [plain_name(concept) for concept in concepts]
    return right | np.array([[plain_name(name) == concept for concept in plain] for name in classes], bool).reshape(
        right.shape
    )


def classes_of_concept(class_map: ClassMap, classes: Sequence[str], concept: str) -> tuple[int, ...]:
    """Return the classes that a concept is: the one of its name; else those that stand for this label and no other, but
    for what is broader than another of them and is not called so too (Fowl, beside Crowing and Chicken, rooster); else
    all that stand for it."""
    plain = plain_name(concept)
    same = tuple(i for i, name in enumerate(classes) if plain_name(name) == plain)
    if same:
        return same[-1:]
    standing: dict[str, list[str]] = {}
    for class_name, label in class_map.pairs:
        standing.setdefault(plain_name(class_name), []).append(plain_name(label))
    labels_of_class = {i: standing.get(plain_name(name), []) for i, name in enumerate(classes)}
    of_concept = {i: labels for i, labels in labels_of_class.items() if plain in labels}
    own = tuple(i for i, labels in of_concept.items() if len(labels) == 1)
    broader = {name for i in own for name in parents(classes[i])}
    words = set(name_words(concept))
    narrow = (i for i in own if spelling(classes[i]) not in broader or words <= set(name_words(classes[i])))
    return tuple(narrow) or tuple(of_concept)
