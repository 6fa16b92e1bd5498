"""What the answers say: Table 3, paired comparisons, agreement, and every other task. Long table in, records out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from and_core.study.exclude import repeats, rows_of

FEWEST = 5  # items, or neurons, that an interval needs
Level = Literal["ordinal", "nominal"]
LEVELS: dict[str, Level] = {
    "fit": "ordinal",
    "present": "nominal",
    "choose": "nominal",
    "intruder": "nominal",
    "captions": "nominal",
}
PAPER = {
    "TAB": (2.73, 0.24, 0.42),
    "DB": (3.24, 0.57, 0.45),
    "SUM": (3.49, 0.72, 0.46),
}  # rating, cosine, BERTScore: Table 3 of AND
ITEM = ["dissection", "neuron"]  # what intervals resample, with all that was said of it


@dataclass(frozen=True)
class Estimate:
    """A mean over items with its 95 % interval.

    `low` and `high` are None from fewer than 5 items, or where all are alike.
    """

    value: float
    low: float | None
    high: float | None
    items: int

    def __str__(self) -> str:
        """Return ``3.49 [3.20, 3.77]``."""
        return f"{self.value:.2f}" if self.low is None else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def estimate(values: np.ndarray, seed: int = 0) -> Estimate | None:
    """Return the mean of (items,) with Student's interval over items; None where there is nothing.

    Its coverage is within .93 to .97 from 5 items on (``python -m benchmarks coverage``); a bootstrap's is .84 there.
    Items that are all alike tell nothing of how far others would lie from them: no interval.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    mean, n = float(values.mean()), len(values)
    if n < FEWEST or np.ptp(values) < 1e-12:
        return Estimate(mean, None, None, n)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def _first(frame: pd.DataFrame, task: str, controls: bool = False) -> pd.DataFrame:
    """Return answers of a task that are no repeats; without controls unless asked for."""
    answers = frame[(frame["task"] == task) & frame["repeat_of"].isna()]
    return answers if controls else answers[answers["control"] == ""]


def item_ratings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean rating of each rated description: dissection, neuron, block, method, item, rating, raters,
    scores."""
    answers = _first(frame, "fit")
    answers = answers[~answers["none"]]
    rated = answers.assign(rating=pd.to_numeric(answers["value"]))
    ratings = (
        rated.groupby([*ITEM, "block", "method", "item", "scores"], dropna=False, sort=True)["rating"]
        .agg(["mean", "size"])
        .reset_index()
    )
    return ratings.rename(columns={"mean": "rating", "size": "raters"})


def ratings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the mean rating of each method, with an interval over items, the share of `can't tell`,
    and the paper's."""
    items, answers = item_ratings(frame), _first(frame, "fit")
    rows = []
    for method in sorted(set(answers["method"])):
        answered = answers[answers["method"] == method]
        mean = estimate(items.loc[items["method"] == method, "rating"].to_numpy())
        rows.append({
            "method": method, "rating": mean, "answers": len(answered), "cant_tell": float(answered["none"].mean()),
            "paper": PAPER[method][0] if method in PAPER else None,
        })  # fmt: skip
    return rows


def compared(items: pd.DataFrame, value: str) -> list[dict[str, Any]]:
    """Return each pair of methods on the neurons that both describe: mean difference with interval, Wilcoxon
    signed-rank p, q over all pairs.

    q is p corrected by Benjamini and Hochberg's method.
    """
    wide = items.pivot_table(index=ITEM, columns="method", values=value, aggfunc="mean")
    rows: list[dict[str, Any]] = []
    for one, two in combinations(sorted(wide.columns), 2):
        both = wide[[one, two]].dropna()
        difference = (both[one] - both[two]).to_numpy(float)
        if not len(difference):
            continue
        p = float(stats.wilcoxon(difference, zero_method="zsplit").pvalue) if np.any(difference != 0) else 1.0
        rows.append({"one": one, "two": two, "difference": estimate(difference), "neurons": len(difference), "p": p})
    if rows:
        for row, q in zip(rows, stats.false_discovery_control([row["p"] for row in rows]), strict=True):
            row["q"] = float(q)
    return rows


def units(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return raters by units of a task for Krippendorff's alpha, as codes, NaN where not seen or `can't tell`.

    A unit is an item, or a clip of one.
    """
    answers = _first(frame, task, controls=True)
    rows: list[tuple[str, str, float]] = []
    names: dict[str, int] = {}
    place = {item: i for i, item in enumerate(sorted(set(answers["item"])))}
    for row in rows_of(answers):
        if row.none and task != "choose":
            continue
        if isinstance(row.value, list):
            rows += [(row.who, f"{row.item}/{i}", float(v)) for i, v in enumerate(row.value)]
        elif task == "choose":  # options stand in another order for each neuron; what was chosen is a method
            chosen = "none" if row.none else json.loads(row.options)[row.value]
            rows.append((row.who, str(row.item), float(names.setdefault(chosen, len(names)))))
        elif (
            task == "intruder"
        ):  # the item's own order begins with the intruder; turned item by item, no place is likelier than another
            rows.append((row.who, str(row.item), float((row.value + place[row.item]) % len(json.loads(row.clips)))))
        else:
            rows.append((row.who, str(row.item), float(row.value)))
    return pd.DataFrame(rows, columns=["who", "unit", "value"]).pivot_table(
        index="who", columns="unit", values="value", aggfunc="first"
    )


def alpha(table: pd.DataFrame, level: Level) -> float | None:
    """Return Krippendorff's alpha (package krippendorff) of (raters, units).

    None where it is not defined: no unit has two ratings, or no two values occur.
    """
    import krippendorff

    paired = table.loc[:, table.notna().sum() >= 2] if len(table) else table
    values = paired.to_numpy(float)
    if not values.size or len(np.unique(values[np.isfinite(values)])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=values, level_of_measurement=level))


def agreement(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return Krippendorff's alpha of each task, with the level of measurement.

    For `fit` also without controls, which lift it.
    """
    rows = []
    for task, level in LEVELS.items():
        answers = frame[frame["task"] == task]
        if not len(answers):
            continue
        for what, part in (
            (("with controls", answers), ("items alone", answers[answers["control"] == ""]))
            if task == "fit"
            else (("", answers),)
        ):
            table = units(part, task)
            rows.append(
                {
                    "task": task,
                    "of": what,
                    "level": level,
                    "alpha": alpha(table, level),
                    "raters": len(table),
                    "units": table.shape[1],
                }
            )
    return rows


def consistency(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return repeated items, by task: share answered alike; for ratings the mean absolute difference as well."""
    repeated = repeats(frame)
    rows = []
    for task, answers in repeated.groupby("task", sort=True):
        pair = answers[
            [
                isinstance(a, int) and isinstance(b, int)
                for a, b in zip(answers["first"], answers["second"], strict=True)
            ]
        ]
        gap = (
            float(np.mean(np.abs(pd.to_numeric(pair["first"]) - pd.to_numeric(pair["second"]))))
            if task == "fit" and len(pair)
            else None
        )
        rows.append({"task": task, "repeats": len(answers), "alike": float(answers["alike"].mean()), "difference": gap})
    return rows


def presence(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return task `present`, by method: share of the most and of the least active clip on which it is heard, and rank
    correlation with the activation."""
    answers = _first(frame, "present")
    rows: list[dict[str, Any]] = []
    for key, part in answers.groupby([*ITEM, "method", "item", "activations"], sort=True):
        dissection, neuron, method, _, active = map(str, key)
        heard = np.array(list(part["value"]), float).mean(0)
        values = np.asarray(json.loads(active), float)
        known = np.ptp(heard) > 0 and np.ptp(values) > 0
        rows.append(
            {
                "dissection": dissection,
                "neuron": neuron,
                "method": method,
                "high": heard[np.argmax(values)],
                "low": heard[np.argmin(values)],
                "correlation": float(stats.spearmanr(heard, values).statistic) if known else 0.0,
            }
        )
    marks = pd.DataFrame(rows, columns=[*ITEM, "method", "high", "low", "correlation"])
    return [
        {"method": method, **{name: estimate(part[name].to_numpy(float)) for name in ("high", "low", "correlation")}}
        for method, part in marks.groupby("method", sort=True)
    ]


def choices(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return task `choose`: share of answers for each method, over the neurons where it stood to be chosen.

    Chance beside it.
    """
    answers = _first(frame, "choose")
    rows: list[dict[str, Any]] = []
    for (_, options), part in answers.groupby(["item", "options"], sort=True):
        names = json.loads(str(options))
        chosen = [names[v] if not n else "none" for v, n in zip(part["value"], part["none"], strict=True)]
        rows += [
            {"method": m, "share": chosen.count(m) / len(chosen), "chance": 1 / len(names)} for m in (*names, "none")
        ]
    shares = pd.DataFrame(rows, columns=["method", "share", "chance"])
    return [
        {
            "method": method,
            "share": estimate(part["share"].to_numpy()),
            "chance": None if method == "none" else float(part["chance"].mean()),
        }
        for method, part in shares.groupby("method", sort=True)
    ]


def intruders(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return task `intruder`: share of answers that find it, by block and over all; `can't tell` counts as not found.

    Chance: one of the clips.
    """
    answers = _first(frame, "intruder")
    if not len(answers):
        return []
    right = answers.assign(
        right=[not n and v == w for v, n, w in zip(answers["value"], answers["none"], answers["want"], strict=True)]
    )
    items = (
        right.groupby([*ITEM, "block"], dropna=False, sort=True)
        .agg(right=("right", "mean"), clips=("clips", "first"))
        .reset_index()
    )
    chance = float(np.mean([1 / len(json.loads(c)) for c in items["clips"]]))
    rows = [{"block": "all", "found": estimate(items["right"].to_numpy(float)), "chance": chance}]
    return rows + [
        {"block": int(str(b)), "found": estimate(part["right"].to_numpy(float)), "chance": chance}
        for b, part in items.groupby("block", sort=True)
    ]


def by_block(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the mean rating by block and method."""
    items = item_ratings(frame).dropna(subset=["block"])
    return [
        {"block": int(str(block)), "method": method, "rating": estimate(part["rating"].to_numpy())}
        for (block, method), part in items.groupby(["block", "method"], sort=True)
    ]


def leniency(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each rater beside the others who rated the same item: how much higher (bias, interval over items), and how
    far apart (noise, standard deviation)."""
    answers = _first(frame, "fit")
    answers = answers[~answers["none"]]
    rated = answers.assign(rating=pd.to_numeric(answers["value"]))
    item = rated.groupby("item")["rating"]
    others = (item.transform("sum") - rated["rating"]) / (item.transform("size") - 1).where(item.transform("size") > 1)
    apart = (rated["rating"] - others).dropna()
    return [
        {
            "who": str(who),
            "bias": estimate(part.to_numpy(float)),
            "noise": float(part.std(ddof=1)) if len(part) > 1 else None,
        }
        for who, part in apart.groupby(rated.loc[apart.index, "who"], sort=True)
    ]


def against_scores(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every automatic score against the human rating of the same description: Spearman's rho with an interval
    over neurons, and Pearson's r."""
    items = item_ratings(frame)
    scores = pd.DataFrame([json.loads(text) for text in items["scores"]], index=items.index)
    rows = []
    for name in sorted(scores.columns):
        known = scores[name].notna()
        x, y = scores.loc[known, name].to_numpy(float), items.loc[known, "rating"].to_numpy(float)
        if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        group = pd.factorize(items.loc[known, "dissection"] + "/" + items.loc[known, "neuron"])[0]
        low, high = correlation_interval(x, y, group)
        rows.append(
            {
                "score": name,
                "rho": float(stats.spearmanr(x, y).statistic),
                "low": low,
                "high": high,
                "r": float(stats.pearsonr(x, y).statistic),
                "descriptions": len(x),
            }
        )
    return rows


def correlation_interval(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[float | None, float | None]:
    """Return 95 % interval of Spearman's rho over groups (neurons, each with all its descriptions); none under 5 of
    them, or where it is not defined.

    Student's interval of Fisher's z, with the standard error that leaving out one neuron after another gives
    (jackknife).
    """
    groups = np.unique(group)
    whole = _fisher(x, y)
    left = np.array([_fisher(x[group != g], y[group != g]) for g in groups])
    if len(groups) < FEWEST or not np.isfinite([whole, *left]).all():
        return None, None
    n = len(groups)
    error = np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, n - 1) * error
    return float(np.tanh(whole - half)), float(np.tanh(whole + half))


def _fisher(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    rho = np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]
    return float(np.arctanh(np.clip(rho, -0.999999, 0.999999)))
