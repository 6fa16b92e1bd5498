"""What pages open on, chosen from the data: the surest neuron, one that stays unclear, the concept and the cluster that
say most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from and_core.evaluate.metrics import METRICS
from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.store.headline import SURE

KEPT = 8  # dissections whose openings stay in memory
CALLED = {"DB": "by captions", "TAB": "by sound"}  # methods that name a concept of the set for every neuron


@dataclass(frozen=True)
class Totals:
    """How many hidden neurons are told, and how surely.

    Attributes
    ----------
    neurons, layers : int
        Hidden ones: all but the classifier's, unless it is the only layer.
    named : int
        Whose concept holds with a probability of :data:`SURE` or more.
    probability : float or None
        Mean stated probability over those named; None where there are none.
    described : int
        Not named, of which an adjective holds, which follow an acoustic measure, or which mean more than one concept
        says.
    unclear : int
    dead : int
    """

    neurons: int
    layers: int
    named: int
    probability: float | None
    described: int
    unclear: int
    dead: int


def hidden(d: Dissection) -> np.ndarray:
    """Return (R,) bool: neurons of hidden layers; all where there is no other layer than the classifier."""
    mask = np.concatenate([np.full(layer.size, layer.kind != "fc") for layer in d.layers])
    return mask if mask.any() else np.ones(len(mask), bool)


@lru_cache(maxsize=KEPT)
def totals(d: Dissection) -> Totals:
    """Return how many hidden neurons are told.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    d.require("explanations")
    kept = hidden(d)
    named, dead = d.headlines.holds & kept & ~d.dead, d.dead & kept
    described = (_described(d) & kept) & ~named & ~dead
    return Totals(
        neurons=int(kept.sum()),
        layers=sum(bool(kept[layer.offset]) for layer in d.layers),
        named=int(named.sum()),
        probability=float(d.headlines.probability[named].mean()) if named.any() else None,
        described=int(described.sum()),
        unclear=int((kept & ~named & ~described & ~dead).sum()),
        dead=int(dead.sum()),
    )


@lru_cache(maxsize=KEPT)
def surest_neuron(d: Dissection) -> NeuronId:
    """Return the hidden neuron that is told most surely: by probability, then one that one concept says, by how many
    methods say the same, by the share of its highest clips in one class, by held-out score; the first of equals.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    d.require("explanations")
    able = hidden(d) & ~d.dead
    if not able.any():
        return d.neuron_id(0)
    probability = np.round(np.nan_to_num(d.headlines.probability), 2)
    scores = -np.nan_to_num(_held_out(d), nan=-2.0)
    keys = (scores, -_class_share(d), -_agreeing(d), _composed(d), -probability, ~able)
    return d.neuron_id(int(np.lexsort(keys)[0]))


@lru_cache(maxsize=KEPT)
def unclear_neuron(d: Dissection) -> NeuronId | None:
    """Return the hidden neuron of which least can be told: of those that fire and of which neither a concept nor an
    adjective nor a measure holds, the one whose highest clips have least in common, then the least probable; None where
    there is none.

    Where no probability can be told at all, the lowest held-out score stands for it.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    d.require("explanations")
    able = hidden(d) & ~d.dead & ~d.headlines.holds & ~_described(d)
    by = d.headlines.probability if d.headlines.calibrated else _held_out(d)
    if not able.any():
        return None
    return d.neuron_id(int(np.lexsort((np.nan_to_num(by, nan=np.inf), _class_share(d), ~able))[0]))


def disagreement(d: Dissection, neuron: NeuronId | str) -> list[tuple[str, str]]:
    """Return what captions and sound say of a neuron, where they do not both say what its headline does.

    Returns
    -------
    list of (str, str)
        How it was found (``by captions``, ``by sound``) and the concept that comes first; nothing where all agree.

    Raises
    ------
    NotComputed
        The stage `explanations` has not been run.
    """
    index, first = d.index(neuron), _first_concepts(d)
    beside = [(how, str(first[m][index])) for m, how in CALLED.items() if m in first and first[m][index]]
    headline = d.headlines.concept[index]
    agree = len({concept for _, concept in beside} | ({headline} if headline else set())) < 2
    return [] if agree else beside


@lru_cache(maxsize=KEPT)
def leading_concept(d: Dissection) -> str | None:
    """Return the concept of which most can be told: by the sum of the probabilities of its neurons, where they are
    known, else by their number; None where no neuron has a concept."""
    weights: dict[str, float] = {}
    probability = np.nan_to_num(d.headlines.probability)
    calibrated = bool(d.headlines.holds.any())
    for concept, p in zip(d.headlines.concept.tolist(), probability.tolist(), strict=True):
        if concept:
            weights[concept] = weights.get(concept, 0.0) + ((p if p >= SURE else 0.0) if calibrated else 1.0)
    return max(sorted(weights), key=lambda concept: weights[concept]) if weights else None


@lru_cache(maxsize=KEPT)
def leading_adjective(d: Dissection) -> str | None:
    """Return the acoustic adjective that most neurons have; None where none has one."""
    rows = d.adjective_counts if d.has("word_counts") else []
    words = [row["word"] for row in rows if row["word"] in d.explained_adjectives]
    return words[0] if words else next(iter(d.explained_adjectives), None)


@lru_cache(maxsize=KEPT)
def best_scored_method(d: Dissection) -> str | None:
    """Return the method whose explanations have the highest mean held-out correlation over neurons; None where none
    was scored."""
    if not d.has("scores") or not d.scored_methods:
        return None
    values = np.asarray(d.score_values)[:, 0, METRICS.index("pearson")].astype(float)
    counts = np.isfinite(values).sum(1)
    means = np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), -np.inf)
    return str(d.scored_methods[int(means.argmax())])


@lru_cache(maxsize=KEPT)
def leading_cluster(d: Dissection) -> int:
    """Return the cluster of captions that most neurons share for the number of its clips, since a large one is shared
    by chance: neurons most of whose highest clips lie in it, over its clips; the largest where that was not counted."""
    table = d.cluster_sentences
    clusters, clips = table["cluster"].to_numpy(), table["clip"].to_numpy()
    if not (clusters >= 0).any():
        return 0
    ks = d.notes("interpretability")["k"] if d.has("interpretability") else []
    if ks:
        shared, most = np.asarray(d.shared_cluster(ks[0])), np.asarray(d.most_in_one_cluster(ks[0]))
        agree = np.bincount(shared[(shared >= 0) & (2 * most > ks[0])], minlength=int(clusters.max()) + 1)
        pairs = np.unique(np.stack([clusters, clips], 1)[clusters >= 0], axis=0)
        sizes = np.bincount(pairs[:, 0], minlength=len(agree))
        if agree.any():
            return int((agree / np.maximum(sizes, 1)).argmax())
    return int(np.bincount(clusters[clusters >= 0]).argmax())


@lru_cache(maxsize=KEPT)
def _first_concepts(d: Dissection) -> dict[str, np.ndarray]:
    """Return method -> (R,) the concept that it puts first, None where it says nothing."""
    d.require("explanations")
    table = d.explanation_table
    names = np.array([*d.concept_set, None], dtype=object)
    first = {"DB": _column(table, "concept")}
    best: Any = d.notes("tab")["similarities"] if d.has("tab") else []
    if best:
        similarity = d.similarity if d.similarity in best else best[0]
        first["TAB"] = names[np.asarray(d.best_concepts("TAB", similarity)[:, 0])]
    first["SUM"] = _column(table, "thing")
    return first


def _agreeing(d: Dissection) -> np.ndarray:
    """Return (R,) how many methods put the headline's concept first."""
    concept = d.headlines.concept
    known = concept != None  # noqa: E711 - element by element
    return np.sum([(names == concept) & known for names in _first_concepts(d).values()], axis=0)


@lru_cache(maxsize=KEPT)
def _described(d: Dissection) -> np.ndarray:
    """Return (R,) bool: an adjective holds of the neuron, it follows an acoustic measure, or it means more than one
    concept says."""
    described = np.zeros(d.neuron_count, bool)
    if d.words_calibrated:
        words = d.scored_words
        sure = np.nan_to_num(words["confidence"].to_numpy(zero_copy_only=False).astype(float)) >= SURE
        described[words["neuron"].to_numpy()[sure]] = True
    else:
        described |= np.array([bool(words) for words in d.explanation_table["adjectives"].to_pylist()])
    described |= _composed(d)
    if d.has("quantities"):
        described |= np.asarray(d.quantities["follows"].to_numpy(zero_copy_only=False), bool)
    return described


def _composed(d: Dissection) -> np.ndarray:
    """Return (R,) bool: the neuron means more than one concept says."""
    if not d.has("compositions"):
        return np.zeros(d.neuron_count, bool)
    return np.asarray(d.compositions["form"].is_valid().to_numpy(zero_copy_only=False), bool)


def _class_share(d: Dissection) -> np.ndarray:
    """Return (R,) share of each neuron's highest clips in one class."""
    return np.round(np.nan_to_num(d.explanation_table["class_share"].to_numpy(zero_copy_only=False).astype(float)), 3)


def _held_out(d: Dissection) -> np.ndarray:
    """Return (R,) held-out correlation by the method that scores best; NaN where there is none."""
    method = best_scored_method(d)
    if method is None:
        return np.full(d.neuron_count, np.nan)
    return np.asarray(d.score_values)[d.scored_methods.index(method), 0, METRICS.index("pearson")].astype(float)


def _column(table: Any, name: str) -> np.ndarray:
    values = np.empty(table.num_rows, object)
    values[:] = [value or None for value in table.column(name).to_pylist()]
    return values
