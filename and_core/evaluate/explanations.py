"""What is said of neurons by one method, in a form that predicts: a text is a mean of parts, and a clip fits it by the
mean of their similarities."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from and_core.dissect.attributes import LEXICON, head, value_text
from and_core.store.dissection import SCORED, Dissection

METHODS = ("DB", "TAB", "ICL", "SUM", "OPEN")
CLOSED = ("DB", "TAB", "ICL")
PREDICTORS = ("text", "audio", "presence", "label", "words")
BESIDE_THE_POINT = re.compile(
    r"^(?:no|nothing|without)\b|\bbackground\b|\bbehind it\b", re.IGNORECASE
)  # true of clips, but not what a neuron fires on
Encode = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Explanations:
    """Explanations of all neurons by one method.

    Attributes
    ----------
    which : (R,) int32
        Row of each neuron's explanation below, -1 where the method says nothing.
    names : list of str
        Each distinct explanation, for people.
    parts : (D, T) csr_matrix
        Weights of the texts that each is made of; rows sum to 1.
    texts : list of str, T
    """

    which: np.ndarray
    names: list[str]
    parts: csr_matrix
    texts: list[str]

    def vectors(self, encode: Encode) -> np.ndarray:
        """Return (D, dimension) mean of the unit vectors of the parts."""
        return np.asarray(self.parts @ encode(self.texts), np.float32)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return (D,) place of each explanation's name in a list, -1 where it is not in it."""
        place = {name: i for i, name in enumerate(names)}
        return np.array([place.get(name, -1) for name in self.names], int)


def _explanations(which: np.ndarray, lists: Sequence[tuple[str, ...]], names: list[str]) -> Explanations:
    texts = sorted({text for parts in lists for text in parts})
    place = {text: i for i, text in enumerate(texts)}
    rows = np.repeat(np.arange(len(lists)), [len(parts) for parts in lists])
    columns = np.array([place[text] for parts in lists for text in parts], int)
    weights = np.array([1 / len(parts) for parts in lists for _ in parts], np.float32)
    return Explanations(
        which.astype(np.int32), names, csr_matrix((weights, (rows, columns)), shape=(len(lists), len(texts))), texts
    )


def _distinct(texts_by_neuron: dict[int, tuple[str, ...]], neurons: int) -> Explanations:
    """Return neurons with the same parts share a row."""
    lists = sorted(set(texts_by_neuron.values()))
    place = {parts: i for i, parts in enumerate(lists)}
    which = np.full(neurons, -1, np.int32)
    for neuron, parts in texts_by_neuron.items():
        which[neuron] = place[parts]
    return _explanations(which, lists, ["; ".join(parts) for parts in lists])


def load_explanations(d: Dissection, method: str, similarity: str, spoken: Sequence[str]) -> Explanations | None:
    """Return explanations by a method, None where it has not been run.

    Parameters
    ----------
    d : Dissection
        Or a view of one.
    method : str
        One of :data:`METHODS`.
    similarity : str
        Function that DB and TAB are taken under.
    spoken : sequence of str, M
        The concepts as they are encoded.
    """
    if method in SCORED:
        stage = SCORED[method]
        if not d.has(stage) or similarity not in d.notes(stage)["similarities"]:
            return None
        which = np.asarray(d.best_concepts(method, similarity)[:, 0])
        return _explanations(which, [(text,) for text in spoken], list(d.concept_set))
    if method == "ICL":
        if not d.has("icl"):
            return None
        which = np.full(d.neuron_count, -1, np.int32)
        for row in d.icl_table.to_pylist():
            if row["question"] == "top1" and row["concept"] >= 0 and which[row["neuron"]] < 0:
                which[row["neuron"]] = row["concept"]
        return _explanations(which, [(text,) for text in spoken], list(d.concept_set))
    texts_by_neuron: dict[int, list[str]] = {}
    if method == "OPEN":
        words = d.word_table
        for neuron, word in zip(
            *(words.filter(words["acoustic"])[c].to_pylist() for c in ("neuron", "word")), strict=True
        ):
            texts_by_neuron.setdefault(neuron, []).append(value_text(word))
        return _distinct({neuron: tuple(sorted(parts)) for neuron, parts in texts_by_neuron.items()}, d.neuron_count)
    points = d.calibrated_points
    points = points.filter(points["kept"])
    for neuron, text, attribute in zip(*(points[c].to_pylist() for c in ("neuron", "text", "attribute")), strict=True):
        texts_by_neuron.setdefault(neuron, []).append(value_text(text) if attribute else text)
    return _distinct({neuron: tuple(parts) for neuron, parts in texts_by_neuron.items()}, d.neuron_count)


def things(points: pa.Table) -> dict[int, str]:
    """Return what sounds by each neuron's calibrated summary: its first point that is no attribute and not beside the
    point.

    Parameters
    ----------
    points : Table
        One row a point: neuron, text, attribute, kept.
    """
    first: dict[int, str] = {}
    columns = (points[c].to_pylist() for c in ("neuron", "text", "attribute", "kept"))
    for neuron, text, attribute, kept in zip(*columns, strict=True):
        if kept and not attribute and not BESIDE_THE_POINT.search(text):
            first.setdefault(neuron, text)
    return first


def adjective_shares(explanations: Explanations, values: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return (D, V) share of each explanation's adjectives that is one of the lexicon's values, as captions are
    searched for them.

    Parameters
    ----------
    values : sequence of (attribute, value), V
        As the stage `texts` found them in captions.
    """
    meaning = {
        word: (attribute, value)
        for attribute, shares in LEXICON.items()
        for value, words in shares.items()
        for word in (*words, head(value))
    }
    place = {tuple(pair): i for i, pair in enumerate(values)}
    columns = np.array(
        [
            place.get(meaning.get(text.removeprefix("a ").removesuffix(" sound"), ("", "")), -1)
            for text in explanations.texts
        ],
        int,
    )
    shares = np.zeros((explanations.parts.shape[0], len(values)), np.float32)
    known = np.flatnonzero(columns >= 0)
    if len(known):
        chosen = csr_matrix(
            (np.ones(len(known), np.float32), (known, columns[known])), shape=(len(explanations.texts), len(values))
        )
        shares = np.asarray((explanations.parts @ chosen).todense(), np.float32)
    return shares
