"""Which neurons are ablated: masks over the neurons of hidden layers, and the random baselines that are fair to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from and_core.errors import ConfigError
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
