"""Traces: a neuron's activation over the time of a clip, kept in eight bits for its highest and lowest clips.

They are kept while the network runs, from running top-tens, so that memory and disk depend on the number of neurons and
not on the number of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from and_core.store.traces import UNHEARD, quantise

FRAMES = 100  # of a trace, from the beginning of the clip to its end
KEPT = 10  # highest clips of a neuron, and as many lowest
ENTRY = ("neuron", "side", "clip", "value", "low", "high", "levels")

Traced = Callable[[np.ndarray], np.ndarray]


def frame_weights(edges: np.ndarray, seconds: float, audible: float, frames: int = FRAMES) -> np.ndarray:
    """Return (columns, frames) float32: which share of each frame of a clip lies in which column of a map.

    Parameters
    ----------
    edges : (columns + 1,)
        Edges of the columns in seconds; the first column begins where the clip does, and the last goes on to the end of
        what is heard if that is near.
    seconds, audible : float
        Length of the clip, and of what the network hears of it.

    Returns
    -------
    (columns, frames) float32
        Frames sum to 1; NaN in those that the network does not hear.
    """
    edges = np.asarray(edges, np.float64).copy()
    edges[0] = min(edges[0], 0.0)
    if 0 < audible - edges[-1] <= 1.5 * (edges[-1] - edges[-2]):
        edges[-1] = audible
    bounds = np.linspace(0, seconds, frames + 1)
    low = np.maximum(edges[:-1, None], bounds[None, :-1])
    high = np.minimum(np.minimum(edges[1:, None], bounds[None, 1:]), audible + 1e-9)
    overlap = np.maximum(high - low, 0.0)
    covered = overlap.sum(0)
    unheard = covered < 0.5 * seconds / frames
    return np.where(unheard, np.nan, overlap / np.where(unheard, 1, covered)).astype(np.float32)


class RunningTraces:
    """The highest and lowest clips of every neuron so far, each with its trace.

    Parameters
    ----------
    neurons : int
        Of the whole network.
    kept, frames : int
        Clips a side, and frames a trace.

    Attributes
    ----------
    clips : (2, R, kept) int32
        Highest first, then lowest first; -1 for none. Ties go to the lowest clip index.
    """

    def __init__(self, neurons: int, kept: int = KEPT, frames: int = FRAMES) -> None:
        self.kept, self.frames = kept, frames
        shape = (2, neurons, kept)
        self.keys = np.full(shape, -np.inf, np.float32)
        self.clips = np.full(shape, -1, np.int32)
        self._slots = np.broadcast_to(np.arange(kept, dtype=np.uint8), shape).copy()
        self._low, self._high = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._levels = np.zeros((*shape, frames), np.uint8)

    def entering(self, first: int, values: np.ndarray) -> np.ndarray:
        """Return (R,) bool: neurons, counted from `first`, of which any of the values (B, R) may enter."""
        units = slice(first, first + values.shape[1])
        return (values.max(0) > self.keys[0, units, -1]) | (-values.min(0) > self.keys[1, units, -1])

    def add(self, first: int, clip: int, values: np.ndarray, traced: Traced) -> None:
        """Take in one clip; clips come in the order of their index.

        Parameters
        ----------
        first, clip : int
            Index of the first neuron, and of the clip.
        values : (R,) float32
            Activations.
        traced : callable
            Neurons (n,), counted from `first` -> their traces (n, frames) float32.
        """
        units = slice(first, first + len(values))
        enters = [sign * values > self.keys[side, units, -1] for side, sign in enumerate((1, -1))]
        wanted = np.flatnonzero(enters[0] | enters[1])
        if not len(wanted):
            return
        levels, low, high = quantise(traced(wanted))
        for side, sign in enumerate((1, -1)):
            chosen = enters[side][wanted]
            rows = wanted[chosen]
            self._insert(side, rows + first, sign * values[rows], clip, levels[chosen], low[chosen], high[chosen])

    def _insert(
        self, side: int, rows: np.ndarray, keys: np.ndarray, clip: Any, levels: np.ndarray, low: np.ndarray,
        high: np.ndarray,
    ) -> None:  # fmt: skip
        """Insert one clip into each of some neurons' rows, in the slot of the last."""
        if not len(rows):
            return
        place = (self.keys[side, rows] >= keys[:, None]).sum(1)[:, None]
        ranks = np.arange(self.kept)[None]
        source = np.where(ranks > place, ranks - 1, ranks)
        free = self._slots[side, rows, -1]
        for array, new in ((self.keys, keys), (self.clips, clip), (self._slots, free)):
            shifted = np.take_along_axis(array[side, rows], source, 1)
            array[side, rows] = np.where(ranks == place, np.reshape(new, (-1, 1)), shifted)
        self._low[side, rows, free], self._high[side, rows, free] = low, high
        self._levels[side, rows, free] = levels

    def entries(self, since: int) -> dict[str, np.ndarray]:
        """Return the clips from `since` on that are among the highest or lowest now, as columns of equal length."""
        side, neuron, rank = np.nonzero(self.clips >= since)
        clips = self.clips[side, neuron, rank]
        order = np.lexsort((neuron, side, clips))
        side, neuron, rank = side[order], neuron[order], rank[order]
        slot = self._slots[side, neuron, rank]
        return {
            "neuron": neuron.astype(np.int32),
            "side": side.astype(np.uint8),
            "clip": self.clips[side, neuron, rank],
            "value": self.keys[side, neuron, rank],
            "low": self._low[side, neuron, slot],
            "high": self._high[side, neuron, slot],
            "levels": self._levels[side, neuron, slot],
        }

    def restore(self, entries: Mapping[str, np.ndarray]) -> None:
        """Take in what :meth:`entries` gave, of chunks of clips in their order."""
        neuron, side, clip, value, low, high, levels = (entries[name] for name in ENTRY)
        for one in np.unique(clip):
            for which in (0, 1):
                rows = np.flatnonzero((clip == one) & (side == which))
                self._insert(
                    which, neuron[rows].astype(np.int64), value[rows], one, levels[rows], low[rows], high[rows]
                )

    def result(self) -> dict[str, np.ndarray]:
        """Return arrays by rank: clips (R, 2, kept), ranges (R, 2, kept, 2) float32, levels (R, 2, kept, frames)."""
        neurons = self.clips.shape[1]
        levels = np.empty((neurons, 2, self.kept, self.frames), np.uint8)
        ranges = np.empty((neurons, 2, self.kept, 2), np.float32)
        for side in (0, 1):
            slots = self._slots[side]
            levels[:, side] = np.take_along_axis(self._levels[side], slots[..., None], 1)
            ranges[:, side, :, 0] = np.take_along_axis(self._low[side], slots, 1)
            ranges[:, side, :, 1] = np.take_along_axis(self._high[side], slots, 1)
        clips = self.clips.transpose(1, 0, 2)
        levels[clips < 0], ranges[clips < 0] = UNHEARD, 0
        return {"clips": np.ascontiguousarray(clips), "ranges": ranges, "levels": levels}
