"""Which acoustic measure earns a clip which adjective: one quantity and a threshold for each word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from and_core.audio.measures import UNITS

Pitch = Literal["spectrum", "fundamental"]  # what tells the words for pitch


@dataclass(frozen=True)
class Rule:
    """`word` is said where `measure` is at least (or at most) `threshold`."""

    attribute: str
    word: str
    measure: str
    sign: str
    threshold: float

    def holds(self, row: dict[str, Any]) -> bool:
        """Return whether a clip's measures earn the word; a missing or meaningless measure never does."""
        value = row.get(self.measure)
        if value is None or math.isnan(value):
            return False
        return value >= self.threshold if self.sign == ">=" else value <= self.threshold

    def evidence(self, row: dict[str, Any]) -> str:
        """Return the measured value, its unit and the threshold."""
        return (
            f"{self.word}: {self.measure} {row[self.measure]:.3g} {self.sign} {self.threshold:g} "
            f"({UNITS[self.measure]})"
        )


RULES: tuple[Rule, ...] = (
    Rule("loudness", "loud", "level", ">=", -17.0),
    Rule("loudness", "quiet", "level", "<=", -28.0),
    Rule("pitch", "high-pitched", "median_frequency", ">=", 2000.0),
    Rule("pitch", "low-pitched", "median_frequency", "<=", 250.0),
    Rule("brightness", "bright", "centroid", ">=", 3000.0),
    Rule("brightness", "dull", "centroid", "<=", 1000.0),
    Rule("noisiness", "tonal", "periodicity", ">=", 0.72),
    Rule("noisiness", "noisy", "periodicity", "<=", 0.31),
    Rule("rhythm", "regular", "irregularity", "<=", 0.15),
    Rule("rhythm", "irregular", "irregularity", ">=", 0.5),
    Rule("events", "rapid", "onset_rate", ">=", 4.0),
    Rule("continuity", "continuous", "active_share", ">=", 0.97),
    Rule("continuity", "intermittent", "active_share", "<=", 0.65),
    Rule("length", "short", "longest_active", "<=", 0.35),
    Rule("glide", "rising", "glide", ">=", 0.35),
    Rule("glide", "falling", "glide", "<=", -0.35),
    Rule("envelope", "growing", "slope", ">=", 4.0),
    Rule("envelope", "fading", "slope", "<=", -4.0),
)


FUNDAMENTAL_RULES: tuple[Rule, ...] = (  # below: men's speaking voices; above: beyond children's
    Rule("pitch", "high-pitched", "fundamental", ">=", 500.0),
    Rule("pitch", "low-pitched", "fundamental", "<=", 155.0),
)


def earned(row: dict[str, Any], pitch: Pitch = "spectrum") -> dict[str, Rule]:
    """Return attribute -> rule that holds for a clip.

    Parameters
    ----------
    row : dict
        Acoustic measures by name.
    pitch : {"spectrum", "fundamental"}
        What tells the words for pitch: where the power lies, as in Appendix C of AND; or, for clips that have one, the
        fundamental frequency. Overtones lift the spectrum of a low voice beyond what is called low there.

    Examples
    --------
    >>> voice = {"median_frequency": 480.0, "fundamental": 110.0}
    >>> list(earned(voice)), [rule.word for rule in earned(voice, "fundamental").values()]
    ([], ['low-pitched'])
    """
    value = row.get("fundamental")
    by_fundamental = pitch == "fundamental" and value is not None and not math.isnan(value)
    rules = [rule for rule in RULES if not (by_fundamental and rule.attribute == "pitch")]
    rules += FUNDAMENTAL_RULES if by_fundamental else ()
    return {rule.attribute: rule for rule in rules if rule.holds(row)}
