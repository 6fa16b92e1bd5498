"""Everything in a dissection that can be jumped to by a few letters: layers, neurons, concepts, words."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from and_core.records import NeuronId
from and_core.store.dissection import Dissection

Kind = Literal["neuron", "layer", "concept", "adjective"]
EACH = 5  # of a kind


class Destination(NamedTuple):
    """Something to jump to."""

    kind: Kind
    name: str
    note: str = ""


def jump_places(d: Dissection, typed: str, each: int = EACH) -> list[Destination]:
    """Return what a few letters may mean in a dissection, neurons first where a unit is named.

    ``layer2_intermediate/412``, ``2 inter 412`` and ``412`` name neurons; letters alone name layers, closed concepts
    and adjectives that hold them.

    Parameters
    ----------
    typed : str
        What was typed; nothing gives nothing.
    each : int
        The most of each kind.
    """
    words = [word.casefold() for word in re.split(r"[\s/,]+", typed.strip()) if word]
    if not words:
        return []
    layers = [layer.name for layer in d.layers]
    places: list[Destination] = []
    if words[-1].isdecimal() and len(words[-1]) < 10:
        unit = int(words[-1])
        fitting = [layer for layer in d.layers if unit < layer.size and _fits(layer.name, words[:-1])]
        places += [_neuron(d, NeuronId(layer.name, unit)) for layer in fitting[:each]]
    sizes = {layer.name: layer.size for layer in d.layers}
    places += [Destination("layer", name, f"{sizes[name]:,} neurons") for name in layers if _fits(name, words)][:each]
    if d.has("explanations"):
        for kind, names in (("concept", d.explained_concepts), ("adjective", d.explained_adjectives)):
            fitting_names = sorted((n for n in names if _fits(n, words)), key=lambda n: not n.startswith(words[0]))
            places += [Destination(kind, name) for name in fitting_names[:each]]  # type: ignore[arg-type]
    return places


def _fits(name: str, words: list[str]) -> bool:
    """Return whether each word stands in a name, in any case, with a space or a line below between its parts."""
    spaced = name.replace("_", " ").casefold()
    return all(word.replace("_", " ") in spaced for word in words)


def _neuron(d: Dissection, neuron: NeuronId) -> Destination:
    concept = d.headlines.concept[d.index(neuron)] if d.has("explanations") else None
    return Destination("neuron", str(neuron), (concept or "").replace("_", " "))
