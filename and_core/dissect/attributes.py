"""Attributes of sound said in words: a lexicon that keeps opposites apart.

Sentence embeddings group sentences of one template, not of one meaning: "loud and shrill" lies close to "quiet and
low". So attributes are taken out of a caption first, by their words, and only what is left is embedded and compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# attribute -> value -> words; the first word of a value is the one that summaries use
LEXICON: dict[str, dict[str, tuple[str, ...]]] = {
    "loudness": {
        "loud": ("loud", "loudly", "powerful", "strong", "blaring", "booming", "deafening", "intense"),
        "quiet": ("quiet", "quietly", "soft", "softly", "faint", "faintly", "gentle", "gently", "subdued", "weak"),
    },
    "pitch": {
        "high-pitched": (
            "high-pitched",
            "high pitched",
            "high in pitch",
            "shrill",
            "piercing",
            "squeaky",
            "high-frequency",
            "high frequency",
        ),
        "low-pitched": (
            "low-pitched",
            "low pitched",
            "low in pitch",
            "deep",
            "bassy",
            "low-frequency",
            "low frequency",
        ),
    },
    "brightness": {"bright": ("bright", "crisp", "brilliant"), "dull": ("dull", "muffled", "dark", "muted")},
    "noisiness": {
        "tonal": ("tonal", "ringing", "clear in tone", "melodic", "harmonic", "melodious"),
        "noisy": ("noisy", "hissing", "noise-like", "static-like"),
    },
    "rhythm": {
        "regular": ("regular", "steady", "rhythmic", "rhythmically", "regularly", "even", "periodic"),
        "irregular": ("irregular", "uneven", "erratic", "irregularly", "random"),
    },
    "events": {"rapid": ("rapid", "fast", "quick", "rapidly", "quickly"), "slow": ("slow", "slowly")},
    "continuity": {
        "continuous": ("continuous", "constant", "sustained", "continuously", "constantly", "uninterrupted"),
        "intermittent": ("intermittent", "broken by pauses", "intermittently", "sporadic"),
    },
    "length": {"short": ("short", "brief"), "long": ("long", "prolonged")},
    "glide": {"rising": ("rising in pitch", "rising"), "falling": ("falling in pitch", "falling pitch")},
    "envelope": {
        "growing louder": ("growing louder", "swelling", "getting louder"),
        "fading": ("fading away", "fading", "dying away"),
    },
    "distance": {
        "close": ("close", "close-up", "nearby"),
        "distant": ("distant", "far away", "in the distance", "reverberant", "echoing"),
    },
}
VERSION = "2"  # of the parsing below
NEGATIONS = ("no", "not", "without", "never", "hardly", "n't", "nor", "neither")
WINDOW = 4  # tokens a negation reaches forward, as in AND
OPENERS = re.compile(
    r"^(?:(?:well|and|but|then|while|with|also|perhaps|probably|maybe)\s+)*"
    r"(?:(?:this|it|the (?:overall |main )?(?:sound|audio|recording|clip)|we|there|one|you|i|its "
    r"(?:timbre|character|rhythm)|in time it|the pattern)\s+"
    r"(?:(?:is|are|might|could|may|can|also|probably|most likely)\s+)*"
    r"(?:(?:be|is|are|hears?|heard|captures?|features?|contains?|consists of|sounds?(?: like| rather)?|goes on in a "
    r"way that is)\b)?\s*)",
    re.IGNORECASE,
)
EMPTY = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "and",
        "or",
        "but",
        "is",
        "are",
        "was",
        "be",
        "it",
        "its",
        "this",
        "that",
        "there",
        "in",
        "on",
        "at",
        "to",
        "with",
        "by",
        "for",
        "from",
        "very",
        "quite",
        "rather",
        "some",
        "any",
        "as",
        "sound",
        "sounds",
        "audio",
        "recording",
        "clip",
        "noise",
        "overall",
        "main",
        "timbre",
        "character",
        "rhythm",
        "pattern",
        "time",
        "way",
        "goes",
        "heard",
        "hear",
        "level",
        "medium",
        "plain",
        "also",
        "more",
        "less",
        "made",
        "events",
        "nothing",
        "else",
        "no",
        "not",
        "hard",
        "tell",
    ]
)


@dataclass(frozen=True)
class Parsed:
    """A caption taken apart: (attribute, value) pairs, and the clauses that are left."""

    attributes: tuple[tuple[str, str], ...]
    clauses: tuple[str, ...]


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], dict[str, tuple[str, str]]]:
    meaning = {
        word: (attribute, value)
        for attribute, values in LEXICON.items()
        for value, words in values.items()
        for word in words
    }
    words = "|".join(re.escape(w) for w in sorted(meaning, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), meaning


def head(value: str) -> str:
    """Return the adjective of a value: that of ``growing louder`` is growing."""
    return value.split()[0]


def value_text(value: str) -> str:
    """Return a value as a text to encode."""
    return f"a {value} sound"


def split_sentences(text: str) -> list[str]:
    """Return sentences of a text, by punctuation and line ends."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip(" .!?")]


def parse(caption: str) -> Parsed:
    """Return attributes and remaining clauses of one caption; a negated attribute is not counted.

    Where a caption gives both values of an attribute, neither counts: it says nothing common.
    """
    pattern, meaning = _patterns()
    by_attribute: dict[str, set[str]] = {}
    clauses = []
    for sentence in split_sentences(caption):
        for match in pattern.finditer(sentence):
            before = re.findall(r"[\w'-]+", sentence[: match.start()].lower())[-WINDOW:]
            if not any(word in NEGATIONS or word.endswith("n't") for word in before):
                attribute, value = meaning[match[0].lower()]
                by_attribute.setdefault(attribute, set()).add(value)
        clauses += _clauses(sentence, pattern)
    pairs = tuple(sorted((a, next(iter(values))) for a, values in by_attribute.items() if len(values) == 1))
    return Parsed(pairs, tuple(dict.fromkeys(clauses)))


def _clauses(sentence: str, pattern: re.Pattern[str]) -> list[str]:
    """Return what is left of a sentence without attribute words and openers, in clauses; empty ones are dropped."""
    left = []
    for part in re.split(r"[;:,]|\s+(?:while|and then|but)\s+", sentence.strip(" .!?")):
        part = pattern.sub(" ", part)
        part = OPENERS.sub("", part.strip())
        part = re.sub(r"\s+(?:and|or|with|is|are)\s*$|^\s*(?:and|or)\s+", "", re.sub(r"\s+", " ", part)).strip(" ,.;")
        words = [w for w in re.findall(r"[\w'-]+", part.lower()) if w not in EMPTY]
        negated = re.match(r"(?:no|without|nothing)\b", part.lower()) is not None
        if words or negated:
            left.append(part)
    return left
