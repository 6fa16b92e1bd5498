"""The acoustic captioner: says in words what was measured, and nothing else. No model, works on any recording."""

from __future__ import annotations

from typing import Annotated, Any

from and_core.audio.adjectives import FUNDAMENTAL_RULES, RULES, Pitch, earned
from and_core.captioners.base import CAPTIONERS, Captioner, Listen
from and_core.registry import LaterSetting, Settings

VERSION = "1"


def describe_measures(row: dict[str, Any], pitch: Pitch = "spectrum") -> str:
    """Return two to four sentences on a clip: character, course in time, rhythm.

    Parameters
    ----------
    row : dict
        Acoustic measures by name, see :data:`and_core.audio.measures.UNITS`.
    pitch : {"spectrum", "fundamental"}
        What tells the words for pitch, see :func:`and_core.audio.adjectives.earned`.
    """
    words = {attribute: rule.word for attribute, rule in earned(row, pitch).items()}
    sentences = []
    character = [words[a] for a in ("loudness", "pitch") if a in words]
    sentences.append(f"The sound is {_join(character)}." if character else "The sound is at a medium level.")
    colour = [words[a] for a in ("brightness", "noisiness") if a in words]
    if colour:
        sentences.append(f"Its timbre is {_join(colour)}.")
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
        sentences.append(", ".join(course) + ".")
    rhythm = [words[a] for a in ("events", "rhythm") if a in words]
    if rhythm:
        sentences.append(f"Its rhythm is {_join(rhythm)}.")
    return " ".join(sentences)


def _join(words: list[str]) -> str:
    return " and ".join(words)


class AcousticSettings(Settings):
    """`pitch`: what tells the words for pitch. ``spectrum``: where the power lies, as in AND; ``fundamental``: the
    fundamental frequency, for clips that have one."""

    pitch: Annotated[Pitch, LaterSetting()] = "spectrum"


@CAPTIONERS.register
class Acoustic(Captioner[AcousticSettings]):
    """Loudness, pitch, brightness, noisiness, rhythm, events, envelope.

    Each word from one measured quantity and a threshold.
    """

    kind = "acoustic"

    def fingerprint(self) -> str:
        """Return the version and rules."""
        later = repr(FUNDAMENTAL_RULES) if self.settings.pitch == "fundamental" else ""
        return VERSION + repr(RULES) + later

    @property
    def later_measures(self) -> tuple[str, ...]:
        """The fundamental frequency, where it tells the words for pitch."""
        return ("fundamental",) if self.settings.pitch == "fundamental" else ()

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return words for the measures in `rows`."""
        return [describe_measures(row, self.settings.pitch) for row in rows]

    def describe(self) -> str:
        """Return one line for provenance."""
        return "acoustic captioner (measured, no model)"
