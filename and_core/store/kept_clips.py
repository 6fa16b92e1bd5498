"""A dissection after a streamed pass, as stages see it: with the clips whose activations are kept, or as before it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from and_core.store.dissection import Dissection


class KeptClips(Dissection):
    """The same dissection, every axis of clips cut to those whose activations are kept, which are the first."""

    def __init__(self, whole: Dissection) -> None:
        super().__init__(whole.folder)
        streamed = whole.streamed
        assert streamed is not None
        self._kept = int(streamed["kept"])

    @property
    def clip_table(self) -> pa.Table:
        """One row a clip whose activations are kept."""
        return super().clip_table.slice(0, self._kept)

    def array(self, name: str) -> np.ndarray:
        """Return an array; of one that has a row a clip, the rows of these clips."""
        array = super().array(name)
        return array[: self._kept] if self.artifact(name).axes[:1] == ["clip"] else array


def kept_clips(d: Dissection) -> Dissection:
    """Return a dissection whose clips all have activations: itself, but after a streamed pass."""
    return d if d.streamed is None else KeptClips(d)


class ListedClips(Dissection):
    """The same dissection with all clips that were listed, as if there had been no pass over them."""

    @property
    def streamed(self) -> None:
        """Nothing."""
        return None


def listed_clips(d: Dissection) -> Dissection:
    """Return a dissection whose clips are all that were listed: itself, but after a streamed pass."""
    return d if d.streamed is None else ListedClips(d.folder)
