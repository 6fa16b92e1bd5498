"""Finding neurons by words, by meaning and by what they are said to hear."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.config import PluginConfig
from and_core.errors import DataError
from and_core.query.scores import confidence_of_all, score_of_all
from and_core.store.dissection import Dissection
from and_core.store.headline import SURE

_LOCK = Lock()
NEAREST = 200  # neurons that a search by meaning takes to be near, before they are ranked by confidence


@dataclass(frozen=True)
class Query:
    """What is looked for; every part that is given must hold."""

    text: str = ""
    by: Literal["either", "words", "meaning"] = "words"
    layers: tuple[str, ...] = ()
    concept: str | None = None
    adjective: str | None = None
    min_share: float = 0.0
    interpretable: bool | None = None
    min_score: float | None = None
    scored: str = "DB"
    sure: bool = False

    def is_empty(self) -> bool:
        """Return whether nothing is asked."""
        return self == Query(by=self.by, scored=self.scored)


@dataclass(frozen=True, eq=False)
class Matches:
    """Neurons that fit a query, surest first.

    Attributes
    ----------
    neurons : (n,) int
        Indices, ranked.
    confidence : (n,) float
        Probability that the explanation which fits holds; NaN where it can't be told.
    similarity : (n,) float32 or None
        Cosine of the query and the neuron's explanation, for a search by meaning.
    """

    neurons: np.ndarray
    confidence: np.ndarray
    similarity: np.ndarray | None = None


def rank_neurons(d: Dissection, query: Query) -> Matches:
    """Return neurons that fit a query, surest first.

    A search for ``either`` falls back to meaning where no explanation has the words. Of a search by meaning, the
    nearest :data:`NEAREST` are ranked by similarity times confidence.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    by_words = query.text and query.by != "meaning"
    neurons, similarity = find_neurons(d, replace(query, by="words" if by_words else query.by))
    if query.text and query.by == "either" and not len(neurons):
        by_words = False
        neurons, similarity = find_neurons(d, replace(query, by="meaning"))
    confidence = d.headlines.probability[neurons]
    if by_words:
        confidence = _confidence_of_words(d, query.text, neurons, confidence)
    if similarity is not None:
        neurons, similarity, confidence = neurons[:NEAREST], similarity[:NEAREST], confidence[:NEAREST]
        rank = similarity * np.nan_to_num(confidence) if np.isfinite(confidence).any() else similarity
        order = np.argsort(-rank, kind="stable")
        return Matches(neurons[order], confidence[order], similarity[order])
    order = np.argsort(-np.nan_to_num(confidence, nan=-1.0), kind="stable")
    return Matches(neurons[order], confidence[order])


def _confidence_of_words(d: Dissection, text: str, neurons: np.ndarray, headline: np.ndarray) -> np.ndarray:
    """Return (n,) probability of the explanation that holds the words: the headline's where it names them, else the
    summary's."""
    concepts = pa.array(d.headlines.concept[neurons], pa.string())
    named = np.zeros(len(neurons), bool)
    for word in _words(text):
        named |= _mentions(concepts, word)
    summary = np.full(len(neurons), np.nan)
    if d.has("scores") and "SUM" in d.scored_methods:
        summary = confidence_of_all(d, "SUM")[neurons]
    return np.where(named, headline, summary)


def _words(text: str) -> list[str]:
    return text.replace("_", " ").split()


def _mentions(column: pa.Array, word: str) -> np.ndarray:
    """Return (n,) bool: texts with a word that begins so, in any case."""
    spaced = pc.replace_substring(column, "_", " ")
    start = r"\b" if re.match(r"\w", word, re.ASCII) else ""
    hits = pc.match_substring_regex(spaced, start + re.escape(word), ignore_case=True)
    return np.asarray(pc.fill_null(hits, False).to_numpy(zero_copy_only=False), bool)


def find_neurons(d: Dissection, query: Query) -> tuple[np.ndarray, np.ndarray | None]:
    """Return neurons that fit a query.

    Returns
    -------
    neurons : (n,) int
        Indices, in network order, or nearest first for a search by meaning.
    similarity : (n,) float32 or None
        Cosine of the query and the neuron's explanation, for a search by meaning.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    table = d.explanation_table
    fits = np.ones(table.num_rows, bool)
    if query.layers:
        fits &= pc.is_in(table["layer"].cast(pa.string()), pa.array(query.layers)).to_numpy()
    if query.concept is not None:
        fits &= d.headlines.concept == query.concept
    if query.adjective is not None:
        fits &= np.array([query.adjective in row.split(", ") for row in table["adjectives"].to_pylist()])
    if query.min_share > 0:
        fits &= table["class_share"].to_numpy() >= query.min_share - 1e-6
    if query.interpretable is not None:
        fits &= interpretable(d) == query.interpretable
    if query.min_score is not None:
        fits &= np.nan_to_num(score_of_all(d, query.scored), nan=-2) >= query.min_score
    if query.sure:
        fits &= np.nan_to_num(confidence_of_all(d, query.scored)) >= SURE
    if not query.text:
        return np.flatnonzero(fits), None
    if query.by != "meaning":
        for word in _words(query.text):
            hit = np.zeros(len(fits), bool)
            for column in (table["summary"], table["adjectives"], pa.array(d.headlines.concept, pa.string())):
                hit |= _mentions(column, word)
            fits &= hit
        return np.flatnonzero(fits), None
    vectors = np.asarray(d.explanation_vectors, np.float32)
    similarity = vectors @ encode_query(d, query.text)
    fits &= vectors.any(1)
    order = np.argsort(-similarity, kind="stable")
    order = order[fits[order]]
    return order, similarity[order]


def interpretable(d: Dissection) -> np.ndarray:
    """Return (R,) bool: neurons at least 4 of whose 5 highest clips share a cluster of captions (AND section 8).

    Raises
    ------
    DataError
        There are fewer than 5 clips to rank.
    """
    d.require("interpretability")
    if 5 not in d.notes("interpretability")["k"]:
        raise DataError(f"{d.name!r} has fewer than 5 clips to rank, so no neuron can be called interpretable")
    return np.asarray(d.most_in_one_cluster(5)) >= 4


def encode_query(d: Dissection, text: str) -> np.ndarray:
    """Return (D,) unit vector of a text, by the encoder that the dissection was made with; the encoder stays loaded."""
    section = d.manifest.config["encoder"]
    with _LOCK:  # tokenizers are not to be shared by threads
        return _encode(d, section, text)


def _encode(d: Dissection, section: dict[str, Any], text: str) -> np.ndarray:
    encoder = _encoder(tuple(sorted(section.items())))
    if encoder.fingerprint() != d.manifest.stages["texts"].parameters["fingerprint"]:
        raise DataError(
            f"the text encoder of {d.name!r} ({d.notes('texts')['encoder']}) is not the one on this machine; search by "
            "words instead"
        )
    return encoder.encode([text])[0]


@lru_cache(maxsize=2)
def _encoder(settings: tuple[tuple[str, object], ...]) -> Any:
    from and_core.encoders.base import ENCODERS

    return ENCODERS.create(PluginConfig(**dict(settings)), recorded=True)
