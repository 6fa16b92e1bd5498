"""Words against tuning: do neurons called high-pitched have high best frequencies?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from and_core.analyze.acoustics import compare
from and_core.query.tuning import column
from and_core.store.dissection import Dissection

Q = 0.05
COUNTERPARTS: dict[str, tuple[str, int]] = {  # word -> column of the table of tuning, side on which it should lie
    "high-pitched": ("best_frequency", 1),
    "low-pitched": ("best_frequency", -1),
    "bright": ("best_frequency", 1),
    "dull": ("best_frequency", -1),
    "loud": ("level_slope", 1),
    "quiet": ("level_slope", -1),
    "noisy": ("tone_noise", -1),
    "tonal": ("tone_noise", 1),
    "rapid": ("best_rate", 1),
    "rising": ("direction_index", 1),
    "falling": ("direction_index", -1),
    "continuous": ("duration_slope", 1),
    "intermittent": ("duration_slope", -1),
    "short": ("duration_slope", -1),
    "growing": ("growing", 1),
    "fading": ("growing", -1),
}
NAMES = {
    "best_frequency": "best frequency, Hz",
    "level_slope": "SD for 10 dB",
    "tone_noise": "tone-noise index",
    "best_rate": "best modulation rate, Hz",
    "direction_index": "direction index",
    "duration_slope": "SD for twice the duration",
    "growing": "growing against dying away",
}


def counterpart(d: Dissection, name: str) -> np.ndarray:
    """Return (R,) a property of all neurons; NaN where it says nothing: a best frequency or rate of a neuron that is
    not tuned to it, or falls there."""
    values = column(d, name).astype(float)
    if name == "best_frequency":
        told = np.asarray(column(d, "tuned_to_frequency"), bool) & (column(d, "sign") > 0)
        return np.where(told, values, np.nan)
    if name == "best_rate":
        told = np.asarray(column(d, "tuned_to_modulation"), bool) & (column(d, "rate_sign") > 0)
        return np.where(told, values, np.nan)
    return values


def words_against_tuning(d: Dissection) -> list[dict[str, Any]]:
    """Return every adjective with a measured counterpart, neurons with it against those without; largest effect first.

    Returns
    -------
    list of dict
        ``word``, ``property``, what :func:`and_core.analyze.acoustics.compare` gives, ``q`` (p corrected over words),
        ``agrees`` (yes, no, not shown), ``layers`` (how many lie on the side that the word says) ``of`` how many that
        have enough neurons of either kind.

    Raises
    ------
    NotComputed
        The stage `tuning` or `explanations` has not been run.
    """
    lists = [set(text.split(", ")) for text in d.explanation_table["adjectives"].to_pylist()]
    rows: list[dict[str, Any]] = []
    for word, (name, side) in COUNTERPARTS.items():
        mask = np.array([word in words for words in lists])
        values = counterpart(d, name)
        test = compare(values, mask)
        if test is None:
            continue
        by_layer = []
        for layer in d.layers:
            units = slice(layer.offset, layer.offset + layer.size)
            one = compare(values[units], mask[units])
            if one is not None:
                by_layer.append(one["delta"])
        right = sum(delta * side > 0 for delta in by_layer)
        rows.append({"word": word, "property": name, **test, "side": side, "layers": right, "of": len(by_layer)})
    corrected = stats.false_discovery_control([row["p"] for row in rows]) if rows else []
    for row, q in zip(rows, corrected, strict=True):
        row["q"] = float(q)
        row["agrees"] = "not shown" if q >= Q else "yes" if row["delta"] * row["side"] > 0 else "no"
    return sorted(rows, key=lambda row: (-abs(row["delta"]), row["word"]))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


def word_cells(d: Dissection) -> list[dict[str, str]]:
    """Return the same as rows of texts."""
    return [
        {
            "word": row["word"],
            "measured": NAMES[row["property"]],
            "neurons with it": str(row["with"]),
            "median with": _number(row["median_with"]),
            "median without": _number(row["median_without"]),
            "Cliff's \u03b4": f"{row['delta']:+.2f}",
            "q": f"{row['q']:.2g}",
            "as the word says": row["agrees"],
            "layers": f"{row['layers']} of {row['of']}",
        }
        for row in words_against_tuning(d)
    ]
