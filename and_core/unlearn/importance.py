"""Feature importance (AND section 7, Fig. 4): accuracy when neurons with most of some kind of words are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from and_core.store.dissection import Dissection
from and_core.unlearn.request import BASIC
from and_core.unlearn.selection import Selection, at_random, criterion_scores, fair_random, hidden, most, word_counts

CURVES: dict[str, tuple[str, ...]] = {
    "a": ("noun", "adjective", "verb", "preposition", "summary"),
    "b": ("basic", "high-level"),
    "c": BASIC,
}


@dataclass(frozen=True)
class ImportancePoint:
    """One point of a curve.

    Attributes
    ----------
    figure : str
        ``a``, ``b`` or ``c``; empty for the random curve, which belongs to all.
    criterion : str
        Kind of words, an adjective, or ``random``.
    share : float
        Of the hidden neurons, as asked; `selection` holds fewer where fewer have any of the words.
    control : bool
        As many neurons in the same layers, at random.
    """

    figure: str
    criterion: str
    share: float
    seed: int
    selection: Selection
    control: bool = False


def points(d: Dissection, view: Dissection, share: float, seeds: Sequence[int], fair: int) -> list[ImportancePoint]:
    """Return all ablations at one share, with a control for each of the first `fair` seeds.

    Parameters
    ----------
    d, view : Dissection
        The dissection, and the view that neurons are chosen from.
    """
    total = sum(layer.size for layer in hidden(d.layers))
    points = []
    for number, seed in enumerate(seeds):
        points.append(ImportancePoint("", "random", share, seed, at_random(d.layers, round(share * total), seed)))
        for figure, criteria in CURVES.items():
            for criterion in criteria:
                scores = (
                    (word_counts(view, "adjective", {criterion}) > 0).astype(float)
                    if figure == "c"
                    else criterion_scores(view, criterion)
                )
                chosen, _ = most(d, scores, share, seed)
                points.append(ImportancePoint(figure, criterion, share, seed, chosen))
                if number < fair:
                    points.append(
                        ImportancePoint(figure, criterion, share, seed, fair_random(chosen.masks, seed), True)
                    )
    return points
