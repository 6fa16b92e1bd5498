"""Sums over blocks of clips that depend on which blocks there are, and not on who added them in what order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from and_core.errors import DataError

T = TypeVar("T")


class BlockSums(Generic[T]):
    """Sums of blocks in a fixed binary tree: whatever covers two neighbouring halves is joined, left and right.

    Floating-point addition is not associative. Here the blocks 0 to 3 are always (0 + 1) + (2 + 3), so parts that were
    made apart and merged give the bytes of the whole, and of B blocks at most log2(B) + 1 sums are held.

    Parameters
    ----------
    join : callable
        Two neighbouring sums, the earlier first -> their sum.

    Attributes
    ----------
    nodes : dict of (int, int) to T
        (level, place) -> sum of the blocks from ``place * 2**level`` to before ``(place + 1) * 2**level``.
    """

    def __init__(self, join: Callable[[T, T], T]) -> None:
        self.join = join
        self.nodes: dict[tuple[int, int], T] = {}

    def add(self, block: int, value: T) -> None:
        """Add one block, by its number.

        Raises
        ------
        DataError
            The block has been added before.
        """
        self._put(0, block, value)

    def merge(self, other: BlockSums[T]) -> None:
        """Add the blocks of another.

        Raises
        ------
        DataError
            A block is in both.
        """
        for (level, place), value in sorted(other.nodes.items(), key=lambda node: node[0]):
            self._put(level, place, value)

    def total(self) -> T | None:
        """Return the sum of all blocks, in the order of their numbers; None of none."""
        made: T | None = None
        for _, value in sorted(self.nodes.items(), key=lambda node: node[0][1] << node[0][0]):
            made = value if made is None else self.join(made, value)
        return made

    def check(self, level: int, place: int) -> None:
        """Raise where any of the blocks of a place has been added before."""
        first, stop = place << level, (place + 1) << level
        if any(first < (p + 1) << x and p << x < stop for x, p in self.nodes):
            raise DataError(f"block={first} has been added before; each block of clips counts once")

    def _put(self, level: int, place: int, value: T) -> None:
        self.check(level, place)
        while (level, place ^ 1) in self.nodes:
            other = self.nodes.pop((level, place ^ 1))
            value = self.join(value, other) if place % 2 == 0 else self.join(other, value)
            level, place = level + 1, place // 2
        self.nodes[level, place] = value
