"""What pages draw of a neuron's activations: those on all clips, of very many on some, read in the same time."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.records import NeuronId
from and_core.store.artifacts import reading

if TYPE_CHECKING:
    from and_core.store.dissection import Dissection

MOST_DRAWN = 20_000  # clips; of more about half as many are drawn


class DrawnActivations:
    """Activations of a dissection on the clips that pages draw.

    Clips are drawn in whole stretches of rows, as they lie on disk, evenly spaced. Every file of a layer is checked
    when it is first read, then those of the drawn stretches.
    """

    def __init__(self, dissection: Dissection) -> None:
        self.dissection = dissection
        self._opened: dict[str, tuple[Any, list[int]]] = {}

    @cached_property
    def clips(self) -> np.ndarray:
        """(n,) clips that are drawn, ascending."""
        d = self.dissection
        count = int(d.with_activations.sum())
        clips = np.arange(count)
        if count <= MOST_DRAWN:
            return clips
        apart = -(-2 * count // MOST_DRAWN)  # stretches of which one is read
        return clips[clips // _rows(d._zarr(d.layers[0].name)) % apart == 0]

    def read(self, neuron: NeuronId) -> np.ndarray:
        """Return (n,) activations of one neuron on these clips."""
        d = self.dissection
        if len(self.clips) == int(d.with_activations.sum()):
            return d._zarr(neuron.layer)[:, neuron.unit]
        name = d._activations_artifact(neuron.layer)
        if neuron.layer not in self._opened:
            self._opened[neuron.layer] = self._open(neuron.layer, name)
        array, files = self._opened[neuron.layer]
        for number in files:
            d._check(name, number)
        with reading(name):
            drawn: np.ndarray = array.oindex[self.clips, neuron.unit]
        return drawn

    def _open(self, layer: str, name: str) -> tuple[Any, list[int]]:
        """Return the array of a layer, and the numbers of the files that hold what is drawn of it."""
        d = self.dissection
        array = d._zarr(layer)
        stretches = set((self.clips // _rows(array)).tolist())
        files = [PurePosixPath(file.path).parts for file in d.artifact(name).files]
        return array, [i for i, path in enumerate(files) if path[-1] == "zarr.json" or int(path[-2]) in stretches]


def _rows(array: Any) -> int:
    """Return the clips in one file of an array."""
    return int((array.shards or array.chunks)[0])
