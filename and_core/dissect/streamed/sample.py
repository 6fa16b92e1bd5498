"""Which clips' activations are kept whole: a draw that any part of the clips can make for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def drawn(names: Sequence[str], count: int, seed: int) -> np.ndarray:
    """Return (N,) bool: the `count` clips with the lowest seeded hashes of their names; ties go to the first.

    A clip's hash does not depend on the others, so the clips of a whole are among those of its parts.

    Examples
    --------
    >>> drawn(["a", "b", "c", "d"], 2, seed=0).sum()
    np.int64(2)
    """
    hashes = np.array([_hash(name, seed) for name in names], np.uint64)
    mask = np.zeros(len(names), bool)
    mask[np.argsort(hashes, kind="stable")[:count]] = True
    return mask


def _hash(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big")
