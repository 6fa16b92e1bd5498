"""Stage `compositions`: what a neuron means beyond one concept, chosen on one half of the recordings and judged on the
other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.dissect.probe import first_half
from and_core.evaluate.compositions import FORMS, THRESHOLDS, Predicates, compose, expected_levels
from and_core.evaluate.ears import softmax
from and_core.evaluate.planted_units import measured_words
from and_core.labels.hierarchy import descendants, parents
from and_core.names import plain_name
from and_core.pipeline.confidence import Hearsay, hearsay
from and_core.pipeline.neurons import blocks
from and_core.pipeline.stage import Run, Stage
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 1024  # neurons a chunk
PRESENT = 0.5  # presence by the ears from which a clip has a concept
UNITS = {
    "share": "of the high clips with either sense, those with the second",
    "score": "held-out AUROC",
    "alone": "held-out AUROC of the best single concept",
}


def parameters(run: Run) -> dict[str, Any]:
    """Return the seed of the halves, and what makes a composition."""
    return {"seed": run.config.seed, "present": PRESENT, **THRESHOLDS}


def predicates_of(d: Dissection, basis: Hearsay | str) -> Predicates:
    """Return what can be true of the clips: concepts, by labels or by ears of known reliability, none where neither is
    there; adjectives that measures bear out; categories of the hierarchy with two such concepts or more."""
    words = measured_words(d.clip_table.to_pylist())
    adjectives = sorted(frozenset().union(*words)) if words else []
    concepts: list[str] = [] if isinstance(basis, str) else list(d.concept_set)
    holds = np.zeros((len(d.clips), 0), bool)
    if not isinstance(basis, str):
        holds = softmax(basis.odds) >= PRESENT if basis.truth is None else np.asarray(basis.truth)
        holds = holds & np.isin(np.arange(len(holds)), basis.clips)[:, None]
    worded = np.array([[word in own for word in adjectives] for own in words]).reshape(len(d.clips), len(adjectives))
    place = {plain_name(name): m for m, name in enumerate(concepts) if holds[:, m].any()}
    members = {
        head: below
        for head in sorted({parent for name in concepts for parent in parents(name)})
        if plain_name(head) not in place
        and len(below := [place[plain_name(n)] for n in descendants(head) if plain_name(n) in place]) > 1
    }
    whole = np.zeros((len(d.clips), len(members)), bool)
    for column, below in enumerate(members.values()):
        whole[:, column] = holds[:, below].any(1)
    kinds = ["concept"] * len(concepts) + ["adjective"] * len(adjectives) + ["category"] * len(members)
    names = [*concepts, *adjectives, *members]
    return Predicates(names, np.array(kinds), np.concatenate([holds, worded, whole], 1))


def compute(run: Run, writer: StageWriter) -> None:
    """Compute what is made of every neuron, in blocks of the neurons of a layer.

    Cost: R N log N, R N M, and a layer's read-outs: N times the square of its width.
    """
    d = run.dissection
    basis = hearsay(run) if d.scored_methods else "nothing could be scored"
    predicates = predicates_of(d, basis)
    clips = np.flatnonzero(run.explained_from)
    if not isinstance(basis, str):
        clips = basis.clips
    first = first_half(d.clips, run.config.seed)[clips]
    used = Predicates(predicates.names, predicates.kinds, predicates.holds[clips])
    concepts = used.holds[:, used.of_kind("concept")]
    parts = blocks(d, BLOCK)
    levels: dict[str, np.ndarray] = {}

    def expected(layer: str) -> np.ndarray:
        if layer not in levels:
            levels.clear()  # one layer at a time
            levels[layer] = expected_levels(np.asarray(d.layer_activations(layer), np.float32)[clips], concepts, first)
        return levels[layer]

    def chunk(i: int) -> dict[str, np.ndarray]:
        name, units = parts[i]
        u = np.ascontiguousarray(np.asarray(d.layer_activations(name, units), np.float32)[clips].T)
        return vars(compose(u, used, first, expected(name)))

    chunks = list(run.chunks(writer, len(parts), chunk, d.neuron_count, BLOCK))
    made = {name: np.concatenate([one[name] for one in chunks]) for name in chunks[0]}
    dead = d.table("neurons/statistics")["dead"].to_numpy(zero_copy_only=False)
    form = np.where(dead, 0, made["form"])
    names = [*predicates.names, None]
    columns: dict[str, Any] = {
        "neuron": np.arange(d.neuron_count, dtype=np.int32),
        "form": pa.array([FORMS[f] or None for f in form.tolist()], pa.string()),
    }
    for end in ("first", "second"):
        numbers = np.where(form > 0, made[end], -1).tolist()
        columns[end] = pa.array([names[n] for n in numbers], pa.string())
    columns |= {
        name: pa.array(np.where(dead, np.nan, made[name]).astype(np.float32), from_pandas=True) for name in UNITS
    }
    writer.table("neurons", pa.table(columns), UNITS)
    writer.array("holds", predicates.holds.astype(np.uint8), ["clip", "predicate"], "1 where it is true of the clip")
    writer.json(
        "predicates", [{"name": n, "kind": k} for n, k in zip(predicates.names, predicates.kinds.tolist(), strict=True)]
    )
    counts = Counter(FORMS[f] for f in form.tolist() if f)
    writer.notes = {
        "forms": dict(sorted(counts.items())), "neurons": int((~dead).sum()), "seed": run.config.seed,
        "concepts_by": basis.by if isinstance(basis, Hearsay) else "nothing",
    }  # fmt: skip


STAGE = Stage(
    "compositions",
    "Looking for several meanings",
    ("clips", "activations", "neurons", "texts", "scores", "confidence"),
    parameters,
    compute,
    optional=("sounds",),
    wanted=lambda run: run.config.scores is not None,
)
