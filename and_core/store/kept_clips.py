"""A dissection after a streamed pass, as stages see it: with the clips whose activations are kept, or as before it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from and_core.records import Clip
from and_core.store.dissection import Dissection


class KeptClips(Dissection):
    """The same dissection, every axis of clips cut to those whose activations are kept, which are the first."""

    def __init__(self, whole: Dissection) -> None:
        super().__init__(whole.folder)
        streamed = whole.streamed
        assert streamed is not None
        self._kept = int(streamed["kept"])
        self._cut: dict[str, np.ndarray] = {}

    @property
    def clip_table(self) -> pa.Table:
        """One row a clip whose activations are kept."""
        return super().clip_table.slice(0, self._kept)

    def array(self, name: str) -> np.ndarray:
        """Return an array; of one with a row a clip, the rows of these clips; of extreme clips, those among them."""
        if name not in self._cut:
            array = super().array(name)
            if name in ("neurons/high_clips", "neurons/low_clips"):
                array = np.where(array < self._kept, array, -1)
            self._cut[name] = array[: self._kept] if self.artifact(name).axes[:1] == ["clip"] else array
        return self._cut[name]


def kept_clips(d: Dissection) -> Dissection:
    """Return a dissection whose clips all have activations: itself, but after a streamed pass."""
    return d if d.streamed is None else KeptClips(d)


class ListedClips(Dissection):
    """The same dissection with all clips that were listed, as if there had been no pass over them."""

    @property
    def streamed(self) -> None:
        """Nothing."""
        return None

    @cached_property
    def clips(self) -> list[Clip]:
        """All clips that were listed, with the dataset's own labels: corrections go by the numbers after the pass."""
        return self.clips_as_given


def listed_clips(d: Dissection) -> Dissection:
    """Return a dissection whose clips are all that were listed: itself, but after a streamed pass."""
    return d if d.streamed is None else ListedClips(d.folder)
