"""Stage `explanations`: one row per neuron that says what it does, for headlines, tables, filters and search."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa

from and_core.evaluate.explanations import things
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.summaries import top_sets
from and_core.store.writer import StageWriter


def parameters(run: Run) -> dict[str, object]:
    """Return K, and the similarity function whose concept stands in the explanation."""
    return {"k": run.config.k, "similarity": run.config.closed.similarity}


def compute(run: Run, writer: StageWriter) -> None:
    """Join summary, concepts and classes; and one vector per neuron for search by meaning.

    Cost: R.
    """
    d = run.dissection
    count, k = d.neuron_count, run.config.k
    adjectives: dict[int, list[str]] = defaultdict(list)
    words = d.table("open/words")
    for neuron, word, pos, acoustic in zip(
        *(words[c].to_pylist() for c in ("neuron", "word", "pos", "acoustic")), strict=True
    ):
        if pos == "adjective" and acoustic:
            adjectives[neuron].append(word)
    values = {tuple(v): i for i, v in enumerate(d.document("texts/values"))}
    value_vectors = np.asarray(d.array("texts/value_embeddings"))
    concept_vectors, concepts = np.asarray(d.array("texts/concept_embeddings")), d.document("texts/concepts")
    vectors = np.array(d.array("calibration/vectors"), np.float32)
    texts: dict[int, list[str]] = defaultdict(list)
    tokens = np.zeros(count, np.int32)
    points = d.table("calibration/points")
    columns = (points[c].to_pylist() for c in ("neuron", "text", "attribute", "count", "of", "kept"))
    for neuron, text, attribute, n, of, kept in zip(*columns, strict=True):
        if not kept:
            continue
        texts[neuron].append(text if n is None else f"{n} of {of} clips: {text}")
        tokens[neuron] += len(text.split())
        vectors[neuron] += value_vectors[values[(attribute, text)]] if attribute else 0
    thing = things(points)
    names = d.notes("closed")["similarities"]
    similarity = run.config.closed.similarity if run.config.closed.similarity in names else next(iter(names), None)
    best = np.asarray(d.array(f"closed/{similarity}_concepts")[:, 0]) if similarity else np.full(count, -1)
    named = best >= 0
    vectors[named] += concept_vectors[best[named]]
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norm > 0, norm, 1)
    leading, most, of = _leading_class(top_sets(d, "high", k), d.label_mask)
    share = (most / np.maximum(of, 1)).astype(np.float32)
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    layers = [layer for layer in d.layers for _ in range(layer.size)]
    writer.provenance = run.captioner.provenance
    writer.table(
        "explanations",
        pa.table(
            {
                "neuron": pa.array(np.arange(count), pa.int32()),
                "layer": pa.array([layer.name for layer in layers]).dictionary_encode(),
                "unit": pa.array([i - layer.offset for i, layer in enumerate(layers)], pa.int32()),
                "summary": pa.array(["\n".join(texts.get(i, [])) for i in range(count)]),
                "thing": pa.array([thing.get(i) for i in range(count)], pa.string()),
                "adjectives": pa.array([", ".join(adjectives.get(i, [])) for i in range(count)]),
                "concept": pa.array([concepts[b] if b >= 0 else None for b in best], pa.string()),
                "leading_class": pa.array([d.classes[c] if c >= 0 else None for c in leading], pa.string()),
                "class_count": pa.array(most, pa.int32()),
                "of": pa.array(of, pa.int32()),
                "class_share": pa.array(share, pa.float32()),
                "tokens": pa.array(tokens),
                "dead": pa.array(dead),
            }
        ),
    )
    writer.array("vectors", vectors.astype(np.float16), ["neuron", "dimension"], "unit vector, 0 without explanation")
    alive = ~dead
    writer.notes = {
        "leading_class_in_most": round(float(np.mean(share[alive] >= 0.6)), 4) if alive.any() else 0.0,
        "with_adjective": round(len(adjectives) / max(1, int(alive.sum())), 4), "similarity": similarity,
    }  # fmt: skip
    run.progress("explanations", 1, 1)


def _leading_class(clips: np.ndarray, label_mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the most frequent class among each neuron's clips (lowest number at ties, -1 without labels), its count,
    and the number of clips."""
    of = (clips >= 0).sum(1)
    if not label_mask.shape[1]:
        return np.full(len(clips), -1), np.zeros(len(clips), int), of
    counts = np.zeros((len(clips), label_mask.shape[1]), int)
    for rank in range(clips.shape[1]):
        counts += label_mask[np.maximum(clips[:, rank], 0)] & (clips[:, rank] >= 0)[:, None]
    return np.where(counts.max(1) > 0, counts.argmax(1), -1), counts.max(1), of


STAGE = Stage(
    "explanations",
    "Writing explanations",
    ("clips", "neurons", "texts", "calibration", "closed", "open"),
    parameters,
    compute,
    optional=("labels",),
    reads="named",
)
