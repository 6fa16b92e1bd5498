"""Select the neurons that a request names, most responsive first, and the random baselines that are fair to them.

Reads a dissection, computes no network, imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.analyze.words import summary_tokens
from and_core.dissect.words import content_lemmas
from and_core.errors import ConfigError, NotComputed, one_of
from and_core.names import readable
from and_core.records import Layer, NeuronId
from and_core.store.dissection import SCORED, Dissection
from and_core.unlearn.request import BASIC, SEEDS, SIMILARITY, AblationRequest, neuron_ids

UNTESTED = "untested"  # view: explained from the clips that are not tested
SMALL = 1e-9
AUDIO = "; it needs an audio_encoder in the configuration"
Masks = dict[str, np.ndarray]


@dataclass(frozen=True)
class Selection:
    """Neurons of a strategy: layer name -> (R,) bool, with the strategy's name and, for random ones, the seed."""

    strategy: str
    masks: Masks
    seed: int | None = None

    @property
    def count(self) -> int:
        """Neurons in all."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def per_layer(self) -> dict[str, int]:
        """Neurons in each layer."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}


def hidden(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers that may be ablated: all but the classifier."""
    return [layer for layer in layers if layer.kind != "fc"]


def by_mask(strategy: str, layers: Sequence[Layer], chosen: np.ndarray) -> Selection:
    """Select by one bool per neuron of the whole dissection; the classifier's are left out."""
    return Selection(
        strategy,
        {layer.name: np.array(chosen[layer.offset : layer.offset + layer.size], bool) for layer in hidden(layers)},
    )


def by_list(layers: Sequence[Layer], neurons: Sequence[NeuronId]) -> Selection:
    """Return a user's own list.

    Raises
    ------
    ConfigError
        A neuron that there is not, or one of the classifier.
    """
    masks = {layer.name: np.zeros(layer.size, bool) for layer in hidden(layers)}
    for neuron in neurons:
        if neuron.layer not in masks or not 0 <= neuron.unit < len(masks[neuron.layer]):
            raise ConfigError(
                f"neuron={str(neuron)!r} is not in a hidden layer; there are: "
                f"{', '.join(f'{n}/0..{len(m) - 1}' for n, m in masks.items())}"
            )
        masks[neuron.layer][neuron.unit] = True
    return Selection("list", masks)


def by_concept(strategy: str, layers: Sequence[Layer], best: np.ndarray, concept: int, top: int = 3) -> Selection:
    """Select neurons by TAB or DB: the concept is among a neuron's `top` closed concepts, `best` being (neurons, ranks)
    concept numbers."""
    return by_mask(strategy, layers, (best[:, :top] == concept).any(1))


def at_random(layers: Sequence[Layer], count: int, seed: int) -> Selection:
    """Return the paper's baseline: `count` neurons (or all there are), uniformly over all hidden layers."""
    rng = np.random.default_rng(seed)
    total = sum(layer.size for layer in hidden(layers))
    flat = np.zeros(total, bool)
    flat[rng.permutation(total)[: min(count, total)]] = True
    sizes = np.cumsum([layer.size for layer in hidden(layers)])[:-1]
    return Selection(
        "random", {layer.name: part for layer, part in zip(hidden(layers), np.split(flat, sizes), strict=True)}, seed
    )


def fair_random(masks: Mapping[str, np.ndarray], seed: int) -> Selection:
    """Return the fair baseline: as many neurons as `masks`, layer by layer.

    Examples
    --------
    >>> mask = np.array([True, False, False, True])
    >>> fair_random({"layer0_output": mask}, seed=20).per_layer
    {'layer0_output': 2}
    """
    rng = np.random.default_rng(seed)
    return Selection(
        "fair random", {name: rng.permutation(np.asarray(mask, bool)) for name, mask in masks.items()}, seed
    )


def concept_words(
    concepts: Sequence[str], lemmas: Callable[[list[str]], list[list[str]]]
) -> dict[str, tuple[set[str], set[str]]]:
    """Return content-word lemmas of each concept's name, and those among them that other concepts have as well (bird,
    wood, clock, water).

    Parameters
    ----------
    concepts : sequence of str
        Names with or without underscores.
    lemmas : callable
        Texts -> the lemmas of each one's content words.
    """
    lemmas_of = [set(words) for words in lemmas([c.replace("_", " ") for c in concepts])]
    count = Counter(word for words in lemmas_of for word in words)
    return {c: (words, {w for w in words if count[w] > 1}) for c, words in zip(concepts, lemmas_of, strict=True)}


def matching(
    nouns: Iterable[str],
    concept: str,
    words: Mapping[str, tuple[set[str], set[str]]],
    *,
    leave_shared: bool = False,
    substring: bool = False,
) -> set[str]:
    """Return, for OCP, those of the nouns that name the concept.

    Parameters
    ----------
    nouns : iterable of str
        Lemmas of open-set entities (nouns of calibrated summaries).
    concept : str
        One of `words`.
    words : mapping
        As :func:`concept_words` gives them.
    leave_shared : bool
        Leave out words that name several concepts.
    substring : bool
        As the reference does it: the noun stands somewhere in the concept's name, so that "in" or "s" match too.

    Raises
    ------
    ConfigError
        The concept is not among `words`.

    Examples
    --------
    >>> words = {"door_wood_knock": ({"door", "wood", "knock"}, set()), "clock_tick": ({"clock", "tick"}, {"clock"})}
    >>> sorted(matching(["door", "knock", "in", "rain"], "door_wood_knock", words))
    ['door', 'knock']
    >>> sorted(matching(["door", "knock", "in", "rain"], "door_wood_knock", words, substring=True))
    ['door', 'knock']
    >>> matching(["clock"], "clock_tick", words, leave_shared=True)
    set()
    """
    if concept not in words:
        raise one_of("concept", concept, words)
    own, shared = words[concept]
    wanted = own - shared if leave_shared else own
    name = concept.replace("_", " ").lower()
    return {noun for noun in nouns if (noun in name if substring else noun in wanted)}


@dataclass(frozen=True)
class RankedSelection:
    """Chosen neurons.

    Attributes
    ----------
    selection : Selection
    order : (count,) int
        Their positions among all neurons of the dissection, the most responsive to the concept first.
    notes : tuple of str
        What a user should know: whole layers, words shared by several concepts, nothing found.
    """

    selection: Selection
    order: np.ndarray
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Neurons in all."""
        return len(self.order)

    def first(self, count: int, layers: Sequence) -> Selection:
        """Return the `count` most responsive ones."""
        chosen = np.zeros(sum(layer.size for layer in layers), bool)
        chosen[self.order[:count]] = True
        return by_mask(self.selection.strategy, layers, chosen)


def source(d: Dissection, request: AblationRequest) -> Dissection:
    """Return where explanations are read: the view that never saw the tested clips, or the dissection itself."""
    d.require("split")
    if request.choose_on == "all":
        return d
    view, made = d.view(UNTESTED), d.notes("split")["view"]
    if any(name not in view.manifest.stages or view.manifest.stages[name].key != key for name, key in made.items()):
        raise NotComputed(
            f"explanations without the tested clips of {d.name!r} are being made anew, or that was interrupted; run: "
            f"and-dissect prune {d.name} --all"
        )
    return view


def select_neurons(d: Dissection, request: AblationRequest) -> RankedSelection:
    """Return neurons that a request selects, its dose applied.

    Raises
    ------
    ConfigError
        A concept, adjective or neuron that there is not.
    NotComputed
        A stage that the strategy reads has not been run.
    """
    view = source(d, request)
    chosen, scores, notes = _SELECT[request.strategy](d, view, request)
    flat = np.concatenate([chosen.masks.get(layer.name, np.zeros(layer.size, bool)) for layer in d.layers])
    units = np.flatnonzero(flat)
    ties = _ties(d, SEEDS[0])  # by index, shallow layers would come first
    order = units[np.lexsort((ties[units], -scores[units]))]
    kept = order[: round(request.dose * len(order))]
    selection = chosen if len(kept) == len(order) else RankedSelection(chosen, order, ()).first(len(kept), d.layers)
    return RankedSelection(selection, kept, (*notes, *_remarks(d, selection)))


def _remarks(d: Dissection, selection: Selection) -> list[str]:
    if not selection.count:
        return ["No neuron is selected, so nothing would change."]
    whole = [layer.title for layer in hidden(d.layers) if selection.per_layer[layer.name] == layer.size]
    return [f"All neurons of {', '.join(whole)} are selected: nothing passes through."] if whole else []


def _closed(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    method: Any = request.strategy
    stage, similarity = SCORED[method], SIMILARITY[method]
    names = [readable(name) for name in view.concept_set]
    if readable(request.concept) not in names:
        raise one_of("concept", request.concept, names)
    if not view.has(stage):
        raise NotComputed(
            f"strategy={request.strategy!r} reads the stage {stage!r} of {d.name!r}, which has not been "
            f"run{AUDIO if stage == 'tab' else ''}"
        )
    if similarity not in view.notes(stage)["similarities"]:
        reason = view.notes(stage)["failed"].get(similarity, "it is not among closed.similarities")
        raise ConfigError(f"strategy={request.strategy!r} reads {similarity}, which was not scored: {reason}")
    number = names.index(readable(request.concept))
    ranks = view.best_concepts(method, similarity).shape[1]
    if request.top > ranks and ranks < len(names):
        raise ConfigError(
            f"top={request.top} is more than the {ranks} concepts that are kept for each neuron; at most {ranks} is "
            "allowed (closed.top)"
        )
    best, scored = (np.asarray(values(method, similarity)) for values in (view.best_concepts, view.best_concept_scores))
    scores = np.where(best[:, : request.top] == number, scored[:, : request.top], -np.inf).max(1)
    return by_concept(request.strategy, d.layers, best, number, request.top), scores, []


def _open(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    known = d.concept_terms
    name = next((concept for concept in known if readable(concept) == readable(request.concept)), request.concept)
    if name not in known:
        if not request.concept.strip():
            raise ConfigError("concept='' names nothing; give one of the concept set, or any words")
        typed = content_lemmas([readable(request.concept)])[0] or request.concept.lower().split()
        known = {**known, name: {"words": sorted(set(typed)), "shared": [], "synonyms": []}}
    terms = known[name]
    words = {name: (set(terms["words"]), set(terms["shared"]))}
    if request.synonyms is not None:
        words[name][0].update(noun for noun, cosine in terms["synonyms"] if cosine >= request.synonyms)
    nouns = said_words(view, "noun")
    for part in words[name]:
        part.update(noun for noun in nouns if _verb_of(noun) & part)
    matched = matching(nouns, name, words, leave_shared=request.leave_shared, substring=request.substring)
    scores = word_counts(view, "noun", matched)
    listed = ", ".join(sorted(matched)) or "none"
    notes = [
        f"Matches nouns that stand anywhere in the name: {listed}."
        if request.substring
        else f"Matches the nouns: {listed}."
    ]
    if terms["shared"] and not request.leave_shared:
        notes.append(f"Other concepts have these words too: {', '.join(terms['shared'])}.")
    return by_mask("OCP", d.layers, scores > 0), scores + _fit(view, name), notes


def _verb_of(noun: str) -> set[str]:
    """Return what a noun in -ing may be made of: ticking is of tick, breathing of breathe, clapping of clap."""
    stem = noun.removesuffix("ing")
    return set() if stem == noun or len(stem) < 3 else {stem, stem + "e", stem[:-1] if stem[-1] == stem[-2] else stem}


def _adjective(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    known = sorted(said_words(view, "adjective"))
    if request.adjective not in known:
        raise one_of("adjective", request.adjective, known[:40])
    scores = word_counts(view, "adjective", {request.adjective})
    return by_mask("adjective", d.layers, scores > 0), scores, []


def adjectives(d: Dissection, seen: bool) -> list[str]:
    """Return adjectives that neurons can be chosen by: of the explanations on all clips (`seen`), or on those that are
    not tested."""
    return sorted(said_words(source(d, AblationRequest(choose_on="all" if seen else "others")), "adjective"))


def _criterion(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    scores = criterion_scores(view, request.criterion)
    chosen, total = most(d, scores, request.share, request.seed)
    wanted = round(request.share * total)
    notes = [f"Only {chosen.count} of {wanted} neurons have any."] if chosen.count < wanted else []
    return chosen, scores, notes


def _random(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    total = sum(layer.size for layer in hidden(d.layers))
    return at_random(d.layers, round(request.share * total), request.seed), _ties(d, request.seed), []


def _listed(d: Dissection, view: Dissection, request: AblationRequest) -> tuple[Selection, np.ndarray, list[str]]:
    neurons = neuron_ids(request.neurons)
    chosen = by_list(d.layers, neurons)
    scores = np.zeros(d.neuron_count)
    for rank, neuron in enumerate(neurons):
        scores[d.index(neuron)] = max(scores[d.index(neuron)], len(neurons) - rank)
    return chosen, scores, []


_SELECT = {
    "DB": _closed,
    "TAB": _closed,
    "OCP": _open,
    "adjective": _adjective,
    "criterion": _criterion,
    "random": _random,
    "list": _listed,
}


def most(d: Dissection, scores: np.ndarray, share: float, seed: int) -> tuple[Selection, int]:
    """Return the `share` of hidden neurons with the highest scores, ties broken by seed.

    Those that score nothing never count.
    """
    inside = np.concatenate([np.full(layer.size, layer.kind != "fc") for layer in d.layers])
    total = int(inside.sum())
    order = np.lexsort((_ties(d, seed), scores))[::-1]
    order = order[inside[order] & (scores[order] > 0)][: round(share * total)]
    chosen = np.zeros(d.neuron_count, bool)
    chosen[order] = True
    return by_mask("criterion", d.layers, chosen), total


def _ties(d: Dissection, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(d.neuron_count).astype(float)


def criterion_scores(view: Dissection, criterion: str) -> np.ndarray:
    """Return (neurons,) how much of a criterion each neuron's calibrated summary has (AND section 7)."""
    if criterion == "summary":
        return summary_tokens(view.calibrated_points, view.neuron_count)
    if criterion in ("basic", "high-level"):
        every = said_words(view, "adjective")
        return word_counts(view, "adjective", every & set(BASIC) if criterion == "basic" else every - set(BASIC))
    return word_counts(view, criterion, None)


@lru_cache(maxsize=16)
def _words(view: Dissection, pos: str) -> pa.Table:
    """Return rows (neuron, word, count) of one part of speech; of adjectives, those for sound."""
    table = view.word_table
    chosen = pc.equal(table["pos"], pos)
    if pos == "adjective":
        chosen = pc.and_(chosen, table["acoustic"])
    return table.filter(chosen).select(["neuron", "word", "count"])


def said_words(view: Dissection, pos: str) -> set[str]:
    """Return distinct words of one part of speech in the calibrated summaries."""
    return set(pc.unique(_words(view, pos)["word"]).to_pylist())


def word_counts(view: Dissection, pos: str, among: set[str] | None) -> np.ndarray:
    """Return (neurons,) how often words of one part of speech (those in `among`, or any) stand in the calibrated
    summary."""
    rows = _words(view, pos)
    if among is not None:
        rows = rows.filter(pc.is_in(rows["word"], value_set=pa.array(sorted(among), pa.string())))
    return np.bincount(rows["neuron"].to_numpy(), rows["count"].to_numpy(), view.neuron_count).astype(float)


def _fit(view: Dissection, concept: str) -> np.ndarray:
    """Return (neurons,) DB score of a concept, made so small that it only orders neurons which say it equally often.

    0 where it is not in the concept set.
    """
    similarity = SIMILARITY["DB"]
    names = [readable(name) for name in view.concept_set]
    if readable(concept) not in names or similarity not in view.notes("closed")["similarities"]:
        return np.zeros(view.neuron_count)
    best = view.best_concepts("DB", similarity)
    return SMALL * (
        1
        + np.where(
            best == names.index(readable(concept)), np.asarray(view.best_concept_scores("DB", similarity)), -1
        ).max(1)
    )
