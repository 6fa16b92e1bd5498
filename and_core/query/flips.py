"""The clearest unlearning of a dissection, and clips that the network takes for something else after it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from and_core.labels.outputs import probabilities
from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.store.dissection import Dissection

RETAINED = 5.0  # points of accuracy over all tested clips that an unlearning may cost and still be called selective
KEPT = 8


@dataclass(frozen=True)
class Flip:
    """A tested clip with what the network takes it for, before and after: (class, probability)."""

    clip: int
    before: tuple[str, float]
    after: tuple[str, float]


@dataclass(frozen=True)
class ClearUnlearning:
    """An ablation that the stage `unlearning` made.

    Attributes
    ----------
    concept, strategy : str
    count : int
        Neurons silenced.
    gap, fair_gap : float
        How much more the concept is forgotten than the rest, in logits: of this ablation, and the mean of as many
        random neurons in the same layers; NaN where none were drawn.
    accuracy : (float, float)
        Over all tested clips, percent, before and after.
    clips : int
        Tested clips of the concept.
    flips : tuple of Flip
        Those that were taken for the concept and no longer are, the surest before first.
    fair_lost : float or None
        Percent of the concept's clips that as many random neurons lose on average; None where none were drawn.
    deepest : Flip or None
        The clip of the concept whose probability falls most, whether or not its prediction flips.
    """

    concept: str
    strategy: str
    count: int
    gap: float
    fair_gap: float
    accuracy: tuple[float, float]
    clips: int
    flips: tuple[Flip, ...]
    fair_lost: float | None
    deepest: Flip | None

    @property
    def beyond(self) -> float:
        """How far its gap lies above fair random's."""
        return self.gap - (0.0 if np.isnan(self.fair_gap) else self.fair_gap)

    @property
    def retained(self) -> bool:
        """Whether the network still names nearly as many tested clips as before."""
        return self.accuracy[0] - self.accuracy[1] <= RETAINED


@lru_cache(maxsize=KEPT)
def clearest_unlearning(d: Dissection) -> ClearUnlearning | None:
    """Return the ablation that shows unlearning best: one that keeps the accuracy before one that does not, of those
    one that flips a prediction, of those the one furthest above fair random.

    None where the stage `unlearning` has silenced no neuron for any concept.

    Raises
    ------
    NotComputed
        The stage `unlearning` has not been run.
    """
    d.require("unlearning")
    rows = d.unlearning_runs.to_pylist()
    made = [
        row for row in rows
        if row["number"] == "own" and not row["control"] and row["strategy"] != "random"
        and row["count"] and row["logits"] >= 0 and np.isfinite(row["gap"])
    ]  # fmt: skip
    options = [_read(d, row, rows) for row in made]
    return max(options, key=lambda one: (one.retained, bool(one.flips), one.beyond)) if options else None


def _read(d: Dissection, row: dict[str, Any], rows: list[dict[str, Any]]) -> ClearUnlearning:
    fair = [
        other for other in rows
        if other["control"] and other["number"] == "own"
        and (other["concept"], other["strategy"]) == (row["concept"], row["strategy"])
    ]  # fmt: skip
    classes, before = list(d.network_classes), np.asarray(d.tested_logits)
    after = np.asarray(d.unlearning_logits[row["logits"]])
    truth = np.asarray(d.tested_truth)
    numbers = [n for n in classes_of_concept(class_map_of(d), classes, row["concept"]) if truth[:, n].any()]
    own = np.flatnonzero(truth[:, numbers].any(1))
    p, q = (probabilities(logits, d.multi_label) for logits in (before[own], after[own]))
    clips = np.asarray(d.tested_clips)[own]

    def change(i: int) -> Flip:
        one, other = int(p[i].argmax()), int(q[i].argmax())
        return Flip(int(clips[i]), (classes[one], float(p[i, one])), (classes[other], float(q[i, other])))

    flipped = np.isin(p.argmax(1), numbers) & ~np.isin(q.argmax(1), numbers)
    order = sorted(np.flatnonzero(flipped).tolist(), key=lambda i: -p[i].max())
    fall = p[:, numbers].max(1) - q[:, numbers].max(1) if numbers and len(own) else np.zeros(0)
    lost = [other["concept_accuracy_before"] - other["concept_accuracy_after"] for other in fair]
    return ClearUnlearning(
        concept=row["concept"],
        strategy=row["strategy"],
        count=int(row["count"]),
        gap=float(row["gap"]),
        fair_gap=float(np.mean([other["gap"] for other in fair])) if fair else float("nan"),
        accuracy=(float(row["accuracy_before"]), float(row["accuracy_after"])),
        clips=len(own),
        flips=tuple(change(i) for i in order),
        fair_lost=float(np.mean(lost)) if lost else None,
        deepest=change(int(fall.argmax())) if len(fall) else None,
    )
