"""Which decision is explained best, and how far to trust a listener: known answers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from and_core.query.heard import explained_decision, trust, trusted_mode
from tests.query.test_flips import SimpleNamespaceHashable


def clip(mode: str, number: int, whole: float, kept: float, left: float, random_left: float, says: int = 3) -> dict:
    values = {"whole": whole, "kept": kept, "left": left, "random_left": random_left}
    return {"mode": mode, "clip": number, "predicted": 3, "kept_predicted": says, "components": 2, **values}


def listened(rows: list[dict[str, Any]], field: list[dict[str, Any]] | None = None) -> Any:
    measured = {"post-hoc": {"field": field or []}, "by-design": {"field": []}}
    return SimpleNamespaceHashable(
        decisions=pa.Table.from_pylist(rows),
        listener_modes=["post-hoc", "by-design"],
        listening_report={"measured": measured, "clips": {"measured": 8}},
        has=lambda stage: bool(rows),
        require=lambda stage: None,
    )


def test_the_decision_whose_kept_part_says_it_and_whose_rest_does_not() -> None:
    d = listened(
        [
            clip("by-design", 1, 0.9, 0.9, 0.1, 0.15),  # random components are missed as much
            clip("by-design", 2, 0.9, 0.8, 0.1, 0.9),
            clip("by-design", 3, 0.9, 0.95, 0.0, 0.9, says=1),  # what is kept says another class
            clip("post-hoc", 4, 0.9, 0.99, 0.0, 0.99),
            clip("post-hoc", 5, 0.9, 0.9, 0.9, 0.0),
        ]
    )
    assert explained_decision(d, "by-design").clip == 2 and explained_decision(d, "post-hoc").clip == 4
    assert trusted_mode(d) == "by-design" and explained_decision(d).clip == 2
    assert explained_decision(listened([])) is None


def test_trust_is_a_difference_with_its_interval() -> None:
    better = [clip("by-design", i, 0.9, 0.9, 0.1, 0.6 + 0.01 * i) for i in range(20)]
    worse = [clip("post-hoc", i, 0.9, 0.9, 0.5, 0.5 + 0.2 * (-1) ** i) for i in range(20)]
    post_hoc, by_design = trust(listened([*better, *worse]))
    assert by_design.better is True and by_design.lost == pytest.approx(0.8) and by_design.clips == 20
    assert post_hoc.better is None and post_hoc.low < 0 < post_hoc.high
    field = [{"method": "L2I", "FF": 0.35}, {"method": "energy-matched components", "FF": 0.41}]
    (means,) = trust(listened([], field))
    assert (means.better, means.clips, means.low) == (False, 8, None)
