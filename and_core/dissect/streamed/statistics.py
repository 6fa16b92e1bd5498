"""All that is known of neurons over a stream of clips, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from and_core.config import MAX_K
from and_core.dissect.similarity_kernels import over_blocks
from and_core.dissect.streamed import kernels
from and_core.dissect.streamed.block_sums import BlockSums
from and_core.dissect.streamed.extremes import RunningExtremes
from and_core.dissect.streamed.histograms import Bins
from and_core.dissect.streamed.moments import Moments, described, join
from and_core.errors import DataError

HIGH = 100  # highest clips: soft_wpmi reads so many
LOW = MAX_K


class StreamedStatistics:
    """Extreme clips, moments, class means and histograms of R neurons, exactly, from blocks of clips.

    Parts that were made apart, of different blocks and with the same bins, merge to the bytes of the whole.

    Parameters
    ----------
    bins : Bins
        Of the histograms, set from the first clips of all.
    classes : int
        Labels that clips may have, C of them.
    """

    def __init__(self, bins: Bins, classes: int = 0) -> None:
        neurons = len(bins.low)
        self.bins, self.classes = bins, classes
        self.high, self.low = RunningExtremes(neurons, HIGH, 1), RunningExtremes(neurons, LOW, -1)
        self.counts = np.zeros((neurons, bins.count + 2), np.int64)
        self.minimum, self.maximum = np.full(neurons, np.inf, np.float32), np.full(neurons, -np.inf, np.float32)
        self.of_class = np.zeros(classes, np.int64)
        self.moments: BlockSums[Moments] = BlockSums(join)
        self.class_sums: BlockSums[np.ndarray] = BlockSums(np.add)

    def update(
        self,
        block: int,
        activations: np.ndarray,
        clips: np.ndarray,
        label_mask: np.ndarray | None = None,
        sources: np.ndarray | None = None,
    ) -> None:
        """Take in one block.

        Parameters
        ----------
        block : int
            Its number: blocks are summed in the order of their numbers.
        activations : (n, R) float32
            Finite; n may be 0, where none of the block's clips counts.
        clips : (n,) int
        label_mask : (n, C) bool, optional
        sources : (n,) int, optional
            Source recordings, each of which counts once among extreme clips.

        Raises
        ------
        DataError
            The block has been taken in before, or its width is not that of the bins.
        """
        u = np.ascontiguousarray(activations, np.float32)
        if u.ndim != 2 or u.shape[1] != len(self.bins.low):
            raise DataError(f"block={block} has shape {u.shape}, not (clips, {len(self.bins.low)} neurons)")
        mask = np.zeros((len(u), self.classes), bool) if label_mask is None else label_mask
        rows, labels = (np.ascontiguousarray(x, np.int64) for x in np.nonzero(mask))
        made, sums = np.zeros((4, u.shape[1])), np.zeros((self.classes, u.shape[1]))

        def tile(start: int, stop: int) -> None:
            if len(u):
                kernels.central_sums(u, start, stop, made, self.minimum, self.maximum)
            kernels.count_bins(u, start, stop, self.bins.low, self.bins.high, self.counts)
            kernels.add_classes(u, rows, labels, start, stop, sums)

        self.moments.check(0, block)
        over_blocks(tile, u.shape[1], kernels.TILE, torch.get_num_threads())
        self.moments.add(block, Moments(len(u), made))
        if self.classes:
            self.class_sums.add(block, sums)
        self.of_class += mask.sum(0)
        numbers = np.ascontiguousarray(clips, np.int64)
        once = np.full(len(u), -1, np.int64) if sources is None else np.ascontiguousarray(sources, np.int64)
        for side in (self.high, self.low):
            side.update(u, numbers, once)

    def merge(self, other: StreamedStatistics) -> None:
        """Take in what was made of other blocks.

        Raises
        ------
        DataError
            Other bins or classes, or a block is in both.
        """
        if not self.bins.same_as(other.bins) or self.classes != other.classes:
            raise DataError("statistics can be merged where they have the same bins and as many classes")
        self.moments.merge(other.moments)
        self.class_sums.merge(other.class_sums)
        self.high.merge(other.high)
        self.low.merge(other.low)
        self.counts += other.counts
        self.of_class += other.of_class
        self.minimum = np.minimum(self.minimum, other.minimum)
        self.maximum = np.maximum(self.maximum, other.maximum)

    def finish(self) -> dict[str, np.ndarray]:
        """Return the statistics.

        Returns
        -------
        dict
            ``high_clips``, ``low_clips`` (R, K) int64, -1 for none, ``high_values``, ``low_values`` (R, K) float32,
            ``histograms`` (R, bins + 2) int64 with what lies below and above, ``class_means`` (R, C) float32, and the
            columns of :func:`and_core.dissect.statistics.moments`, each (R,).

        Raises
        ------
        DataError
            No clip has been taken in.
        """
        total = self.moments.total()
        if total is None or not total.count:
            raise DataError("no clip has been taken in")
        sums = self.class_sums.total()
        count = np.where(self.of_class > 0, self.of_class, np.nan)
        means = np.zeros((len(self.counts), 0)) if sums is None else (sums / count[:, None]).T
        return {
            "high_clips": self.high.clips,
            "high_values": self.high.values,
            "low_clips": self.low.clips,
            "low_values": self.low.values,
            "histograms": self.counts,
            "class_means": np.ascontiguousarray(means, np.float32),
            **described(total, self.minimum, self.maximum),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return all there is so far, as arrays to be kept on disk."""
        arrays: dict[str, np.ndarray] = {
            "bins_low": self.bins.low, "bins_high": self.bins.high, "bins": np.array(self.bins.count),
            "counts": self.counts, "of_class": self.of_class, "minimum": self.minimum, "maximum": self.maximum,
        }  # fmt: skip
        for name, side in (("high", self.high), ("low", self.low)):
            arrays |= {f"{name}_keys": side.keys, f"{name}_clips": side.clips}
            if (side.sources >= 0).any():
                arrays[f"{name}_sources"] = side.sources
        for (level, place), node in self.moments.nodes.items():
            arrays[f"moments/{level}/{place}/{node.count}"] = node.sums
        for (level, place), sums in self.class_sums.nodes.items():
            arrays[f"classes/{level}/{place}"] = sums
        return arrays

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> StreamedStatistics:
        """Return what :meth:`state` gave."""
        made = cls(Bins(state["bins_low"], state["bins_high"], int(state["bins"])), len(state["of_class"]))
        made.counts, made.of_class = state["counts"], state["of_class"]
        made.minimum, made.maximum = state["minimum"], state["maximum"]
        for name, side in (("high", made.high), ("low", made.low)):
            side.keys, side.clips = state[f"{name}_keys"], state[f"{name}_clips"]
            side.sources = state.get(f"{name}_sources", np.full_like(side.clips, -1))
        for name in state:
            kind, *numbers = name.split("/")
            if kind == "moments":
                level, place, count = map(int, numbers)
                made.moments.nodes[level, place] = Moments(count, state[name])
            elif kind == "classes":
                level, place = map(int, numbers)
                made.class_sums.nodes[level, place] = state[name]
        return made
