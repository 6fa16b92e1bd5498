"""Which neurons are ablated: masks over the neurons of hidden layers, and the random baselines that are fair to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from and_core.errors import ConfigError, one_of
from and_core.records import Layer, NeuronId

Masks = dict[str, np.ndarray]


@dataclass(frozen=True)
class Selection:
    """Neurons of a strategy: layer name -> (R,) bool, with the strategy's name and, for random ones, the seed."""

    strategy: str
    masks: Masks
    seed: int | None = None

    @property
    def count(self) -> int:
        """Neurons in all."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def per_layer(self) -> dict[str, int]:
        """Neurons in each layer."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}


def hidden(layers: Sequence[Layer]) -> list[Layer]:
    """Layers that may be ablated: all but the classifier."""
    return [layer for layer in layers if layer.kind != "fc"]


def by_mask(strategy: str, layers: Sequence[Layer], chosen: np.ndarray) -> Selection:
    """From one bool per neuron of the whole dissection; the classifier's are left out."""
    return Selection(strategy, {layer.name: np.array(chosen[layer.offset : layer.offset + layer.size], bool) for layer in hidden(layers)})


def by_list(layers: Sequence[Layer], neurons: Sequence[NeuronId]) -> Selection:
    """A user's own list.

    Raises
    ------
    ConfigError
        A neuron that there is not, or one of the classifier.
    """
    masks = {layer.name: np.zeros(layer.size, bool) for layer in hidden(layers)}
    for neuron in neurons:
        if neuron.layer not in masks or not 0 <= neuron.unit < len(masks[neuron.layer]):
            raise ConfigError(f"neuron={str(neuron)!r} is not in a hidden layer; there are: {', '.join(f'{n}/0..{len(m) - 1}' for n, m in masks.items())}")
        masks[neuron.layer][neuron.unit] = True
    return Selection("list", masks)


def by_concept(strategy: str, layers: Sequence[Layer], best: np.ndarray, concept: int, top: int = 3) -> Selection:
    """TAB and DB: the concept is among a neuron's `top` closed concepts, `best` being (neurons, ranks) concept numbers."""
    return by_mask(strategy, layers, (best[:, :top] == concept).any(1))


def at_random(layers: Sequence[Layer], count: int, seed: int) -> Selection:
    """The paper's baseline: `count` neurons (or all there are), uniformly over all hidden layers."""
    rng = np.random.default_rng(seed)
    total = sum(layer.size for layer in hidden(layers))
    flat = np.zeros(total, bool)
    flat[rng.permutation(total)[: min(count, total)]] = True
    sizes = np.cumsum([layer.size for layer in hidden(layers)])[:-1]
    return Selection("random", {layer.name: part for layer, part in zip(hidden(layers), np.split(flat, sizes), strict=True)}, seed)


def fair_random(masks: Mapping[str, np.ndarray], seed: int) -> Selection:
    """The fair baseline: as many neurons as `masks`, layer by layer."""
    rng = np.random.default_rng(seed)
    return Selection("fair random", {name: rng.permutation(np.asarray(mask, bool)) for name, mask in masks.items()}, seed)


def concept_words(concepts: Sequence[str], lemmas: Callable[[list[str]], list[list[str]]]) -> dict[str, tuple[set[str], set[str]]]:
    """Content-word lemmas of each concept's name, and those among them that other concepts have as well (bird, wood, clock, water).

    Parameters
    ----------
    concepts : sequence of str
        Names with or without underscores.
    lemmas : callable
        Texts -> the lemmas of each one's content words.
    """
    found = [set(words) for words in lemmas([c.replace("_", " ") for c in concepts])]
    count = Counter(word for words in found for word in words)
    return {c: (words, {w for w in words if count[w] > 1}) for c, words in zip(concepts, found, strict=True)}


def matching(
    nouns: Iterable[str], concept: str, words: Mapping[str, tuple[set[str], set[str]]], *, leave_shared: bool = False, substring: bool = False
) -> set[str]:
    """OCP: those of the nouns that name the concept.

    Parameters
    ----------
    nouns : iterable of str
        Lemmas of open-set entities (nouns of calibrated summaries).
    concept : str
        One of `words`.
    words : mapping
        As :func:`concept_words` gives them.
    leave_shared : bool
        Leave out words that name several concepts.
    substring : bool
        As the reference does it: the noun stands somewhere in the concept's name, so that "in" or "s" match too.

    Raises
    ------
    ConfigError
        The concept is not among `words`.
    """
    if concept not in words:
        raise one_of("concept", concept, words)
    mine, shared = words[concept]
    wanted = mine - shared if leave_shared else mine
    name = concept.replace("_", " ").lower()
    return {noun for noun in nouns if (noun in name if substring else noun in wanted)}
