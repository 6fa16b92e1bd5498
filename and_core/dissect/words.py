"""Module C of AND: words of the calibrated summary by part of speech, and which adjectives describe sound."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from and_core.data import bundled
from and_core.dissect.attributes import NEGATIONS, WINDOW
from and_core.errors import ConfigError

POS = {
    "adjective": ("JJ", "JJR", "JJS", "VBN"),
    "noun": ("NN", "NNS", "NNP", "NNPS"),
    "verb": ("VB", "VBD", "VBG", "VBP", "VBZ"),
    "preposition": ("IN",),
}  # fmt: skip
OF_TAG = {tag: pos for pos, tags in POS.items() for tag in tags}
TRIVIAL = frozenset(
    [
        "such",
        "other",
        "same",
        "own",
        "clip",
        "clips",
        "sound",
        "sounds",
        "audio",
        "recording",
        "thing",
        "overall",
        "be",
        "have",
        "do",
    ]
)
NEIGHBOURS = 3
TEMPLATE = "It sounds {}."
UNCLEAR = "the answer is neither yes nor no"
Embed = Callable[[list[str]], np.ndarray]


class Word(NamedTuple):
    """A word with its part of speech and how often it stands in the text."""

    pos: str
    word: str
    times: int


class Verdict(NamedTuple):
    """Whether an adjective can describe sound (None: not known), and why."""

    acoustic: bool | None
    reason: str


def read_verdict(answer: str) -> Verdict:
    """Return a language model's answer, which must begin with yes or no; anything else is not taken for either."""
    match = re.match(r"\W*(yes|no)\b[\s.,:;!-]*(.*)", answer, re.IGNORECASE | re.DOTALL)
    if not match:
        return Verdict(None, f"{UNCLEAR}: {' '.join(answer.split())[:120]}")
    return Verdict(match[1].lower() == "yes", " ".join(match[2].split())[:500])


@lru_cache(maxsize=2)
def load_tagger(name: str = "bundled") -> Any:
    """Return spaCy pipeline by name or folder; ``bundled`` is the one in the package.

    Raises
    ------
    ConfigError
        No such pipeline.
    """
    import spacy

    try:
        return spacy.load(bundled("en_and_tagger") if name == "bundled" else name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"open.tagger={name!r} can't be loaded: {str(error).splitlines()[0]}") from None


def words_of(texts: list[str], tagger: str = "bundled") -> list[list[Word]]:
    """Return words of each text; adjectives as a set, the others counted (AND section 5).

    An adjective within four tokens after "no" or "not" is left out, as are stop words and trivial ones.
    """
    pipeline = load_tagger(tagger)
    words = []
    for document in pipeline.pipe(texts, batch_size=128):
        counts: Counter[tuple[str, str]] = Counter()
        for i, token in enumerate(document):
            pos = OF_TAG.get(token.tag_)
            word = _normal(token)
            if (
                pos is None
                or not any(c.isalpha() for c in word)
                or word in TRIVIAL
                or (pos != "preposition" and token.is_stop)
            ):
                continue
            if pos == "adjective":
                if any(t.lower_ in NEGATIONS for t in document[max(0, i - WINDOW) : i]):
                    continue
                counts[(pos, word)] = 1
            else:
                counts[(pos, word)] += 1
        words.append([Word(pos, word, n) for (pos, word), n in sorted(counts.items())])
    return words


def content_lemmas(texts: list[str], tagger: str = "bundled") -> list[list[str]]:
    """Return lemmas of each text's content words (nouns, verbs, adjectives), in their order."""
    documents = load_tagger(tagger).pipe(texts, batch_size=128)
    return [
        [_normal(t) for t in d if t.tag_ in OF_TAG and OF_TAG[t.tag_] != "preposition" and not t.is_stop]
        for d in documents
    ]


def _normal(token: Any) -> str:
    """Return comparatives and plurals by lemma; participles as they stand (``muffled``, not ``muffle``)."""
    return token.lower_ if token.tag_ in ("JJ", "VBN", "IN") else str(token.lemma_ or token.lower_).lower()


class AcousticWords:
    """Tells adjectives for sound from others: by lexicon, else by which of its two lists lies closer.

    Parameters
    ----------
    embed : callable
        Texts -> (n, D) unit vectors; asked once for the lexicon and once for each distinct new word.
    margin : float
        A word that is in neither list counts as acoustic when its mean cosine similarity to the three nearest words for
        sound exceeds that to the three nearest other words by this much (chosen on the development half of the labelled
        words).
    encoder : str
        Identity of what embeds; with one, the lexicon is encoded once in a process.
    """

    _encoded: ClassVar[dict[str, np.ndarray]] = {}

    def __init__(self, embed: Embed, margin: float = 0.05, encoder: str = "") -> None:
        self.embed, self.margin, self.encoder = embed, margin, encoder
        self.lexicon = _lexicon()
        self._known = {word: Verdict(acoustic, "listed") for word, acoustic in self.lexicon.items()}
        self._vectors: np.ndarray | None = None

    def judge(self, words: list[str]) -> dict[str, Verdict]:
        """Return word -> whether it can describe sound."""
        new = sorted({w for w in words if w not in self._known})
        if new:
            if self._vectors is None:
                self._vectors = self._encoded.get(self.encoder)
            if self._vectors is None:
                self._vectors = self.embed([TEMPLATE.format(w) for w in self.lexicon])
                if self.encoder:
                    self._encoded[self.encoder] = self._vectors
            close = self.embed([TEMPLATE.format(w) for w in new]) @ self._vectors.T
            acoustic = np.array(list(self.lexicon.values()))
            score = _nearest(close[:, acoustic]) - _nearest(close[:, ~acoustic])
            self._known.update(
                {
                    w: Verdict(bool(s > self.margin), f"closer to words for sound by {s:+.2f}")
                    for w, s in zip(new, score, strict=True)
                }
            )
        return {w: self._known[w] for w in words}


def _nearest(similarity: np.ndarray) -> np.ndarray:
    return np.sort(similarity, 1)[:, -NEIGHBOURS:].mean(1)


@lru_cache(maxsize=1)
def _lexicon() -> dict[str, bool]:
    with open(bundled("sound_words.csv"), newline="", encoding="utf-8") as handle:
        return {row["word"]: row["acoustic"] == "1" for row in csv.DictReader(handle)}
