"""Who sees which item, in what order: drawn once, before the first answer, and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from and_core.study.draw import Item
from and_core.study.plan import TASKS

TRAINING = "training-"


@dataclass(frozen=True)
class Slot:
    """One place in a rater's list.

    Attributes
    ----------
    item : int
        Number of the item.
    repeat_of : int or None
        Position of the same item earlier in the list.
    clip_order, option_order : list of int
        Which of the item's clips (options) stands at each place on the page.
    """

    item: int
    repeat_of: int | None
    clip_order: list[int]
    option_order: list[int]


def rater_seed(seed: int, number: int) -> int:
    """Return the seed of one rater, from the study's."""
    return int(np.random.SeedSequence([seed, 7, number]).generate_state(1)[0])


def overlap(items: Sequence[Item], raters: int, per_item: int, seed: int) -> list[list[int]]:
    """Return items of each rater, controls aside: each item goes to exactly `per_item` raters, and no rater has more
    than one item more than another."""
    rng = np.random.default_rng([seed, 3])
    load = np.zeros(raters, int)
    of_rater: list[list[int]] = [[] for _ in range(raters)]
    plain = [i for i, item in enumerate(items) if item.control is None]
    for item in rng.permutation(plain):
        order = np.lexsort((rng.random(raters), load))  # least loaded first, ties by chance
        for rater in order[:per_item]:
            of_rater[rater].append(int(item))
            load[rater] += 1
    return of_rater


def assign(items: Sequence[Item], raters: int, per_item: int, repeats: float, seed: int) -> list[list[Slot]]:
    """Return every rater's list: training first, then task by task (texts and captions last, so that they prime
    nothing), shuffled within a task."""
    controls = [i for i, item in enumerate(items) if item.control is not None and not item.control.startswith(TRAINING)]
    training = [i for i, item in enumerate(items) if item.control is not None and item.control.startswith(TRAINING)]
    lists = []
    for number, own in enumerate(overlap(items, raters, per_item, seed)):
        rng = np.random.default_rng(rater_seed(seed, number))
        able = sorted(
            i for i in own if items[i].task != "write"
        )  # texts are not compared with themselves: nobody writes one twice
        again = set(rng.permutation(able)[: round(repeats * len(able))].tolist())
        slots = [_slot(items[i], i, None, rng) for i in training]
        for task in TASKS:
            section = [i for i in (*own, *controls) if items[i].task == task]
            first = [int(i) for i in rng.permutation(section)]
            order = _with_repeats(first, [i for i in first if i in again], rng)
            seen: dict[int, int] = {}
            for i in order:
                slots.append(_slot(items[i], i, seen.get(i), rng))
                seen.setdefault(i, len(slots) - 1)
        lists.append(slots)
    return lists


def _with_repeats(first: list[int], again: list[int], rng: np.random.Generator) -> list[int]:
    """Return each repeat somewhere after at least half of the other items have passed since its first showing, or at
    the end."""
    order = list(first)
    for item in again:
        place = order.index(item)
        earliest = min(len(order), place + 1 + max(1, len(first) // 2))
        order.insert(int(rng.integers(earliest, len(order) + 1)), item)
    return order


def _slot(item: Item, number: int, repeat_of: int | None, rng: np.random.Generator) -> Slot:
    return Slot(
        number, repeat_of, rng.permutation(len(item.clips)).tolist(), rng.permutation(len(item.options)).tolist()
    )
