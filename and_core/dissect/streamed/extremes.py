"""The highest or lowest clips of every neuron so far, exactly."""

from __future__ import annotations

import numpy as np
import torch

from and_core.dissect.similarity_kernels import over_blocks
from and_core.dissect.streamed import kernels


class RunningExtremes:
    """The K most extreme clips of every neuron, most extreme first; ties go to the lowest clip.

    Parameters
    ----------
    neurons, k : int
    sign : int
        1 for the highest, -1 for the lowest.

    Attributes
    ----------
    keys : (R, K) float32
        Activations times the sign, descending.
    clips, sources : (R, K) int64
        Clips, -1 for none, and the source recordings that count once, -1 where each clip counts.
    """

    def __init__(self, neurons: int, k: int, sign: int) -> None:
        self.sign = sign
        self.keys = np.full((neurons, k), -np.inf, np.float32)
        self.clips, self.sources = (np.full((neurons, k), -1, np.int64) for _ in range(2))

    def update(self, activations: np.ndarray, clips: np.ndarray, sources: np.ndarray) -> None:
        """Take in activations (n, R) float32 of clips (n,) int64, of sources (n,) int64 that count once."""

        def tile(start: int, stop: int) -> None:
            kernels.take_in(
                activations, clips, sources, self.sign, start, stop, self.keys, self.clips, self.sources
            )  # fmt: skip

        over_blocks(tile, len(self.keys), kernels.TILE, torch.get_num_threads())

    def merge(self, other: RunningExtremes) -> None:
        """Take in the extremes of other clips."""

        def tile(start: int, stop: int) -> None:
            kernels.take_in_rows(
                other.keys, other.clips, other.sources, start, stop, self.keys, self.clips, self.sources
            )  # fmt: skip

        over_blocks(tile, len(self.keys), kernels.TILE, torch.get_num_threads())

    @property
    def values(self) -> np.ndarray:
        """(R, K) float32 activations, NaN where there is no clip."""
        return np.where(self.clips >= 0, self.sign * self.keys, np.float32(np.nan))
