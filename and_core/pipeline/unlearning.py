"""Stages `split` (what is tested, and explanations made without it),
`unlearning` (Table 4) and `importance` (Fig. 4)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.config import UnlearningConfig
from and_core.dissect.probe import both, probe_mask, without_tested
from and_core.dissect.words import content_lemmas
from and_core.errors import ConfigError
from and_core.labels.truth import class_truth
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.views import make_view
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter
from and_core.unlearn.average import averages
from and_core.unlearn.evaluator import Evaluator
from and_core.unlearn.importance import points
from and_core.unlearn.measure import accuracy, accuracy_by_class
from and_core.unlearn.request import PAPER_SHARE, SIMILARITY, AblationRequest
from and_core.unlearn.runs import AblationRun, measured, per_layer, plan_runs, read_split
from and_core.unlearn.selection import UNTESTED, concept_words, hidden, said_words

RELATED, RELATED_FLOOR = 6, 0.5  # concepts marked as related: at most so many, by cosine or by a word in common
SYNONYM_FLOOR = 0.4  # of cosine; what a request's `synonyms` asks for lies above


def _section(run: Run) -> UnlearningConfig:
    assert run.config.unlearning is not None
    return run.config.unlearning


def split_parameters(run: Run) -> dict[str, Any]:
    """Return what is tested, and how words are matched."""
    return {
        "test_folds": list(_section(run).test_folds),
        "seed": run.config.seed,
        "tagger": run.config.open.tagger,
        "encoder": run.encoder.fingerprint(),
    }


def split(run: Run, writer: StageWriter) -> None:
    """Compute explanations made without the tested clips (the view `untested`), the words of each concept, and logits
    of the whole network.

    Raises
    ------
    ConfigError
        The network has no classifier, or no clip is of one of its classes.

    Cost: as the stages from `neurons` to `open`, and a pass over the tested clips.
    """
    d = run.dissection
    classes = d.document("activations/classes")
    if not classes:
        raise ConfigError("unlearning needs a network with a classifier; leave the section out")
    if "fc" not in run.network.all_modules():
        raise ConfigError(
            "unlearning must know which layer is the classifier, to leave it whole; name it with target.classifier"
        )
    if not hidden(d.layers):
        raise ConfigError(
            "unlearning: target.layers leaves no hidden layer to ablate; there are: "
            f"{', '.join(run.network.all_modules())}"
        )
    truth = class_truth(d)
    probe = without_tested(d.clips, _section(run))
    held = ~probe_mask(d.clips, probe, run.config.seed)
    tested = np.flatnonzero(held & truth.any(1))
    if not len(tested):
        raise ConfigError(
            "unlearning: no tested clip is of a class that the network knows; its classes and the clips' labels must "
            "share names, or class_map must say which belong together (and-dissect classes CONFIG.yaml proposes one)"
        )
    view = make_view(UNTESTED, run, both(run.config.probe, probe), tuple(dict.fromkeys(SIMILARITY.values())))
    kept = probe_mask(d.clips, both(run.config.probe, probe), run.config.seed)
    evaluator = Evaluator(run.network, d, tested, run.config.activations.batch)
    logits = evaluator.logits([{}], progress=lambda done, total: run.progress("split", done, total))[0]
    writer.provenance = run.captioner.provenance
    writer.array("clips", tested.astype(np.int32), ["clip"], "clip index")
    tested_truth, one = truth[tested], truth[tested].sum(1).max() == 1
    labels = tested_truth.argmax(1).astype(np.int32) if one else tested_truth
    writer.array(
        "labels", labels, ["clip"] if one else ["clip", "class"], "class number of the network" if one else "whether"
    )
    writer.array("logits", logits, ["clip", "class"], "the target's own")
    writer.json("classes", classes)
    writer.json("words", _words(run, d, view))
    by_class = accuracy_by_class(logits, tested_truth, d.multi_label)
    writer.notes = {
        "tested_clips": len(tested),
        "tested_folds": list(probe.without_folds),
        "choosing_clips": int(kept.sum()),
        "accuracy": round(accuracy(logits, tested_truth, d.multi_label), 4),
        "classes_tested": int(np.isfinite(by_class).sum()),
        "explained_and_tested": int(run.explained_from[tested].sum()),
        "view": {name: record.key for name, record in view.manifest.stages.items()},
        **unanswered(
            [
                r.notes["failed_reason"]
                for r in view.manifest.stages.values()
                for _ in range(r.notes.get("failed_answers", 0))
            ]
        ),
    }


def _words(run: Run, d: Dissection, view: Dissection) -> dict[str, dict[str, Any]]:
    """Return concept -> words of its name, those that other concepts share, nouns of summaries that lie close to it,
    and related concepts."""
    concepts = d.document("texts/concepts")
    terms = concept_words(concepts, lambda texts: content_lemmas(texts, run.config.open.tagger))
    nouns = sorted(said_words(d, "noun") | said_words(view, "noun"))
    vectors, targets = (
        run.encoder.encode(nouns) if nouns else np.zeros((0, 1)),
        np.asarray(d.array("texts/concept_embeddings")),
    )
    entries = {}
    for i, concept in enumerate(concepts):
        close = vectors @ targets[i] if nouns else np.zeros(0)
        words, shared = terms[concept]
        order = [j for j in np.argsort(-close, kind="stable") if close[j] >= SYNONYM_FLOOR and nouns[j] not in words]
        near = targets @ targets[i]
        related = [
            concepts[j] for j in np.argsort(-near, kind="stable")
            if j != i and (near[j] >= RELATED_FLOOR or terms[concepts[j]][0] & words)
        ]  # fmt: skip
        entries[concept] = {
            "words": sorted(words),
            "shared": sorted(shared),
            "synonyms": [[nouns[j], round(float(close[j]), 4)] for j in order],
            "related": related[:RELATED],
        }
    return entries


def unlearning_parameters(run: Run) -> dict[str, Any]:
    """Return concepts, strategies and seeds."""
    return _section(run).model_dump(mode="json", include={"concepts", "strategies", "seeds", "fair"})


def unlearning(run: Run, writer: StageWriter) -> None:
    """Score every concept under every strategy, at its own number of neurons and at equal ones, with fair random
    controls: Table 4.

    Cost: M passes over the tested clips, for each strategy, control and seed.
    """
    d, config = run.dissection, _section(run)
    tested = read_split(d)
    concepts = [c for c in d.document("texts/concepts") if tested.numbers(c)]
    if config.concepts != "all" and config.concepts < len(concepts):
        concepts = [concepts[round(i)] for i in np.linspace(0, len(concepts) - 1, config.concepts)]
    if not concepts:
        raise ConfigError(
            "unlearning: none of the concepts is a class of the network with tested clips, so the change of its output "
            "is not defined"
        )
    evaluator = Evaluator(run.network, d, tested.clips, run.config.activations.batch)
    names = [layer.name for layer in d.layers]

    def chunk(i: int) -> dict[str, np.ndarray]:
        if i == 0:
            made = [
                AblationRun(request, plan_runs(d, "run", request, ())[0][0].selection) for request in _at_random(config)
            ]
            after = evaluator.logits([run.selection.masks for run in made])
            seen = [measured(made, tested, after, concept) for concept in concepts]
            return {
                "rows": _packed([row for chunk_rows, _ in seen for row in chunk_rows]),
                "by_class": np.concatenate([changes for _, changes in seen]),
                "per_layer": per_layer(made * len(concepts), names),
                "logits": np.zeros((0, *tested.before.shape), np.float32),
            }
        made, lines = plan_runs(
            d, "compare", AblationRequest(concept=concepts[i - 1]), config.seeds[: config.fair], config.strategies
        )
        if not made:
            raise ConfigError(f"unlearning.strategies: none can be used; {'; '.join(lines)}")
        after = evaluator.logits([run.selection.masks for run in made])
        rows, by_class = measured(made, tested, after)
        own = [j for j, run in enumerate(made) if run.number == "own" and not run.control]
        return {
            "rows": _packed(rows),
            "by_class": by_class,
            "per_layer": per_layer(made, names),
            "logits": after[own],
            "said": _packed(lines),
        }

    parts = list(run.chunks(writer, 1 + len(concepts), chunk))
    rows = [chunk_rows for part in parts for chunk_rows in json.loads(part["rows"].tobytes())]
    number = 0
    for chunk_rows in rows:
        kept = chunk_rows["number"] == "own" and not chunk_rows["control"] and chunk_rows["strategy"] != "random"
        chunk_rows["logits"] = number if kept else -1
        number += kept
    writer.provenance = run.captioner.provenance
    writer.table(
        "runs",
        pa.Table.from_pylist(rows),
        {"ablating": "the target's own", "remaining": "the target's own", "accuracy_after": "%"},
    )
    writer.array("per_layer", np.concatenate([part["per_layer"] for part in parts]), ["run", "layer"], "neurons")
    changes = np.concatenate([part["by_class"] for part in parts])
    writer.array(
        "by_class", changes, ["run", "logits, probabilities", "class"], "change of its own output on its own clips"
    )
    writer.array(
        "logits", np.concatenate([part["logits"] for part in parts]), ["run", "clip", "class"], "the target's own"
    )
    remarks = {concept: json.loads(part["said"].tobytes()) for concept, part in zip(concepts, parts[1:], strict=True)}
    writer.json("notes", remarks)
    writer.json("averages", averages(rows, run.config.seed))
    every = sum(bool(tested.numbers(c)) for c in d.document("texts/concepts"))
    writer.notes = {
        "concepts": len(concepts),
        "of": every,
        "random_share": PAPER_SHARE,
        "fair": config.fair,
        "seeds": list(config.seeds),
    }
    every_strategy = {row["strategy"] for row in rows}
    missing = {strategy for strategy in config.strategies if strategy not in every_strategy}
    if missing:
        writer.notes["not_run"] = {
            name: next((n for lines in remarks.values() for n in lines if n.startswith(f"{name}:")), "")
            for name in sorted(missing)
        }


def _at_random(config: UnlearningConfig) -> list[AblationRequest]:
    return [AblationRequest(strategy="random", seed=seed) for seed in config.seeds]


def _packed(rows: list[Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(rows).encode(), np.uint8)


def importance_parameters(run: Run) -> dict[str, Any]:
    """Return shares and seeds."""
    return _section(run).model_dump(mode="json", include={"shares", "seeds", "fair"})


def importance(run: Run, writer: StageWriter) -> None:
    """Compute accuracy against the share of neurons ablated, by criterion and seed: Fig. 4.

    Cost: a pass over the tested clips for each criterion, share and seed.
    """
    d, config = run.dissection, _section(run)
    tested, view = read_split(d), d.view(UNTESTED)
    evaluator = Evaluator(run.network, d, tested.clips, run.config.activations.batch)
    total = sum(layer.size for layer in d.layers if layer.kind != "fc")

    def chunk(i: int) -> dict[str, np.ndarray]:
        made = points(d, view, config.shares[i], config.seeds, config.fair)
        after = evaluator.logits([point.selection.masks for point in made])
        rows = [
            {
                "figure": p.figure,
                "criterion": p.criterion,
                "share": p.share,
                "seed": p.seed,
                "control": p.control,
                "count": p.selection.count,
                "ablated": p.selection.count / total,
                "accuracy": accuracy(logits, tested.truth, tested.multi_label),
            }
            for p, logits in zip(made, after, strict=True)
        ]
        return {"rows": _packed(rows)}

    parts = list(run.chunks(writer, len(config.shares), chunk))
    rows = [row for part in parts for row in json.loads(part["rows"].tobytes())]
    writer.provenance = run.captioner.provenance
    writer.table("curves", pa.Table.from_pylist(rows), {"accuracy": "%"})
    writer.notes = {
        "accuracy": accuracy(tested.before, tested.truth, tested.multi_label),
        "neurons": total,
        "seeds": list(config.seeds),
        "fair": config.fair,
    }


def _wanted(run: Run) -> bool:
    return run.config.unlearning is not None


def _more_concepts(done: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Return a table over more concepts, with more controls, holds one over fewer."""
    enough = done["concepts"] == "all" or (asked["concepts"] != "all" and done["concepts"] == asked["concepts"])
    return (
        enough
        and done["fair"] >= asked["fair"]
        and done["seeds"] == asked["seeds"]
        and done["strategies"] == asked["strategies"]
    )


def _more_shares(done: dict[str, Any], asked: dict[str, Any]) -> bool:
    return (
        set(done["shares"]) >= set(asked["shares"])
        and done["fair"] >= asked["fair"]
        and done["seeds"] == asked["seeds"]
    )


READ = ("clips", "activations", "neurons", "captions", "texts", "summaries", "calibration", "closed", "open")
SPLIT = Stage(
    "split",
    "Explaining without the tested split",
    READ,
    split_parameters,
    split,
    optional=("sounds", "tab", "class_map", "labels"),
    wanted=_wanted,
    optional_result=True,
    views=(UNTESTED,),
)
UNLEARNING = Stage(
    "unlearning",
    "Unlearning concepts",
    ("split",),
    unlearning_parameters,
    unlearning,
    wanted=_wanted,
    covers=_more_concepts,
    optional_result=True,
)
IMPORTANCE = Stage(
    "importance",
    "Ablating by kinds of words",
    ("split",),
    importance_parameters,
    importance,
    wanted=lambda run: run.config.unlearning is not None and run.config.unlearning.importance,
    covers=_more_shares,
    optional_result=True,
)
