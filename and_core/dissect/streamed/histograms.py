"""Bins that are fixed before all clips are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from and_core.errors import DataError


@dataclass(frozen=True)
class Bins:
    """Bins of equal width for each neuron, and what lies below and above them.

    Attributes
    ----------
    low, high : (R,) float32
        Where the first bin begins and the last ends.
    count : int
        Bins between them.
    """

    low: np.ndarray
    high: np.ndarray
    count: int

    @classmethod
    def of(cls, activations: np.ndarray, count: int) -> Bins:
        """Return bins over the range of the first clips' activations (n, R)."""
        if not len(activations):
            raise DataError("bins of histograms are set from the first clips, and there are none")
        return cls(activations.min(0).astype(np.float32), activations.max(0).astype(np.float32), count)

    def same_as(self, other: Bins) -> bool:
        """Return whether counts in both can be added."""
        return (
            self.count == other.count and np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)
        )
