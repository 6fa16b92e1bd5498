"""Which raters' answers are left out, by the rules that were declared before the study started."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from and_core.study.assign import TRAINING
from and_core.study.plan import Exclusion

MIN_REPEATS = 3
BY_ITEM = ("write",)  # tasks whose answers can't be told to be alike by comparing them


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield rows as named tuples; their values are of whatever type the column has."""
    return iter(frame.itertuples())


def usable(answers: pd.DataFrame) -> pd.DataFrame:
    """Return answers that stand: not taken back, not for practice, no flags. `who` tells raters of all sites apart."""
    frame = answers[
        (answers["kind"] == "answer") & answers["live"] & ~answers["control"].str.startswith(TRAINING)
    ].copy()
    frame["who"] = frame["site"] + "/" + frame["rater"]
    for name, source in (
        ("value", "response"),
        ("want", "expected"),
    ):  # objects as they were sent: no column of floats because one is missing
        frame[name] = pd.Series([json.loads(text) for text in frame[source]], index=frame.index, dtype=object)
    return frame


def repeats(frame: pd.DataFrame) -> pd.DataFrame:
    """Return repeated answers beside the first ones: ``who``, ``task``, ``first``, ``second``, ``alike`` (ratings:
    within 1)."""
    first = (
        frame[frame["repeat_of"].isna()]
        .drop_duplicates(["who", "item"], keep="last")
        .set_index(["who", "item"])[["value", "none"]]
    )
    again = frame[frame["repeat_of"].notna() & ~frame["task"].isin(BY_ITEM)]
    rows = []
    for row in rows_of(again):
        if (row.who, row.item) not in first.index:
            continue
        before = first.loc[(row.who, row.item)]
        rows.append(
            {
                "who": row.who,
                "task": row.task,
                "first": before["value"],
                "second": row.value,
                "alike": _alike(row.task, before["value"], row.value),
            }
        )
    return pd.DataFrame(rows, columns=["who", "task", "first", "second", "alike"])


def _alike(task: str, first: object, second: object) -> float:
    """Return 1 where two answers are the same (ratings: within 1), else 0; for a list, the share of clips."""
    if isinstance(first, list) and isinstance(second, list):
        return float(np.mean([a == b for a, b in zip(first, second, strict=True)]))
    if task == "fit" and isinstance(first, int) and isinstance(second, int):
        return float(abs(first - second) <= 1)
    return float(first == second)


def _ratings(frame: pd.DataFrame, control: str) -> pd.Series:
    rated = frame[(frame["control"] == control) & ~frame["none"]]
    return pd.to_numeric(rated["value"]).groupby(rated["who"]).mean()


def measures(frame: pd.DataFrame, planned: dict[int, int]) -> pd.DataFrame:
    """Return one row a rater (index ``who``) with what the rules look at, NaN where it was not seen.

    Parameters
    ----------
    frame : DataFrame
        From :func:`usable`.
    planned : dict
        Place in the study to the number of its items, training aside.
    """
    who = sorted(set(frame["who"]))
    made = pd.DataFrame(index=pd.Index(who, name="who"))
    plain = frame.groupby("who")
    attention = frame[frame["control"] == "attention"]
    failed = pd.Series(
        [str(v) not in w for v, w in zip(attention["value"], attention["want"], strict=True)],
        index=attention.index,
        dtype=float,
    )
    made["answers"] = plain.size()
    made["failed_attention"] = failed.groupby(attention["who"]).sum()
    made["mismatched"] = _ratings(frame, "mismatched")
    made["known"] = _ratings(frame, "known")
    made["seconds"] = plain["ms"].median().astype(float) / 1000
    again = repeats(frame)
    alike = again.groupby("who")["alike"].agg(["mean", "size"])
    made["repeats"] = alike["mean"].where(alike["size"] >= MIN_REPEATS)
    made["finished"] = made["answers"] / plain["session"].first().map(planned).astype(float)
    return made


def excluded(rules: Exclusion, seen: pd.DataFrame) -> dict[str, list[str]]:
    """Return raters to leave out, each with the rules that it broke."""
    checks: list[tuple[str, float | None, Callable[[pd.Series, float], pd.Series], str]] = [
        (
            "failed_attention",
            rules.failed_attention,
            lambda v, limit: v > limit,
            "failed {v:.0f} attention items, {limit:.0f} allowed",
        ),
        (
            "mismatched",
            rules.mismatched_above,
            lambda v, limit: v > limit,
            "rated mismatched descriptions {v:.2f} on average, above {limit:g}",
        ),
        (
            "known",
            rules.known_below,
            lambda v, limit: v < limit,
            "rated known classes {v:.2f} on average, below {limit:g}",
        ),
        ("seconds", rules.faster_than, lambda v, limit: v < limit, "median {v:.1f} s an answer, below {limit:g}"),
        (
            "repeats",
            rules.repeats_below,
            lambda v, limit: v < limit,
            "answered {v:.0%} of repeated items alike, below {limit:.0%}",
        ),
        (
            "finished",
            rules.finished_below,
            lambda v, limit: v < limit,
            "answered {v:.0%} of the items, below {limit:.0%}",
        ),
    ]
    reasons: dict[str, list[str]] = {}
    for column, limit, broken, text in checks:
        if limit is None:
            continue
        for name in seen.index[broken(seen[column], limit).to_numpy(bool)]:
            reasons.setdefault(str(name), []).append(text.format(v=seen.loc[name, column], limit=limit))
    return reasons
