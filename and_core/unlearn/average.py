"""Averages over concepts (Table 4), against fair random, and strategies against one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

DRAWS = 2000
MEANS = ("count", "ablating", "remaining", "gap", "p_ablating", "p_remaining", "p_gap")


def averages(rows: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return Table 4 from the rows of :func:`and_core.unlearn.runs.row`.

    Returns
    -------
    dict
        ``strategies``: one row per strategy and number (own, equal), with means over concepts, 95 % bootstrap interval
        of the gap over concepts, the same of fair random, and the paired difference of the gaps with its interval and
        Wilcoxon's p. A
        concept that selects no neuron changes nothing, and neither does its control: it counts as 0 in both (`none`
        says how many).
        ``pairs``: strategies against one another at equal numbers, paired by concept.
    """
    by_strategy: dict[tuple[str, str], dict[str, dict]] = defaultdict(dict)
    fair: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for row in rows:
        key = (row["strategy"], row["number"])
        if row["control"]:
            fair[(*key, row["concept"])].append(row)
        elif row["strategy"] == "random":
            fair[(*key, row["concept"])].append(row)
            by_strategy[key].setdefault(row["concept"], row)
        else:
            by_strategy[key][row["concept"]] = row
    rows_of_strategies = []
    for (strategy, number), by_concept in by_strategy.items():
        concepts = sorted(by_concept)
        if strategy == "random":  # the paper's baseline: its draws are averaged within a concept, and it has no control
            values = {name: _means([fair[(strategy, number, c)] for c in concepts], name) for name in MEANS}
            rows_of_strategies.append(
                {"strategy": strategy, "number": number, "concepts": len(concepts), "none": 0, **_said(values, seed)}
            )
            continue
        values = {name: np.array([by_concept[c][name] for c in concepts], float) for name in MEANS}
        control = {name: _controls(by_concept, fair, strategy, number, name) for name in MEANS[1:]}
        rows_of_strategies.append(
            {
                "strategy": strategy,
                "number": number,
                "concepts": len(concepts),
                "none": int((values["count"] == 0).sum()),
                **_said(values, seed),
                **{f"fair_{name}": _mean(control[name]) for name in MEANS[1:]},
                **paired(values["gap"], control["gap"], seed),
            }
        )
    pairs = []
    equal = {strategy: by_concept for (strategy, number), by_concept in by_strategy.items() if number == "equal"}
    for one, other in combinations(sorted(equal), 2):
        shared = sorted(set(equal[one]) & set(equal[other]))
        first, second = (np.array([equal[s][c]["gap"] for c in shared], float) for s in (one, other))
        pairs.append(
            {
                "one": one,
                "other": other,
                "count": _mean(np.array([equal[one][c]["count"] for c in shared], float)),
                **paired(first, second, seed),
            }
        )
    return {"strategies": rows_of_strategies, "pairs": pairs}


def paired(one: np.ndarray, other: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Return the mean of the paired differences, their 95 % bootstrap interval, and the p of Wilcoxon's signed-rank
    test (two-sided).

    Fewer than two pairs give no interval, and none that differ no test; the entries are None then.
    """
    differences = (one - other)[np.isfinite(one - other)]
    low, high = interval(differences, seed)
    tested = len(differences) >= 2 and bool(np.any(differences != 0))
    p = float(stats.wilcoxon(differences).pvalue) if tested else None
    return {
        "difference": _mean(differences),
        "difference_low": low,
        "difference_high": high,
        "p": p,
        "pairs": len(differences),
    }


def interval(values: np.ndarray, seed: int = 0) -> tuple[float | None, float | None]:
    """Return 95 % bootstrap interval of a mean."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None, None
    drawn = np.random.default_rng(seed).choice(values, (DRAWS, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _controls(
    by_concept: dict[str, dict], fair: dict[tuple[str, str, str], list[dict]], strategy: str, number: str, name: str
) -> np.ndarray:
    """Return the mean over draws for each concept.

    Where no neuron is selected none is drawn either, and nothing changes.
    """
    draws = {c: fair.get((strategy, number, c), []) for c in by_concept}
    return np.array(
        [
            np.mean([r[name] for r in draws[c]]) if draws[c] else 0.0 if not by_concept[c]["count"] else np.nan
            for c in sorted(by_concept)
        ]
    )


def _said(values: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    low, high = interval(values["gap"], seed)
    p_low, p_high = interval(values["p_gap"], seed)
    return {
        **{name: _mean(v) for name, v in values.items()},
        "gap_low": low,
        "gap_high": high,
        "p_gap_low": p_low,
        "p_gap_high": p_high,
    }


def _means(groups: Sequence[Sequence[dict]], name: str) -> np.ndarray:
    return np.array([np.mean([row[name] for row in group]) for group in groups], float)


def _mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
