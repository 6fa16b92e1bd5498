"""Stage `scores`: every kind of explanation, made from one half of the clips and scored on the other,
both ways round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.config import ProbeConfig, ScoresConfig
from and_core.dissect.attributes import head, value_text
from and_core.dissect.probe import both, first_half
from and_core.evaluate import sanity
from and_core.evaluate.explanations import (
    CLOSED,
    METHODS,
    PREDICTORS,
    Explanations,
    adjective_shares,
    load_explanations,
)
from and_core.evaluate.metrics import HEADLINE, METRICS, unit_rows
from and_core.evaluate.sanity import CHANCE
from and_core.evaluate.score import BASELINES, MethodBlock, held_out, score_block
from and_core.labels.truth import class_truth
from and_core.names import numbers_by_name, plain_name
from and_core.pipeline import icl
from and_core.pipeline.ears import spoken_concepts
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.neurons import EXACT_CLIPS
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.views import make_view
from and_core.records import Layer
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

HALVES = ("first", "second")
BLOCK = 1024  # neurons a chunk
LEAST_CLIPS = 4  # in each half
MOST_CLIPS = 10_000  # of a half that are scored on; of more, so many are drawn


def section(run: Run) -> ScoresConfig:
    """Return the section of the configuration, which is there where the stage is wanted."""
    assert run.config.scores is not None
    return run.config.scores


def parameters(run: Run) -> dict[str, Any]:
    """Return draws and seed, and what the explanations of the halves are made by."""
    return {
        **section(run).model_dump(exclude={"ears", "judged", "judged_clips"}), "seed": run.config.seed,
        "similarity": run.config.closed.similarity, "k": run.config.k,
        "t": run.config.calibration.t, "one_per_source": run.config.neurons.one_per_source,
        "probe": run.config.probe.model_dump(mode="json", exclude_none=True),
    }  # fmt: skip


def held_clips(run: Run, half: str) -> np.ndarray:
    """Return captioned clips of the probing set that lie outside a half: what the half's explanations are scored on.

    Of more than :data:`MOST_CLIPS`, so many are drawn by the run's seed.
    """
    d, seed = run.dissection, run.config.seed
    of_half = first_half(d.clips, seed) == (half == "first")
    clips = np.flatnonzero(~of_half & d.captioned & run.explained_from)
    if len(clips) <= MOST_CLIPS:
        return clips
    return np.sort(np.random.default_rng([seed, HALVES.index(half)]).permutation(clips)[:MOST_CLIPS])


class Fold:
    """Explanations made from one half, and the clips of the other that they are scored on."""

    def __init__(self, run: Run, view: Dissection, half: str, encoders: dict[str, Any], methods: Sequence[str]) -> None:
        d, config = run.dissection, run.config
        clips = held_clips(run, half)
        self.view, self.held = view, held_out(clips, section(run).draws, config.seed + HALVES.index(half))
        concepts, spoken = d.document("texts/concepts"), spoken_concepts(run)
        self.explanations = {
            name: explanations
            for name in methods
            if (explanations := load_explanations(view, name, config.closed.similarity, spoken)) is not None
        }
        values = [tuple(v) for v in d.document("texts/values")]
        value_mask = np.asarray(d.array("texts/clip_values"))[clips].astype(np.float32)
        label_mask, number = d.label_mask[clips], numbers_by_name(d.classes)
        of_class = np.array([number.get(plain_name(c), -1) for c in concepts])
        present = presence(d, config.closed.softmax_scale)[clips].T
        self.predictors: dict[str, dict[str, Any]] = {}
        for name, explanations in self.explanations.items():
            predictors: dict[str, Any] = {
                "text": _similar(
                    explanations.vectors(encoders["text"]),
                    encoders["text"]([""])[0],
                    np.asarray(d.array("texts/caption_embeddings"))[clips],
                )
            }
            if "audio" in encoders:
                sounds = np.asarray(d.array("sounds/clip_embeddings"))[clips]
                predictors["audio"] = _similar(
                    explanations.vectors(encoders["audio"]), encoders["audio"]([""])[0], sounds
                )
            if name in CLOSED:
                predictors["presence"] = lambda rows, present=present: present[rows]
            if name in CLOSED and (of_class >= 0).any():
                predictors["label"] = _labelled(of_class, label_mask)
            if name == "OPEN":
                predictors["words"] = _worded(adjective_shares(explanations, values), value_mask)
            self.predictors[name] = predictors
        self.values, self.words = values, value_mask


def presence(d: Dissection, scale: float) -> np.ndarray:
    """Return (N, M) probability that a clip holds each concept: softmax over concepts of the similarity to its caption
    and, where it was heard, to its sound.

    Similarities to sound are stretched to vary as much over concepts as those to captions, so that both count alike.
    """
    by_caption = np.asarray(d.array("texts/caption_embeddings")) @ np.asarray(d.array("texts/concept_embeddings")).T
    if d.has("sounds"):
        heard = np.asarray(d.array("sounds/clip_embeddings")) @ np.asarray(d.array("sounds/concept_embeddings")).T
        by_caption = by_caption + heard * (by_caption.std(1).mean() / max(float(heard.std(1).mean()), 1e-9))
    power = np.exp(scale * (by_caption - by_caption.max(1, keepdims=True)))
    return (power / power.sum(1, keepdims=True)).astype(np.float32)


def _similar(vectors: np.ndarray, empty: np.ndarray, clips: np.ndarray) -> Any:
    table = np.concatenate([vectors, empty[None]]).astype(np.float32)
    turned = np.ascontiguousarray(clips.T, np.float32)
    return lambda rows: table[rows] @ turned


def _labelled(of_class: np.ndarray, label_mask: np.ndarray) -> Any:
    def predict(rows: np.ndarray) -> np.ndarray:
        chosen = of_class[rows]
        return np.where(chosen[:, None] >= 0, label_mask.T[chosen].astype(np.float32), np.nan)

    return predict


def _worded(shares: np.ndarray, value_mask: np.ndarray) -> Any:
    def predict(rows: np.ndarray) -> np.ndarray:
        chosen = shares[rows]
        return np.where(chosen.any(1)[:, None], chosen @ value_mask.T, np.nan).astype(np.float32)

    return predict


def folds(run: Run) -> list[Fold]:
    """Return both folds; their views are brought up to date first."""
    d, similarity = run.dissection, run.config.closed.similarity
    asked = (icl.STAGE,) if d.has("icl") else ()
    encoders: dict[str, Any] = {"text": _remembered(run.encoder.encode, _known(d))}
    if d.has("sounds") and run.audio_encoder is not None:
        encoders["audio"] = _remembered(run.audio_encoder.encode, {})
    return [
        Fold(
            run,
            make_view(f"{half}-half", run, both(run.config.probe, ProbeConfig(half=half)), (similarity,), asked),
            half,
            encoders,
            METHODS,
        )
        for half in ("first", "second")
    ]


def _known(d: Dissection) -> dict[str, np.ndarray]:
    """Return texts that the stage `texts` has encoded."""
    clauses = dict(zip(d.document("texts/clauses"), np.asarray(d.array("texts/clause_embeddings")), strict=True))
    values = {
        value_text(v): row
        for (_, v), row in zip(d.document("texts/values"), np.asarray(d.array("texts/value_embeddings")), strict=True)
    }
    return {**clauses, **values}


def _remembered(encode: Any, known: dict[str, np.ndarray]) -> Any:
    """Return an encoder that reads no text twice."""

    def reading(texts: list[str]) -> np.ndarray:
        new = sorted(set(texts) - known.keys())
        for start in range(0, len(new), 512):
            known.update(zip(new[start : start + 512], encode(new[start : start + 512]), strict=True))
        return (
            np.stack([known[text] for text in texts])
            if texts
            else np.zeros((0, len(next(iter(known.values()), np.zeros(1)))), np.float32)
        )

    return reading


def _class_neurons(d: Dissection) -> tuple[np.ndarray, np.ndarray] | None:
    """Return labels and activations of the classifier's neurons that have clips of their class."""
    if not any(layer.name == "fc" for layer in d.layers):
        return None
    truth = class_truth(d)
    counts = truth.sum(0)
    there = np.flatnonzero((counts >= 2) & (counts <= len(truth) // 2))
    if not len(there):
        return None
    return truth.T[there], np.asarray(d.layer_activations("fc"), np.float32).T[there]


def common(explanations: Explanations, layer: Layer) -> int:
    """Return the explanation that most neurons of a layer have, -1 where none has any."""
    which = explanations.which[layer.offset : layer.offset + layer.size]
    which = which[which >= 0]
    return int(np.bincount(which).argmax()) if len(which) else -1


def compute(run: Run, writer: StageWriter) -> None:
    """Compute scores of both folds in blocks of neurons, and their means.

    Cost: R N log N up to 10,000 clips a half; beyond, so many of them; R M; as the stages before `scores`, twice.
    """
    d, config = run.dissection, section(run)
    sizes = [len(held_clips(run, half)) for half in HALVES]
    writer.provenance = run.captioner.provenance
    if min(sizes) < LEAST_CLIPS:
        writer.json("methods", [])
        writer.notes = {
            "methods": [],
            "clips": sizes,
            "reason": f"a half holds fewer than {LEAST_CLIPS} captioned clips, too few to score on",
        }
        return
    both_folds = folds(run)
    methods = [name for name in METHODS if all(name in fold.explanations for fold in both_folds)]
    size = BLOCK if max(sizes) <= EXACT_CLIPS else max(1, BLOCK * EXACT_CLIPS // max(sizes))
    parts = [(layer, slice(i, min(i + size, layer.size))) for layer in d.layers for i in range(0, layer.size, size)]

    def chunk(i: int) -> dict[str, np.ndarray]:
        fold, (layer, units) = both_folds[i // len(parts)], parts[i % len(parts)]
        u = np.asarray(d.layer_activations(layer.name, units), np.float32)[fold.held.clips].T
        neurons = slice(layer.offset + units.start, layer.offset + units.stop)
        blocks = {
            name: MethodBlock(
                fold.explanations[name].which[neurons], common(fold.explanations[name], layer), fold.predictors[name]
            )
            for name in methods
        }
        block_scores = score_block(u, fold.held, blocks, run.config.seed + i, run.config.workers)
        return {**block_scores, "words": unit_rows(u) @ unit_rows(fold.words.T).T}

    keep = run.cached_llm is None  # explanations by a language model may be others when a stopped run goes on
    chunks = list(run.chunks(writer, 2 * len(parts), chunk, 2 * d.neuron_count, size, keep)) if methods else []
    writer.json("sanity", sanity.table(_class_neurons(d), len(d.clips), run.config.seed))
    if methods:
        _write(run, writer, methods, both_folds, chunks, len(parts))
    writer.json("methods", methods)
    writer.array("first_half", first_half(d.clips, run.config.seed), ["clip"], "whether it lies in the first half")
    lost = [
        record.notes["failed_reason"]
        for fold in both_folds
        for record in fold.view.manifest.stages.values()
        if record.notes.get("failed_answers")
    ]
    writer.notes = {
        "methods": methods,
        "similarity": run.config.closed.similarity,
        "draws": config.draws,
        "seed": run.config.seed,
        "clips": sizes,
        **({"clips_drawn_by": run.config.seed} if max(sizes) == MOST_CLIPS else {}),
        "views": {
            fold.view.name: {name: record.key for name, record in fold.view.manifest.stages.items()}
            for fold in both_folds
        },
        **unanswered([str(reason) for reason in lost]),
    }


def _write(
    run: Run, writer: StageWriter, methods: list[str], pair: list[Fold], chunks: list[dict[str, np.ndarray]], count: int
) -> None:
    d = run.dissection

    def fold_of(name: str, i: int, axis: int) -> np.ndarray:
        return np.concatenate([arrays[name] for arrays in chunks[i * count : (i + 1) * count]], axis)

    nothing = np.array([CHANCE[name] for name in METRICS], np.float32)
    values = _mean([fold_of("values", i, 3) for i in (0, 1)], nothing[:, None])
    baselines = _mean([fold_of("baselines", i, 3) for i in (0, 1)], nothing[:2, None])
    draws = _mean([fold_of("draws", i, 2) for i in (0, 1)], nothing[:2, None, None])
    every = {m: load_explanations(d, m, run.config.closed.similarity, spoken_concepts(run)) for m in methods}
    silent = np.stack([every[m].which < 0 if every[m] is not None else np.ones(d.neuron_count, bool) for m in methods])  # type: ignore[union-attr]
    silent |= d.table("neurons/statistics")["dead"].to_numpy()
    text = values[:, PREDICTORS.index("text")][:, [METRICS.index(name) for name in HEADLINE]]
    draws += (text - draws.mean(3))[
        ..., None
    ]  # samples repeat clips, which lifts AUPRC; an interval lies about its score
    low, high = np.percentile(draws, 2.5, axis=3), np.percentile(draws, 97.5, axis=3)
    for array in (values, baselines, low, high):
        array[np.broadcast_to(silent.reshape(len(methods), *([1] * (array.ndim - 2)), -1), array.shape)] = np.nan
    writer.array(
        "values",
        values.astype(np.float32),
        ["method", "predictor", "metric", "neuron"],
        "mean of both folds, chance where a half is silent; NaN where nothing is said",
    )
    writer.array(
        "baselines", baselines.astype(np.float32), ["method", "baseline", "metric", "neuron"], "by the text predictor"
    )
    writer.array("low", low.astype(np.float32), ["method", "metric", "neuron"], "2.5 % of bootstrap samples")
    writer.array("high", high.astype(np.float32), ["method", "metric", "neuron"], "97.5 % of bootstrap samples")
    for name in ("missed", "false"):
        both = np.concatenate([fold_of(name, i, 1) for i in (0, 1)], 2)
        writer.array(
            name, both.astype(np.int32), ["method", "neuron", "place"], "clip number, -1 for none; three of each half"
        )
    writer.table("layers", by_layer(d.layers, methods, values, baselines, draws))
    halves = np.zeros((len(methods), d.neuron_count), np.int8)
    for m, method in enumerate(methods):
        for fold in pair:
            which = fold.explanations[method].which
            halves[m] += (which == every[method].which) & (which >= 0) if method in CLOSED else which >= 0  # type: ignore[union-attr]
    writer.array(
        "halves",
        halves,
        ["method", "neuron"],
        "halves that name the concept that is shown; that say anything, for texts of several parts",
    )
    words = _words(d, pair, [fold_of("words", i, 0) for i in (0, 1)])
    writer.table("words", words, {"pearson": "correlation with captions that say it, on held-out clips"})


def _mean(pair: list[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    """Return the mean of both folds.

    A fold in which nothing is said counts as chance, NaN stands only where that is so in both.
    """
    neither = ~np.isfinite(pair[0]) & ~np.isfinite(pair[1])
    return np.where(neither, np.nan, sum(np.where(np.isfinite(one), one, nothing) for one in pair) / 2)


def by_layer(
    layers: Sequence[Layer], methods: list[str], values: np.ndarray, baselines: np.ndarray, draws: np.ndarray
) -> pa.Table:
    """Return one row a layer, method and headline metric: mean over explained neurons, 95 % bootstrap over clips, and
    the baselines' means."""
    rows = []
    text = PREDICTORS.index("text")
    for layer in layers:
        units = slice(layer.offset, layer.offset + layer.size)
        for m, method in enumerate(methods):
            explained = np.isfinite(values[m, text, 0, units])
            for h, metric in enumerate(HEADLINE):
                row: dict[str, Any] = {
                    "layer": layer.name,
                    "block": layer.block,
                    "kind": layer.kind,
                    "method": method,
                    "metric": metric,
                    "neurons": layer.size,
                }
                row["explained"] = int(explained.sum())
                if explained.any():
                    samples = draws[m, h, units][explained].mean(0)
                    row |= {
                        "score": values[m, text, METRICS.index(metric), units][explained].mean(),
                        "low": np.percentile(samples, 2.5),
                    }
                    row["high"] = np.percentile(samples, 97.5)
                    row |= {
                        name.replace(" ", "_"): _known_mean(baselines[m, b, h, units][explained])
                        for b, name in enumerate(BASELINES)
                    }
                rows.append(row)
    columns = ("score", "low", "high", *(name.replace(" ", "_") for name in BASELINES))
    types = [
        ("layer", pa.string()),
        ("block", pa.int32()),
        ("kind", pa.string()),
        ("method", pa.string()),
        ("metric", pa.string()),
    ]
    return pa.Table.from_pylist(
        rows,
        pa.schema(
            [*types, ("neurons", pa.int32()), ("explained", pa.int32()), *((name, pa.float64()) for name in columns)]
        ),
    )


def _known_mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _words(d: Dissection, pair: list[Fold], correlations: list[np.ndarray]) -> pa.Table:
    """Return each acoustic adjective of each neuron: how many of the two halves say it too, and how their other halves
    bear it out.

    An adjective that a half does not say counts as a correlation of 0 there; NaN where captions are not searched for
    the word.
    """
    place = {head(value): i for i, (_, value) in enumerate(pair[0].values)}
    words = d.table("open/words")
    words = words.filter(words["acoustic"])
    words_by_half: list[set[tuple[int, str]]] = []
    for fold in pair:
        table = fold.view.table("open/words")
        table = table.filter(table["acoustic"])
        words_by_half.append(set(zip(table["neuron"].to_pylist(), table["word"].to_pylist(), strict=True)))
    neurons, names = words["neuron"].to_pylist(), words["word"].to_pylist()
    halves = [sum((n, w) in one for one in words_by_half) for n, w in zip(neurons, names, strict=True)]
    rows = [
        float("nan")
        if w not in place
        else sum(float(c[n, place[w]]) for one, c in zip(words_by_half, correlations, strict=True) if (n, w) in one) / 2
        for n, w in zip(neurons, names, strict=True)
    ]
    correlation = np.array(rows, np.float32)
    column = pa.array(correlation, pa.float32())
    return pa.table(
        {
            "neuron": pa.array(neurons, pa.int32()),
            "word": pa.array(names, pa.string()),
            "halves": pa.array(halves, pa.int8()),
            "pearson": pc.if_else(pc.is_nan(column), None, column),
        }
    )


STAGE = Stage(
    "scores",
    "Scoring explanations on held-out clips",
    ("clips", "activations", "neurons", "captions", "texts", "calibration", "closed", "open"),
    parameters,
    compute,
    optional=("sounds", "tab", "icl", "class_map", "labels"),
    wanted=lambda run: run.config.scores is not None,
    views=tuple(f"{half}-half" for half in HALVES),
)
