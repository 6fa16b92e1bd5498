"""How likely it is that an explanation holds: held-out scores turned into probabilities by logistic regression on
planted neurons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from and_core.data import bundled
from and_core.errors import ConfigError

# kind of explanation -> what its probability is made from, all of it from held-out clips
FEATURES: dict[str, tuple[str, ...]] = {
    "closed": ("presence_pearson",), "SUM": ("text_pearson", "text_auprc"), "word": ("pearson",),
}  # fmt: skip


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
        total = self.bias + sum(weight * np.asarray(features[name], float) for name, weight in self.weights.items())
        return 1 / (1 + np.exp(-np.clip(total, -30, 30)))


def fit(features: Mapping[str, np.ndarray], holds: np.ndarray) -> Calibrator:
    """Fit on neurons for which it is known whether the explanation holds; those with a missing feature are left out.

    Raises
    ------
    ConfigError
        All of them hold, or none.
    """
    from sklearn.linear_model import LogisticRegression

    table = np.stack([np.asarray(values, float) for values in features.values()], 1)
    known = np.isfinite(table).all(1)
    if len(set(holds[known].tolist())) < 2:
        raise ConfigError(
            f"confidence can't be fitted: of {int(known.sum())} planted explanations {int(holds[known].sum())} hold; "
            "both kinds are needed"
        )
    spread = table[known].std(0)
    spread[spread <= 0] = 1
    made = LogisticRegression(C=10.0).fit(table[known] / spread, holds[known])
    return Calibrator(
        dict(zip(features, (made.coef_[0] / spread).round(6).tolist(), strict=True)),
        round(float(made.intercept_[0]), 6),
    )


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


def save(path: Path, calibrators: Mapping[str, Calibrator], about: Mapping[str, Any]) -> None:
    """Write calibrators with what they were fitted on and how they did on what was left out."""
    raw = {
        "about": about,
        "calibrators": {name: {"weights": c.weights, "bias": c.bias} for name, c in calibrators.items()},
    }
    path.write_text(json.dumps(raw, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _file(source: str) -> Path:
    return bundled("confidence.json") if source == "bundled" else Path(source)


def load(source: str = "bundled") -> dict[str, Calibrator]:
    """Return calibrators of a file, or those fitted on neurons planted in the demo's networks.

    Raises
    ------
    ConfigError
        The file can't be read or is of another form.
    """
    try:
        raw = json.loads(_file(source).read_text(encoding="utf-8"))["calibrators"]
        calibrators = {
            name: Calibrator({k: float(v) for k, v in one["weights"].items()}, float(one["bias"]))
            for name, one in raw.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"scores.confidence={source!r} can't be read: {error}") from None
    wrong = [
        name for name in FEATURES if name not in calibrators or set(calibrators[name].weights) != set(FEATURES[name])
    ]
    if wrong:
        raise ConfigError(f"scores.confidence={source!r} has no calibrator of the features of: {', '.join(wrong)}")
    return calibrators


def fitted_with(source: str = "bundled") -> str | None:
    """Return the text encoder of the dissections that a calibration was fitted on, None where it does not say."""
    encoder = json.loads(_file(source).read_text(encoding="utf-8")).get("about", {}).get("encoder")
    return None if encoder is None else str(encoder)


def fingerprint(calibrators: Mapping[str, Calibrator]) -> dict[str, Any]:
    """Return what decides the probabilities."""
    return {name: {**c.weights, "bias": c.bias} for name, c in calibrators.items()}


def features_of(
    kind: str, values: np.ndarray, predictors: Sequence[str], metrics: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return features of the explanations of one method.

    Parameters
    ----------
    kind : {'closed', 'SUM'}
    values : (predictors, metrics, R)
        As the stage `scores` has them, of one method.
    """
    return {
        name: values[predictors.index(name.split("_")[0]), metrics.index(name.split("_")[1])] for name in FEATURES[kind]
    }
