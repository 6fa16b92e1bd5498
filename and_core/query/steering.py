"""Reading what neurons push and what turning them does: one neuron's classes, and the neuron that a page opens on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.query.openings import surest_neuron
from and_core.records import NeuronId
from and_core.store.dissection import Dissection

KEPT = 4  # dissections


@dataclass(frozen=True, eq=False)
class DoseResponse:
    """What a network says while one neuron is turned.

    Attributes
    ----------
    doses : (D,) float
        In standard deviations of the neuron over the probing set.
    shares : (D, C) float
        Mean probability of each class.
    random : (D, C) float
        Mean absolute change of each class's probability by random directions of the same length, at the lowest and the
        highest dose; NaN between.
    beyond : (D,) bool
        Doses at which the neuron lies beyond anything that it did on the probing set.
    flips : (D,) float
        Share of clips whose likeliest class is another one than without the dial.
    """

    doses: np.ndarray
    shares: np.ndarray
    random: np.ndarray
    beyond: np.ndarray
    flips: np.ndarray

    @property
    def base(self) -> np.ndarray:
        """(C,) mean probability of each class without the dial."""
        return np.asarray(self.shares[list(self.doses).index(0.0)])


def pushed_classes(d: Dissection, neuron: NeuronId, most: int) -> list[tuple[str, float]]:
    """Return the classes that a neuron moves furthest, each with the change of its logit by one standard deviation;
    empty where it is not known."""
    if not d.has("steering") or "reason" in d.notes("steering"):
        return []
    effect = np.asarray(d.pushes[d.index(neuron)], float)
    if not np.isfinite(effect).all():
        return []
    order = np.argsort(-np.abs(effect), kind="stable")[:most]
    return [(d.target_classes[c], float(effect[c])) for c in order.tolist()]


@lru_cache(maxsize=KEPT)
def named_classes(d: Dissection) -> list[frozenset[int]]:
    """Return for each neuron the network's classes that its headline names with confidence."""
    if not d.has("explanations"):
        return [frozenset()] * d.neuron_count
    headlines, mapping, classes = d.headlines, class_map_of(d), d.target_classes or []
    of_concept = {
        concept: frozenset(classes_of_concept(mapping, classes, concept))
        for concept in {c for c in headlines.concept.tolist() if c}
    }
    return [
        of_concept[concept] if concept and holds else frozenset()
        for concept, holds in zip(headlines.concept.tolist(), headlines.holds.tolist(), strict=True)
    ]


def names_what_it_moves(d: Dissection, index: int) -> bool | None:
    """Return whether a neuron's confident headline names the class that it moves up most; None where it names none."""
    own, up = named_classes(d)[index], d.pushed["up_class"][index].as_py()
    return up in {d.target_classes[c] for c in own} if own and up is not None else None


def most_moving_neuron(d: Dissection) -> NeuronId:
    """Return the hidden neuron that moves the class of its own confident headline most, further than random directions
    do; the surest one where none does."""
    if "reason" in d.notes("steering") or not d.has("explanations"):
        return surest_neuron(d)
    effect = np.nan_to_num(np.asarray(d.pushed["up"].to_numpy(zero_copy_only=False), float), nan=-np.inf)
    effect[~d.pushed["effective"].to_numpy(zero_copy_only=False)] = -np.inf
    for layer in d.layers:
        if layer.kind == "fc":
            effect[layer.offset : layer.offset + layer.size] = -np.inf
    for index in np.argsort(-effect, kind="stable")[:1000].tolist():
        if np.isfinite(effect[index]) and names_what_it_moves(d, index):
            return d.neuron_id(index)
    return surest_neuron(d)
