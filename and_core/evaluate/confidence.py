"""How likely it is that an explanation holds: evidence from held-out clips turned into a probability by logistic
regression on units for which it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BORNE_OUT = 0.7  # area under the ROC curve from which a concept counts as what a neuron fires on
DIGITS = 9


@dataclass(frozen=True)
class Calibrator:
    """Logistic regression on named features.

    Attributes
    ----------
    weights : dict of str to float
    bias : float
    """

    weights: dict[str, float]
    bias: float

    def __call__(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the probability that each explanation holds; NaN where a feature is."""
        some = next(iter(features.values()))
        total = np.where(np.isfinite(some), self.bias, np.nan)
        for name, weight in self.weights.items():
            total = total + weight * np.asarray(features[name], float)
        return 1 / (1 + np.exp(-np.clip(total, -30, 30)))

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for a file."""
        return {"weights": self.weights, "bias": self.bias}


def fit(features: Mapping[str, np.ndarray], holds: np.ndarray) -> Calibrator:
    """Fit on explanations for which it is known whether they hold; those with a missing feature are left out.

    Where all of them hold, or none, the probability is the same for all: Laplace's rule of succession.
    """
    from sklearn.linear_model import LogisticRegression

    table = np.stack([np.asarray(values, float) for values in features.values()], 1)
    known = np.isfinite(table).all(1)
    holds = np.asarray(holds, bool)[known]
    if holds.all() or not holds.any():
        share = (holds.sum() + 1) / (len(holds) + 2)
        return Calibrator(dict.fromkeys(features, 0.0), round(float(np.log(share / (1 - share))), DIGITS))
    spread = table[known].std(0)
    spread[spread <= 0] = 1
    made = LogisticRegression(C=10.0, max_iter=1000).fit(table[known] / spread, holds)
    return Calibrator(
        dict(zip(features, (made.coef_[0] / spread).round(DIGITS).tolist(), strict=True)),
        round(float(made.intercept_[0]), DIGITS),
    )


def cross_checked(features: Mapping[str, np.ndarray], holds: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return (n,) probabilities of explanations by a calibrator that was fitted on the other part of them, both ways.

    Parameters
    ----------
    part : (n,) bool
        Which part each belongs to; what is alike, such as units of one concept, belongs together.
    """
    stated = np.full(len(holds), np.nan)
    for own in (part, ~part):
        if own.any() and (~own).any():
            made = fit({name: np.asarray(values)[~own] for name, values in features.items()}, holds[~own])
            stated[own] = made({name: np.asarray(values)[own] for name, values in features.items()})
    return stated


def reliability(probability: np.ndarray, holds: np.ndarray, bins: int = 5) -> list[dict[str, float]]:
    """Return the reliability curve: in each bin of probability, how many there are, what was said on average, and how
    many hold."""
    rows = []
    known = np.isfinite(probability)
    for low in np.arange(bins) / bins:
        inside = known & (probability >= low) & ((probability < low + 1 / bins) | (low + 1 / bins >= 1))
        if inside.any():
            rows.append(
                {
                    "from": round(float(low), 3),
                    "to": round(float(low + 1 / bins), 3),
                    "explanations": int(inside.sum()),
                    "said": round(float(probability[inside].mean()), 4),
                    "hold": round(float(holds[inside].mean()), 4),
                }
            )
    return rows


def expected_error(probability: np.ndarray, holds: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error: the mean distance of what was said from what holds, over bins of
    probability weighted by their size; NaN where nothing was said.

    Examples
    --------
    >>> expected_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, True, False, False])).__round__(2)
    0.1
    """
    rows = reliability(probability, holds, bins)
    total = sum(row["explanations"] for row in rows)
    return sum(row["explanations"] * abs(row["said"] - row["hold"]) for row in rows) / total if total else float("nan")
