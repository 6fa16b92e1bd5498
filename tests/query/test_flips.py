"""The clearest unlearning: known answers, and the same on a real dissection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from and_core.query.flips import clearest_unlearning


def row(concept: str, strategy: str, gap: float, logits: int, **more: Any) -> dict[str, Any]:
    plain = {"number": "own", "control": "", "count": 5, "accuracy_before": 90.0, "accuracy_after": 89.0}
    accuracies = {"concept_accuracy_before": 100.0, "concept_accuracy_after": 50.0}
    return {"concept": concept, "strategy": strategy, "gap": gap, "logits": logits, **plain, **accuracies, **more}


def unlearned(rows: list[dict[str, Any]], after: list[list[list[float]]]) -> Any:
    """Two clips of dog and two of rain, all named rightly before."""
    truth = np.array([[True, False], [True, False], [False, True], [False, True]])
    return SimpleNamespaceHashable(
        unlearning_runs=pa.Table.from_pylist(rows),
        unlearning_logits=np.array(after),
        network_classes=["dog", "rain"],
        target_classes=["dog", "rain"],
        classes=["dog", "rain"],
        class_pairs=None,
        tested_logits=np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 2.0]]),
        tested_truth=truth,
        tested_clips=np.array([10, 11, 12, 13]),
        multi_label=False,
        require=lambda stage: None,
    )


class SimpleNamespaceHashable(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


WHOLE = [[3.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 2.0]]
FLIPPED = [[0.5, 1.0], [2.0, 0.0], [0.0, 3.0], [0.0, 2.0]]


def test_a_flip_comes_before_a_larger_gap_and_kept_accuracy_before_both() -> None:
    rows = [
        row("dog", "DB", 3.0, 0),
        row("dog", "TAB", 1.0, 1),
        row("rain", "OCP", 9.0, 2, accuracy_after=50.0),
        row("dog", "DB", 8.0, -1, control="fair random"),
    ]
    best = clearest_unlearning(unlearned(rows, [WHOLE, FLIPPED, FLIPPED]))
    assert best is not None and (best.concept, best.strategy, best.retained) == ("dog", "TAB", True)
    (flip,) = best.flips
    assert flip.clip == 10 and flip.before[0] == "dog" and flip.after[0] == "rain"
    assert flip.before[1] == pytest.approx(1 / (1 + np.exp(-3.0))) and flip.after[1] == pytest.approx(
        1 / (1 + np.exp(-0.5))
    )
    assert best.clips == 2 and best.fair_lost is None


def test_among_flips_the_one_furthest_above_fair_random_and_none_says_how_far_it_fell() -> None:
    fair = {"control": "fair random", "concept_accuracy_after": 90.0}
    rows = [row("dog", "DB", 2.0, 0), row("dog", "DB", 1.8, -1, **fair), row("dog", "TAB", 1.0, 1)]
    best = clearest_unlearning(unlearned(rows, [FLIPPED, FLIPPED]))
    assert best is not None and best.strategy == "TAB" and best.beyond == 1.0
    none = clearest_unlearning(unlearned([*rows[:2]], [WHOLE]))
    assert none is not None and none.flips == () and none.beyond == pytest.approx(0.2)
    assert none.fair_lost == pytest.approx(10.0) and none.deepest is not None and none.deepest.before[0] == "dog"
    assert clearest_unlearning(unlearned([row("dog", "DB", float("nan"), -1, count=0)], [WHOLE])) is None


def test_on_a_real_dissection_it_is_what_the_stage_left(dissection) -> None:
    best = clearest_unlearning(dissection)
    rows = [r for r in dissection.unlearning_runs.to_pylist() if r["number"] == "own" and not r["control"]]
    same = next(r for r in rows if (r["concept"], r["strategy"]) == (best.concept, best.strategy))
    assert best.count == same["count"] and best.gap == same["gap"] and best.clips > 0
    lost = round(best.clips * (same["concept_accuracy_before"] - same["concept_accuracy_after"]) / 100)
    assert len(best.flips) >= lost
