"""The acoustic captioner: says in words what was measured, and nothing else. No model, works on any recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from and_core.audio.measures import UNITS
from and_core.captioners.base import CAPTIONERS, Captioner, Listen

VERSION = "1"


@dataclass(frozen=True)
class Rule:
    """`word` is said where `measure` is at least (or at most) `threshold`."""

    attribute: str
    word: str
    measure: str
    sign: str
    threshold: float

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether a clip's measures earn the word; a missing or meaningless measure never does."""
        value = row.get(self.measure)
        if value is None or math.isnan(value):
            return False
        return value >= self.threshold if self.sign == ">=" else value <= self.threshold

    def evidence(self, row: dict[str, Any]) -> str:
        """The measured value, its unit and the threshold."""
        return f"{self.word}: {self.measure} {row[self.measure]:.3g} {self.sign} {self.threshold:g} ({UNITS[self.measure]})"


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


def earned(row: dict[str, Any]) -> dict[str, Rule]:
    """Attribute -> rule that holds for a clip."""
    return {rule.attribute: rule for rule in RULES if rule.holds(row)}


def describe_measures(row: dict[str, Any]) -> str:
    """Two to four sentences on a clip: character, course in time, rhythm.

    Parameters
    ----------
    row : dict
        Acoustic measures by name, see :data:`and_core.audio.measures.UNITS`.
    """
    words = {attribute: rule.word for attribute, rule in earned(row).items()}
    said = []
    character = [words[a] for a in ("loudness", "pitch") if a in words]
    said.append(f"The sound is {_join(character)}." if character else "The sound is at a medium level.")
    colour = [words[a] for a in ("brightness", "noisiness") if a in words]
    if colour:
        said.append(f"Its timbre is {_join(colour)}.")
    course = []
    if "continuity" in words:
        course.append("It is " + words["continuity"])
    if "length" in words:
        course.append("made of short events" if course else "It is made of short events")
    if "glide" in words:
        course.append(f"{words['glide']} in pitch" if course else f"It is {words['glide']} in pitch")
    if "envelope" in words:
        change = "growing louder" if words["envelope"] == "growing" else "fading away"
        course.append(change if course else f"It is {change}")
    if course:
        said.append(", ".join(course) + ".")
    rhythm = [words[a] for a in ("events", "rhythm") if a in words]
    if rhythm:
        said.append(f"Its rhythm is {_join(rhythm)}.")
    return " ".join(said)


def _join(words: list[str]) -> str:
    return " and ".join(words)


@CAPTIONERS.register
class Acoustic(Captioner):
    """Loudness, pitch, brightness, noisiness, rhythm, events, envelope; each word from one measured quantity and a threshold."""

    kind = "acoustic"

    def fingerprint(self) -> str:
        """Version and rules."""
        return VERSION + repr(RULES)

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Words for the measures in `rows`."""
        return [describe_measures(row) for row in rows]

    def describe(self) -> str:
        """One line for provenance."""
        return "acoustic captioner (measured, no model)"
