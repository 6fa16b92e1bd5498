"""Stage `confidence`: how probably each explanation holds, calibrated on the data, the ears and the network at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from and_core.dissect.probe import first_half
from and_core.dissect.words import content_lemmas
from and_core.evaluate import confidence, readouts
from and_core.evaluate.ears import best_concepts, drawn_truths, fit_hearing, log_odds
from and_core.evaluate.explanations import CLOSED, load_explanations, things
from and_core.evaluate.intruder import both_ways, selectivity
from and_core.evaluate.reliability import LEAST_LABELS, MOST_STEADY, STEADY, fingerprint, truth_of_concepts
from and_core.evaluate.verdict import (
    DRAWS,
    FEATURES,
    HeldHalf,
    Named,
    check_judge,
    evidence,
    named_by_presence,
    pair_of_halves,
)
from and_core.pipeline import intruder, scores
from and_core.pipeline.ears import MeasuredEars, concept_scores, homes, measured_ears, spoken_concepts
from and_core.pipeline.neurons import blocks, source_numbers
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.word_confidence import add_words
from and_core.store.score_results import HOME
from and_core.store.writer import StageWriter
from and_core.unlearn.selection import concept_words

PRESENCE = "PC"  # the method that names a concept by its presence
LEAST_CLIPS = 8  # of a label, for it to be evidence
REAL = ("distance", "pearson")  # features by which a unit that means something is told from noise
BY_SOUND = ("apart", "neighbours")  # what sound alone says, see and_core.evaluate.intruder.selectivity


@dataclass(frozen=True)
class Hearsay:
    """What is taken for true of the clips, and by whom.

    Attributes
    ----------
    odds : (N, M) float32
        Log odds of each concept, by the ears.
    truth : (N, M) bool or None
        By the labels.
    ears : MeasuredEars or None
        Where there are no labels.
    clips : (n,) int
        Clips that may be looked at.
    halves : pair of HeldHalf
    first : (N,) bool
        Clips of the first half.
    by_sound : bool
        Whether neurons were tested by sound alone (stage `intruder`).
    """

    odds: np.ndarray
    truth: np.ndarray | None
    ears: MeasuredEars | None
    clips: np.ndarray
    halves: tuple[HeldHalf, HeldHalf]
    first: np.ndarray
    by_sound: bool

    @property
    def used(self) -> tuple[str, ...]:
        """Features that the calibrator of planted units takes."""
        return (*(FEATURES if self.ears is None else REAL), *(BY_SOUND if self.by_sound else ()))

    @property
    def by(self) -> str:
        """``labels``, or ``ears``."""
        return "ears" if self.truth is None else "labels"


def parameters(run: Run) -> dict[str, Any]:
    """Return seed, draws, what concepts are read by, and where the ears were measured."""
    return {
        "seed": run.config.seed, "draws": DRAWS, "features": list(FEATURES), "steady": [STEADY, MOST_STEADY],
        "similarity": run.config.closed.similarity, "template": run.config.closed.template,
        "tagger": run.config.open.tagger,
        "probe": run.config.probe.model_dump(mode="json", exclude_none=True),
        "ears": {name: fingerprint(home) for name, home in homes(run).items()},
    }  # fmt: skip


def hearsay(run: Run) -> Hearsay | str:
    """Return what is taken for true of the clips, or why nothing can be; a run finds out once."""
    return run.once("hearsay", lambda: _hearsay(run))


def _hearsay(run: Run) -> Hearsay | str:
    d, seed = run.dissection, run.config.seed
    clips, first = np.flatnonzero(d.captioned & run.explained_from), first_half(d.clips, seed)
    truth = truth_of_concepts(d.classes, d.label_mask, d.concept_set) if d.classes else None
    if truth is not None and (truth[clips].sum(0) >= LEAST_CLIPS).sum() < LEAST_LABELS:
        truth = None
    ears = None if truth is not None else measured_ears(run)
    if truth is None and ears is None:
        return (
            f"fewer than {LEAST_LABELS} concepts are labels of {LEAST_CLIPS} clips or more, and these ears were not "
            "measured on a labelled collection; measure them: and-dissect ears CONFIG.yaml"
        )
    if min(int(first[clips].sum()), int((~first[clips]).sum())) < 2 * LEAST_CLIPS:
        return f"{len(clips)} clips are too few to calibrate on"
    odds = np.zeros((len(d.clips), len(d.concept_set)), np.float32)
    if ears is not None:
        odds[clips] = log_odds(concept_scores(d, ears.name)[clips], ears.measured.hearing)
    else:
        assert truth is not None
        pairs = ["captions", *(["sounds"] if d.has("sounds") else [])]
        for name in pairs:
            near = concept_scores(d, name)[clips]
            odds[clips] += log_odds(near, fit_hearing(near, truth[clips])) / len(pairs)
    sources, bias = source_numbers(d), 0.0 if ears is None else ears.measured.hearing.bias
    parts = (clips[first[clips]], clips[~first[clips]])
    draws = [
        drawn_truths(odds[part], None if truth is None else truth[part], bias, sources[part], DRAWS, seed + i)
        for i, part in enumerate(parts)
    ]
    judge = "labels" if truth is not None else ears.name if ears is not None else ""
    for part, other in (parts, parts[::-1]):
        check_judge(ears.name if ears is not None else "ears", part, judge, other)
    by_sound = d.has("intruder") and bool(d.intruder)
    return Hearsay(odds, truth, ears, clips, pair_of_halves(clips, first, odds, draws), first, by_sound)


def compute(run: Run, writer: StageWriter) -> None:
    """Compute how probably each method's concept is what a neuron fires on best, and each adjective holds.

    Cost: R N log N, and R N M with 30 draws.
    """
    d, seed = run.dissection, run.config.seed
    writer.provenance = run.captioner.provenance
    curves: dict[str, Any] = {}
    basis = hearsay(run) if d.scored_methods else "nothing could be scored"
    notes: dict[str, Any] = {"by": "nothing", "seed": seed}
    parts = blocks(d)
    if isinstance(basis, str):
        notes["reason"] = basis
        methods: list[str] = []
    else:
        named = named_by_methods(run)
        methods = [*named, PRESENCE]
        calibrator, checked = calibrated_here(run, basis)
        curves["concepts"] = confidence.reliability(*checked)
        notes |= {
            "by": basis.by, "planted": len(checked[0]), "error": round(confidence.expected_error(*checked), 4),
            "calibrator": calibrator.as_dict(),
        }  # fmt: skip
        if basis.ears is not None:
            at_home = basis.ears.measured
            notes |= {"ears": basis.ears.name, "measured_on": basis.ears.home.about.get("home")}
            notes |= {"ears_right": round(at_home.right, 4), "ears_error": round(at_home.error, 4)}
            writer.json("ears", at_home.rows)

    def chunk(i: int) -> dict[str, np.ndarray]:
        name, units = parts[i]
        u = np.asarray(d.layer_activations(name, units), np.float32).T
        if isinstance(basis, str):
            return {"shown": np.full(len(u), -1, np.int32), "p": np.zeros((0, len(u)), np.float32)}
        start = d.layer(name).offset + units.start
        own = {
            m: Named(*(part[start : start + len(u)] for part in (n.shown, n.first, n.second))) for m, n in named.items()
        }
        own[PRESENCE] = named_by_presence(u, basis.halves)
        features = evidence(u, basis.halves, own)
        if basis.by_sound:
            alone = selectivity({name: values[start : start + len(u)] for name, values in d.intruder.items()})
            features = {m: {**of_method, **alone} for m, of_method in features.items()}
        p = [_probability(basis, calibrator, features[m], own[m].shown) for m in methods]
        return {"shown": own[PRESENCE].shown.astype(np.int32), "p": np.stack(p).astype(np.float32)}

    chunks = list(run.chunks(writer, len(parts), chunk))
    probability = np.concatenate([one["p"] for one in chunks], 1)
    shown = np.concatenate([one["shown"] for one in chunks])
    dead = d.table("neurons/statistics")["dead"].to_numpy(zero_copy_only=False)
    probability[:, dead], shown[dead] = np.nan, -1
    writer.json("methods", methods)
    writer.array("probability", probability, ["method", "neuron"], "that it holds; NaN where it can't be told")
    writer.array("presence_concepts", shown, ["neuron"], "concept number, -1 for none")
    curves |= add_words(run, writer)
    writer.json("reliability", curves)
    keys = {name: d.manifest.stages[name].key for name in HOME if name in d.manifest.stages}
    writer.notes = {**notes, "home": keys}


def _probability(
    basis: Hearsay, calibrator: confidence.Calibrator, features: dict[str, np.ndarray], shown: np.ndarray
) -> np.ndarray:
    if basis.ears is not None:
        own = calibrator({name: features[name] for name in basis.used})
        return own * basis.ears.measured.probability(features, shown)
    assert basis.truth is not None
    unknown = ~np.asarray(basis.truth.any(0))[np.maximum(shown, 0)]
    return np.where(unknown, np.nan, calibrator({name: features[name] for name in basis.used}))


def calibrated_here(run: Run, basis: Hearsay) -> tuple[confidence.Calibrator, tuple[np.ndarray, np.ndarray]]:
    """Fit the calibrator on units planted in this network: read-outs of stored activations.

    With labels it says whether the named concept is the unit's best by them; without, whether a unit means anything, by
    what the ears hear (how often they are right is known from their home).

    Returns
    -------
    calibrator : Calibrator
    checked : pair of (U,) array
        Probabilities by calibrators that were fitted on other concepts, and whether each holds.
    """
    d, rows = run.dissection, []
    clips, here = basis.clips, np.isin(np.arange(len(d.clips)), basis.clips)
    truth = basis.truth if basis.truth is not None else basis.odds.argmax(1)[:, None] == np.arange(basis.odds.shape[1])
    sounds = intruder.vectors(d, clips)[0] if basis.by_sound else None
    for number, layer in enumerate(readouts.read_layers(d.layers)):
        x = np.asarray(d.layer_activations(layer.name), np.float32)[clips]
        units, concept = readouts.planted(x, truth[clips], basis.first[clips], run.config.seed + number)
        u = np.zeros((units.shape[1], len(here)), np.float32)
        u[:, clips] = units.T
        named = named_by_presence(u, basis.halves)
        features = evidence(u, basis.halves, {"": named})[""]
        if sounds is not None:
            features |= selectivity(both_ways(u[:, clips], sounds, basis.first[clips]))
        best, area = best_concepts(np.ascontiguousarray(units.T), truth[clips])
        holds = np.asarray((concept >= 0) & (area >= confidence.BORNE_OUT))
        if basis.truth is not None:
            holds &= best == named.shown
        part = np.asarray(np.where(concept >= 0, concept, np.arange(len(concept))) % 2 == 0)
        rows.append(({name: features[name] for name in basis.used}, holds, part))
    features = {name: np.concatenate([row[0][name] for row in rows]) for name in basis.used}
    holds, part = (np.concatenate([row[i] for row in rows]) for i in (1, 2))
    return confidence.fit(features, holds), (confidence.cross_checked(features, holds, part), holds)


def named_by_methods(run: Run) -> dict[str, Named]:
    """Return the concept that each scored method says of each neuron, from all clips and from each half."""
    d, similarity = run.dissection, run.config.closed.similarity
    views, spoken = [d.view(name) for name in scores.STAGE.views], spoken_concepts(run)
    named = {}
    for method in d.scored_methods:
        if method in CLOSED:
            which = [load_explanations(part, method, similarity, spoken) for part in (d, *views)]
            if all(one is not None for one in which):
                named[method] = Named(*(one.which for one in which if one is not None))
        elif method == "SUM":
            named[method] = Named(*concepts_of_things(run, [things(part.calibrated_points) for part in (d, *views)]))
        else:
            named[method] = Named(*(np.full(d.neuron_count, -1),) * 3)
    return named


def concepts_of_things(run: Run, things_by_part: list[dict[int, str]]) -> list[np.ndarray]:
    """Return the number of the concept that each neuron's summary names by a word of its name, -1 where none."""
    d, tagger = run.dissection, run.config.open.tagger
    terms = concept_words(d.concept_set, lambda texts: content_lemmas(texts, tagger))
    texts = sorted({text for part in things_by_part for text in part.values()})
    lemmas = dict(zip(texts, map(set, content_lemmas(texts, tagger)), strict=True))
    of_text = {}
    for text in texts:
        hits = [len(set(terms[concept][0]) & lemmas[text]) for concept in d.concept_set]
        of_text[text] = int(np.argmax(hits)) if max(hits, default=0) else -1
    numbers = [np.full(d.neuron_count, -1) for _ in things_by_part]
    for column, part in zip(numbers, things_by_part, strict=True):
        for neuron, text in part.items():
            column[neuron] = of_text[text]
    return numbers


STAGE = Stage(
    "confidence",
    "Calibrating confidence",
    ("clips", "activations", "neurons", "captions", "texts", "calibration", "closed", "open", "scores"),
    parameters,
    compute,
    optional=("sounds", "tab", "icl", "intruder"),
    wanted=lambda run: run.config.scores is not None,
)
