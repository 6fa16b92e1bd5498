"""Words against what was measured: do neurons called loud have louder clips? (AND section 9, Appendix C)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

LEAST = 10  # neurons with and without a word, at least, for a test
EXPECTED: dict[str, tuple[str, int]] = {  # word -> measure and the side on which it should lie
    "loud": ("amplitude", 1),
    "quiet": ("amplitude", -1),
    "soft": ("amplitude", -1),
    "faint": ("amplitude", -1),
    "high-pitched": ("median_frequency", 1),
    "shrill": ("median_frequency", 1),
    "low-pitched": ("median_frequency", -1),
    "deep": ("median_frequency", -1),
    "bright": ("centroid", 1),
    "dull": ("centroid", -1),
    "muffled": ("centroid", -1),
    "noisy": ("periodicity", -1),
    "tonal": ("periodicity", 1),
    "regular": ("irregularity", -1),
    "irregular": ("irregularity", 1),
    "continuous": ("active_share", 1),
    "intermittent": ("active_share", -1),
    "rapid": ("onset_rate", 1),
    "short": ("longest_active", -1),
}


def means_of_clips(tops: np.ndarray, measures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the mean of each measure over each neuron's high clips.

    Parameters
    ----------
    tops : (R, K) int
        Clips, -1 for none.
    measures : mapping of str to (N,) float
        NaN where a measure has no meaning for a clip; such clips are left out.

    Returns
    -------
    dict of str to (R,) float64
        NaN where no clip counts.
    """
    means = {}
    for name, values in measures.items():
        chosen = np.where(tops >= 0, np.asarray(values, float)[np.maximum(tops, 0)], np.nan)
        finite = np.isfinite(chosen)
        with np.errstate(invalid="ignore"):
            means[name] = np.where(finite, chosen, 0).sum(1) / np.where(finite.any(1), finite.sum(1), np.nan)
    return means


def compare(values: np.ndarray, word: np.ndarray) -> dict[str, Any] | None:
    """Return neurons with a word against those without, on one measure.

    Returns
    -------
    dict or None
        Numbers and medians of both, ``delta`` (Cliff's: -1 to 1, the probability that one with the word lies higher,
        minus that it lies lower) and ``p`` of Mann and Whitney's test; None where either side has fewer than
        :data:`LEAST` neurons.
    """
    finite = np.isfinite(values)
    one, other = values[finite & word], values[finite & ~word]
    if len(one) < LEAST or len(other) < LEAST:
        return None
    test = stats.mannwhitneyu(one, other, method="asymptotic")
    return {
        "with": len(one),
        "without": len(other),
        "median_with": float(np.median(one)),
        "median_without": float(np.median(other)),
        "delta": float(2 * test.statistic / (len(one) * len(other)) - 1),
        "p": float(test.pvalue),
    }


def every_test(means: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return every acoustic adjective against every measure, with Benjamini and Hochberg's correction over all tests.

    Parameters
    ----------
    means : mapping of str to (R,) float
        As :func:`means_of_clips` gives them.
    words : mapping of str to (R,) bool
        Neurons that have the word.

    Returns
    -------
    list of dict
        ``word``, ``measure``, what :func:`compare` gives, ``q`` (corrected p), ``expected`` (+1, -1, or 0 where nothing
        is expected), ``agrees`` (yes, no, not shown where q is .05 or more, empty where nothing is expected); largest
        effect first.
    """
    rows = []
    for word, mask in words.items():
        for measure, values in means.items():
            tests = compare(values, mask)
            if tests is not None:
                side = EXPECTED[word][1] if word in EXPECTED and EXPECTED[word][0] == measure else 0
                rows.append({"word": word, "measure": measure, **tests, "expected": side})
    corrected = stats.false_discovery_control([row["p"] for row in rows]) if rows else []
    for row, q in zip(rows, corrected, strict=True):
        row["q"] = float(q)
        row["agrees"] = (
            ""
            if not row["expected"]
            else "not shown"
            if q >= 0.05
            else "yes"
            if row["delta"] * row["expected"] > 0
            else "no"
        )
    return sorted(rows, key=lambda r: (-abs(r["delta"]), r["word"], r["measure"]))


def disagreements(
    tops: np.ndarray, measures: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray], most: int = 50
) -> tuple[list[dict[str, Any]], int]:
    """Return neurons whose word is contradicted by their own clips: they show wrong captions.

    A neuron called loud is listed where the mean of its high clips lies in the lower third of all clips, one called
    quiet where it lies in the upper third, and likewise for every word of :data:`EXPECTED`.

    Returns
    -------
    rows : list of dict
        The `most` of each word that lie farthest beyond the bound, farthest first.
    total : int
        All there are.
    """
    means = means_of_clips(tops, measures)
    rows, total = [], 0
    for word, mask in words.items():
        if word not in EXPECTED:
            continue
        measure, side = EXPECTED[word]
        values = np.asarray(measures[measure], float)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        bound = float(np.percentile(values, 100 / 3 if side > 0 else 200 / 3))
        with np.errstate(invalid="ignore"):
            wrong = np.flatnonzero(mask & (means[measure] < bound if side > 0 else means[measure] > bound))
        total += len(wrong)
        worst = wrong[np.argsort(-np.abs(means[measure][wrong] - bound), kind="stable")[:most]]
        rows += [
            {"neuron": int(i), "word": word, "measure": measure, "value": float(means[measure][i]), "bound": bound}
            for i in worst
        ]
    return rows, total
