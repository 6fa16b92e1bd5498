"""Stage `icl`: module A by language model, two questions a neuron (the best concept, the five best)."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.dissect.icl import match_concepts, read_answer
from and_core.dissect.prompts import fill
from and_core.llms.base import Question
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.stage import Run, Stage
from and_core.records import Layer
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

QUESTIONS = {"top1": 1, "top5": 5}
NO_SUMMARY = "calibration left no point to show"
NAMED_NOTHING = "the answer names nothing"


def parameters(run: Run) -> dict[str, Any]:
    """Return the language model, the questions and the section."""
    assert run.cached_llm is not None
    prompts = {name: run.prompts[f"icl_{name}"] for name in QUESTIONS}
    return {"llm": run.cached_llm.model.fingerprint(), "prompts": prompts, **run.config.icl.model_dump(mode="json")}


def chosen_layers(run: Run) -> list[Layer]:
    """Return layers whose neurons are asked about."""
    return [layer for layer in run.dissection.layers if any(fnmatchcase(layer.name, p) for p in run.config.icl.layers)]


def summaries_of(d: Dissection, layer: Layer) -> dict[int, str]:
    """Return neuron -> its calibrated summary as one text; a neuron without any point is not in it."""
    rows = d.table("calibration/points")
    inside = pc.and_(pc.greater_equal(rows["neuron"], layer.offset), pc.less(rows["neuron"], layer.offset + layer.size))
    rows = rows.filter(pc.and_(inside, rows["kept"]))
    points: dict[int, list[str]] = {}
    for neuron, text, attribute in zip(
        rows["neuron"].to_pylist(), rows["text"].to_pylist(), rows["attribute"].to_pylist(), strict=True
    ):
        points.setdefault(neuron, []).append(f"The sound is {text}." if attribute else text)
    return {neuron: " ".join(parts) for neuron, parts in points.items()}


def compute(run: Run, writer: StageWriter) -> None:
    """Ask, match the answers to the concept set, and keep what was said beside what it was taken for.

    Cost: two questions for each of R, whose length is M.
    """
    d, config, cached_llm = run.dissection, run.config.icl, run.cached_llm
    assert cached_llm is not None
    concepts, vectors = d.document("texts/concepts"), np.asarray(d.array("texts/concept_embeddings"))
    listed = ", ".join(concepts)
    layers = chosen_layers(run)
    summaries = {layer.name: summaries_of(d, layer) for layer in layers}
    embedded: dict[str, np.ndarray] = {}

    def embed(texts: list[str]) -> np.ndarray:
        new = [t for t in texts if t not in embedded]
        if new:
            embedded.update(
                zip(new, run.encoder.encode([run.config.closed.template.replace("{}", t) for t in new]), strict=True)
            )
        return np.stack([embedded[t] for t in texts])

    def request(question: str, summary: str) -> Question:
        return Question(
            fill(run.prompts[f"icl_{question}"], concepts=listed, summary=summary),
            0,
            config.temperature,
            config.max_tokens,
        )

    def every() -> Iterator[Question]:
        for layer in layers:
            for summary in summaries[layer.name].values():
                yield from (request(question, summary) for question in QUESTIONS)

    total = len(QUESTIONS) * sum(map(len, summaries.values()))
    cached_llm.fetch("icl", every(), total)
    best = {q: np.full((d.neuron_count, n), -1, np.int32) for q, n in QUESTIONS.items()}
    rows: list[tuple[int, str, int, str, int, str, float]] = []
    failed: list[tuple[int, str, str]] = []
    for layer in layers:
        summaries_of_layer = summaries[layer.name]
        for neuron in range(layer.offset, layer.offset + layer.size):
            if neuron not in summaries_of_layer:
                failed += [(neuron, question, NO_SUMMARY) for question in QUESTIONS]
                continue
            for question, reply in zip(
                QUESTIONS, cached_llm([request(q, summaries_of_layer[neuron]) for q in QUESTIONS]), strict=True
            ):
                if reply.text is None:
                    failed.append((neuron, question, reply.error or "no answer"))
                    continue
                said_names = read_answer(reply.text, QUESTIONS[question], reply.cut)
                if not said_names:
                    failed.append((neuron, question, NAMED_NOTHING))
                    continue
                choices = match_concepts(said_names, concepts, embed, vectors, config.least)
                rows += [
                    (neuron, question, rank, c.said, c.concept, c.how, c.similarity)
                    for rank, c in enumerate(choices, 1)
                ]
                named = [c.concept for c in choices if c.concept >= 0][: QUESTIONS[question]]
                best[question][neuron, : len(named)] = named
    for question, array in best.items():
        writer.array(question, array, ["neuron", "rank"], "concept number, -1 for none")
    kinds = (pa.int32(), pa.string(), pa.int32(), pa.string(), pa.int32(), pa.string(), pa.float32())
    names = ("neuron", "question", "rank", "said", "concept", "how", "similarity")
    writer.table(
        "answers",
        pa.table({n: pa.array([r[i] for r in rows], t) for i, (n, t) in enumerate(zip(names, kinds, strict=True))}),
    )
    writer.table(
        "unanswered",
        pa.table(
            {
                "neuron": pa.array([f[0] for f in failed], pa.int32()),
                "question": pa.array([f[1] for f in failed], pa.string()),
                "reason": pa.array([f[2] for f in failed], pa.string()),
            }
        ),
    )
    lost = [reason for _, _, reason in failed if reason not in (NO_SUMMARY, NAMED_NOTHING)]
    writer.notes = {
        "llm": cached_llm.model.describe(),
        "layers": [layer.name for layer in layers],
        "asked": total,
        **{
            name: sum(r[5] == how for r in rows)
            for name, how in (("exact", "exact"), ("nearest", "nearest"), ("outside", "none"))
        },
        "without_summary": sum(reason == NO_SUMMARY for _, _, reason in failed) // 2,
        "named_nothing": sum(r == NAMED_NOTHING for _, _, r in failed),
        **unanswered(lost),
    }
    run.progress("icl", 1, 1)


STAGE = Stage(
    "icl",
    "Asking for closed concepts",
    ("activations", "texts", "calibration"),
    parameters,
    compute,
    wanted=lambda run: run.config.llm is not None,
    reads="named",
)
