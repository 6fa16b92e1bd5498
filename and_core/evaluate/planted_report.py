"""What the pipeline says of planted neurons, beside what they were planted to mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from and_core.dissect.attributes import LEXICON, head
from and_core.evaluate.explanations import CLOSED
from and_core.evaluate.planted_units import KINDS, Unit, auroc, meant, measured_words, true_words
from and_core.evaluate.word_areas import BORNE_OUT, adjective_areas
from and_core.store.dissection import SCORED, Dissection
from and_core.store.headline import SURE

HEARD = 0.9  # AUROC on the probing set from which a unit counts as planted: it fires on what it should
STEPS = ("high clips earn it", "captions say it", "raw summary", "calibrated", "open concept")


def findings(
    d: Dissection, units: Sequence[Unit], names: Sequence[set[str]], things: Sequence[set[str]], used: np.ndarray
) -> pd.DataFrame:
    """Return one row a planted neuron: what it means, how well it fires on that, and what each method says.

    Parameters
    ----------
    d : Dissection
        Of the planted units, scored.
    units : sequence of Unit, R
    names : sequence of set of str
        For each concept the words that name it, as open-concept pruning matches them.
    things : sequence of set of str, R
        Content words of what each neuron's summary says sounds.
    used : (N,) bool
        The probing set: no clip that units were fitted on is in it.
    """
    rows = d.clip_table.to_pylist()
    labels, words = [clip.labels for clip in d.clips], measured_words(rows)
    concepts, methods = d.concept_set, d.scored_methods
    sure = np.asarray(d.confidence)
    named = {concept: words for concept, words in zip(concepts, names, strict=True)}
    base = {
        word: float(np.mean([word in adjectives for adjectives, inside in zip(words, used, strict=True) if inside]))
        for word in frozenset().union(*words)
    }
    findings_rows = []
    for index, unit in enumerate(units):
        mask = meant(unit, labels, words)
        neuron = d.neuron_id(index)
        row: dict[str, Any] = {
            "network": d.name,
            "layer": neuron.layer,
            "neuron": index,
            "kind": unit.kind,
            "concept": unit.concept,
            "word": unit.word,
            "auroc": float("nan") if mask is None else auroc(np.asarray(d.activations(neuron))[used], mask[used]),
        }
        for m, method in enumerate(methods):
            if method in SCORED:
                for similarity in d.notes(SCORED[method])["similarities"]:
                    best = [c.name for c in d.closed_concepts(neuron, similarity, method)[:5]]
                    row |= {
                        f"{method}/{similarity}/top1": unit.concept in best[:1],
                        f"{method}/{similarity}/top5": unit.concept in best,
                    }
            elif method == "ICL":
                named_by = [answer["concept"] for answer in d.icl_answers(neuron, "top1")[0]]
                row["ICL/-/top1"] = unit.concept in named_by[:1]
            if method not in (*CLOSED, "SUM"):
                continue
            row[f"{method} confidence"] = float(sure[m, index])
        row["SUM/thing"] = bool(unit.concept) and bool(things[index] & named.get(unit.concept, set()))
        adjectives = set(d.open_concepts(neuron))
        row |= {
            "adjectives": ", ".join(sorted(adjectives)),
            "adjectives said": len(adjectives),
            "right adjective": bool(unit.word) and unit.word in adjectives,
        }
        row["true adjectives"] = len(adjectives & (true_words(d, index, words, d.k, base) | {unit.word}))
        if unit.word:
            row |= _steps(d, index, unit.word, words)
        findings_rows.append(row)
    return pd.DataFrame(findings_rows)


def _steps(d: Dissection, index: int, word: str, words: Sequence[frozenset[str]]) -> dict[str, bool]:
    """Return whether an adjective is still there after each step of the pipeline."""
    neuron = d.neuron_id(index)
    tops = [top.clip.index for top in d.extreme_clips(neuron)]
    most = len(tops) / 2
    captioned = [i for i, (_, value) in enumerate(d.caption_values) if head(value) == word]
    table = d.caption_value_mask
    points = [point for point in d.summary(neuron) if head(point.text) == word]
    still = (
        sum(word in words[c] for c in tops) > most,
        sum(bool(table[c, i]) for c in tops for i in captioned) > most,
        bool(points),
        any(point.kept for point in points),
        word in d.open_concepts(neuron),
    )
    return dict(zip(STEPS, still, strict=True))


def adjective_truths(d: Dissection, used: np.ndarray) -> pd.DataFrame:
    """Return every adjective of every neuron with its held-out features, and whether measures bear it out over the
    probing set."""
    area = adjective_areas(d, used, d.scored_words, 1)
    table = d.scored_words.to_pandas().assign(auroc=area, holds=area >= BORNE_OUT, network=d.name)
    listed = {head(v) for values in LEXICON.values() for v in values}
    return table[table["word"].isin(listed) & table["pearson"].notna() & table["auroc"].notna()]


def summary_rows(units: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the table of planted neurons: per kind and method, all units and those that fire on what they should."""
    rows = []
    methods = sorted({column.rsplit("/", 1)[0] for column in units.columns if column.endswith("/top1")})
    for kind in KINDS[:3]:
        of_kind = units[units["kind"] == kind]
        for which, part in (("all", of_kind), (f"AUROC {HEARD}+", of_kind[of_kind["auroc"] >= HEARD])):
            if not len(part):
                continue
            about = {"planted": kind, "units": which, "number": len(part)}
            if kind != "property":
                for method in methods:
                    top5 = f"{method}/top5"
                    row = {**about, "module": "A", **_named(method), "top-1 %": 100 * part[f"{method}/top1"].mean()}
                    rows.append({**row, "top-5 %": 100 * part[top5].mean() if top5 in part else float("nan")})
                rows.append(
                    {
                        **about,
                        "module": "B",
                        "method": "SUM",
                        "similarity": "",
                        "top-1 %": 100 * part["SUM/thing"].mean(),
                    }
                )
            if kind != "concept":
                right, held = int(part["right adjective"].sum()), max(1, int(part["adjectives said"].sum()))
                recall, strict, true = (
                    100 * right / len(part),
                    100 * right / held,
                    100 * int(part["true adjectives"].sum()) / held,
                )
                rows.append(
                    {
                        **about,
                        "module": "C",
                        "method": "OPEN",
                        "similarity": "",
                        "recall %": recall,
                        "precision %": strict,
                        "true of its clips %": true,
                    }
                )
    negations = units[units["kind"] == "negation"]
    for method in methods:
        if len(negations):
            rows.append(
                {
                    "planted": "negation",
                    "units": "all",
                    "number": len(negations),
                    "module": "A",
                    **_named(method),
                    "top-1 %": 100 * negations[f"{method}/top1"].mean(),
                }
            )
    return rows


def _named(column: str) -> dict[str, str]:
    method, similarity = column.split("/")
    return {"method": method, "similarity": similarity.removeprefix("-")}


def confident_rows(units: pd.DataFrame, method: str, similarity: str) -> dict[str, Any]:
    """Return how often a random direction is named with confidence, at the threshold where 80 % of the planted concepts
    are confident and right."""
    planted, random = units[units["kind"] == "concept"], units[units["kind"] == "random"]
    right = planted[f"{method}/{similarity}/top1"].to_numpy(bool)
    sure, other = planted[f"{method} confidence"].to_numpy(), random[f"{method} confidence"].to_numpy()
    sure, other = np.nan_to_num(sure, nan=-1), np.nan_to_num(other, nan=-1)
    needed = int(np.ceil(0.8 * len(planted)))
    best = np.sort(sure[right])[::-1]
    reached = 0 < needed <= len(best) and best[needed - 1] >= 0
    return _confident(f"{method} {similarity}", float(best[needed - 1]) if reached else None, sure, right, other)


def _confident(
    method: str, threshold: float | None, sure: np.ndarray, right: np.ndarray, random: np.ndarray
) -> dict[str, Any]:
    """Return shares at a threshold, None where there is no such threshold or nothing to count."""

    def share(part: np.ndarray, of: int) -> float | None:
        return None if threshold is None or not of else 100 * float((part >= threshold).sum()) / of

    return {
        "method": method,
        "threshold": threshold,
        "planted confident and right %": share(sure[right], len(sure)),
        "planted confident and wrong %": share(sure[~right], len(sure)),
        "random confident %": share(random, len(random)),
    }


def sure_rows(units: pd.DataFrame, adjectives: pd.DataFrame) -> list[dict[str, Any]]:
    """Return summaries and adjectives at the threshold of the dashboard: what is said with confidence of planted and of
    random units."""
    planted, random = units[units["kind"] == "concept"], units[units["kind"] == "random"]
    rows = []
    if "SUM confidence" in units:
        sure, other = (np.nan_to_num(part["SUM confidence"].to_numpy(float), nan=-1) for part in (planted, random))
        rows.append(_confident("summary", SURE, sure, planted["SUM/thing"].to_numpy(bool), other))
    best = adjectives.groupby("neuron")["confidence"].max()
    columns = {
        (n, w): c for n, w, c in zip(adjectives["neuron"], adjectives["word"], adjectives["confidence"], strict=True)
    }
    own = units[units["kind"] == "property"]
    sure = np.array([columns.get((n, w), -1.0) for n, w in zip(own["neuron"], own["word"], strict=True)])
    other = np.array([best.get(n, -1.0) for n in random["neuron"]])
    rows.append(_confident("adjectives", SURE, sure, np.ones(len(sure), bool), other))
    return rows


def lost_rows(units: pd.DataFrame) -> list[dict[str, Any]]:
    """Return where planted adjectives get lost: the share that is still there after each step."""
    part = units[(units["kind"] == "property") & (units["auroc"] >= HEARD)]
    every = units[units["kind"] == "property"]
    if not len(every):
        return []
    return [
        {
            "step": step,
            "all %": 100 * every[step].astype(bool).mean(),
            f"AUROC {HEARD} or more %": 100 * part[step].astype(bool).mean() if len(part) else float("nan"),
        }
        for step in STEPS
    ]
