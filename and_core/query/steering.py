"""Reading what neurons push and what turning them does: one neuron's classes, and the neuron that a page opens on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.query.openings import surest_neuron
from and_core.records import NeuronId
from and_core.store.dissection import Dissection


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


def names_what_it_moves(d: Dissection, index: int) -> bool | None:
    """Return whether a neuron's confident headline names the class that it moves up most; None where it names none."""
    headlines = d.headlines
    concept, up = headlines.concept[index], d.pushed["up_class"][index].as_py()
    if not concept or not headlines.holds[index] or up is None:
        return None
    classes = d.target_classes
    own = classes_of_concept(class_map_of(d), classes, concept)
    return up in {classes[c] for c in own} if own else None


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
