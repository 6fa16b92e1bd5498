"""Stages of what the network as a whole does: `word_counts`, `clusters`, `interpretability`, `acoustics`."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.analyze.acoustics import disagreements, every_test, means_of_clips
from and_core.analyze.clusters import bend, cloud, elbow, fit, related, sentences_of
from and_core.analyze.interpretability import TAUS, by_chance, most_shared, uninterpretable
from and_core.analyze.map import components, gram, layout, leading_axes
from and_core.analyze.words import KINDS, by_block, by_layer, counts_per_neuron, distribution, summary_tokens
from and_core.audio.measures import MEASURES
from and_core.pipeline.neurons import EXACT_CLIPS, blocks, source_numbers
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.summaries import top_sets
from and_core.store.writer import StageWriter

ENCODE_CHUNK = 512
DEPTH = (5, 4)  # K and tau of the trend with depth
LEAST_NEURONS = 10  # with an adjective, for it to be tested against measures
INTERPRETABILITY_ROWS = pa.schema(
    [
        ("k", pa.int64()),
        ("tau", pa.int64()),
        ("layer", pa.string()),
        ("block", pa.int64()),
        ("kind", pa.string()),
        ("neurons", pa.int64()),
        ("uninterpretable", pa.int64()),
        ("percent", pa.float64()),
    ]
)


def word_counts(run: Run, writer: StageWriter) -> None:
    """Compute words by neuron, by layer and by block, and the network's adjectives.

    Cost: R.
    """
    d = run.dissection
    words = d.table("open/words")
    alive = ~d.table("neurons/statistics")["dead"].to_numpy()
    counts = {
        **counts_per_neuron(words, d.neuron_count),
        "tokens": summary_tokens(d.table("calibration/points"), d.neuron_count),
    }
    every = distribution(words, d.layers)
    writer.provenance = run.captioner.provenance
    writer.table("neurons", pa.table({"neuron": np.arange(d.neuron_count, dtype=np.int32), **counts}))
    writer.json("adjectives", every)
    writer.json("layers", by_layer(counts, alive, d.layers))
    blocks_of = {
        kind: by_block(np.where(alive, values, np.nan), d.layers, run.config.seed) for kind, values in counts.items()
    }
    writer.json("blocks", blocks_of)
    writer.notes = {
        "adjectives": len(every),
        **{f"{kind}_mean": round(float(counts[kind][alive].mean()), 4) if alive.any() else 0.0 for kind in KINDS},
    }
    run.progress("word_counts", 1, 1)


def cluster_parameters(run: Run) -> dict[str, Any]:
    """Return the encoder, number of clusters and seed."""
    section = run.config.clusters.model_dump(mode="json")
    return {
        **section,
        "encoder": run.encoder.identifying_settings(),
        "fingerprint": run.encoder.fingerprint(),
        "seed": run.config.seed,
    }


def sentence_vectors(run: Run, writer: StageWriter, distinct: list[str]) -> np.ndarray:
    """Return (S, D) float32 embeddings of distinct sentences, as chunks of the stage."""
    starts = range(0, len(distinct), ENCODE_CHUNK)
    parts = run.chunks(
        writer,
        len(starts),
        lambda i: {"x": run.encoder.encode(distinct[starts[i] : starts[i] + ENCODE_CHUNK])},
        len(distinct),
        ENCODE_CHUNK,
    )
    return np.concatenate([part["x"] for part in parts]) if distinct else np.zeros((0, 1), np.float32)


def clusters(run: Run, writer: StageWriter) -> None:
    """Compute sentences of all captions, K-means at each number of clusters, and the clusters at the chosen one.

    Cost: distinct sentences, at most in proportion to N.
    """
    d, config, seed = run.dissection, run.config.clusters, run.config.seed
    sentences = [(clip, text) for clip in range(len(d.clips)) for text in sentences_of(d.caption(clip) or "")]
    distinct = sorted({text for _, text in sentences})
    vectors = sentence_vectors(run, writer, distinct)
    place = {text: i for i, text in enumerate(distinct)}
    at = np.array([place[text] for _, text in sentences], np.int64)
    times = np.bincount(at, minlength=len(distinct))
    writer.array("vectors", vectors.astype(np.float32), ["sentence", "dimension"], "of distinct sentences, sorted")
    counts, inertia = [], []
    most = min(config.most, len(distinct))
    for count, value in elbow(vectors, times, most, seed):
        counts.append(count)
        inertia.append(value)
        run.progress("clusters", count, most)
    chosen = min(config.count, len(distinct)) if config.count is not None else bend(counts, inertia) if counts else 0
    cluster, _, distance = (
        fit(vectors, times, chosen, seed) if chosen else (np.zeros(0, np.int32), 0.0, np.zeros(0, np.float32))
    )
    clip = np.array([c for c, _ in sentences], np.int32)
    writer.provenance = run.captioner.provenance
    writer.table(
        "sentences",
        pa.table(
            {
                "clip": clip,
                "text": pa.array([t for _, t in sentences], pa.string()),
                "cluster": cluster[at],
                "distance": distance[at],
            }
        ),
    )
    writer.array(
        "related",
        related(clip, cluster[at], len(d.clips), chosen),
        ["clip", "cluster"],
        "whether a sentence of its caption falls in it",
    )
    clouds = [
        cloud([text for (_, text), c in zip(sentences, cluster[at], strict=True) if c == number], seed)
        for number in range(chosen)
    ]
    writer.json("clouds", [base64.b64encode(png).decode() if png else None for png in clouds])
    writer.json(
        "elbow",
        {
            "counts": counts,
            "inertia": inertia,
            "chosen": chosen,
            "by": "config" if config.count is not None else "elbow",
        },
    )
    writer.notes = {
        "sentences": len(sentences),
        "distinct": len(distinct),
        "clusters": chosen,
        "encoder": run.encoder.describe(),
        "seed": seed,
    }


def interpretability(run: Run, writer: StageWriter) -> None:
    """Compute for each K that there are clips for, how many of a neuron's high clips share a cluster.

    By layer, and for random sets of clips.

    Cost: R, and 5,000 random sets; N for reading clips.
    """
    d = run.dissection
    shared_by = np.asarray(d.array("clusters/related"))
    alive = ~d.table("neurons/statistics")["dead"].to_numpy()
    allowed = np.flatnonzero(run.explained_from)
    sources = source_numbers(d)[allowed] if run.config.neurons.one_per_source else None
    used = {k: taus for k, taus in TAUS.items() if k <= ranked(run, allowed, sources)}
    below = np.full(d.neuron_count, np.nan)
    rows, chance = [], []
    for done, (k, taus) in enumerate(used.items(), 1):
        tops = np.where(alive[:, None], np.asarray(d.array("neurons/high_clips")[:, :k]), -1)
        most, cluster = most_shared(tops, shared_by)
        writer.array(f"most_{k}", most, ["neuron"], f"of the {k} highest clips")
        writer.array(f"cluster_{k}", cluster, ["neuron"], "cluster number, -1 for none")
        if k == DEPTH[0]:
            below = np.where(alive, 100.0 * (most < DEPTH[1]), np.nan)
        null = by_chance(shared_by, allowed, k, run.config.seed, sources)
        for tau in taus:
            rows += [{"k": k, "tau": tau, **row} for row in uninterpretable(most, alive, tau, d.layers)]
            chance.append({"k": k, "tau": tau, "percent": 100 * float(null[: min(tau, len(null))].sum())})
        run.progress("interpretability", done, len(used))
    writer.provenance = run.captioner.provenance
    writer.table("layers", pa.Table.from_pylist(rows, INTERPRETABILITY_ROWS), {"percent": "%"})
    writer.json("chance", chance)
    writer.json("depth", by_block(below, d.layers, run.config.seed))
    writer.notes = {"clusters": int(shared_by.shape[1]), "seed": run.config.seed, "k": list(used)}


def ranked(run: Run, allowed: np.ndarray, sources: np.ndarray | None) -> int:
    """Return how many clips can be drawn at random and are ranked for every neuron."""
    most = len(allowed) if sources is None else len(np.unique(sources))
    return min(most, int(run.dissection.notes("neurons")["ranked"]))


def acoustics(run: Run, writer: StageWriter) -> None:
    """Score every acoustic adjective against every measure of the neurons' high clips.

    And neurons whose word their clips contradict.

    Cost: R words, and N measures.
    """
    d, k = run.dissection, run.config.k
    measures = d.measures(MEASURES)
    tops = top_sets(d, "high", k)
    means = means_of_clips(tops, measures)
    words = d.table("open/words")
    rows = words.filter(pc.and_(pc.equal(words["pos"], "adjective"), words["acoustic"]))
    every: dict[str, np.ndarray] = {}
    for word in sorted(pc.unique(rows["word"]).to_pylist()):
        every[word] = np.zeros(d.neuron_count, bool)
        every[word][rows.filter(pc.equal(rows["word"], word))["neuron"].to_numpy()] = True
    masks = {word: mask for word, mask in every.items() if mask.sum() >= LEAST_NEURONS}
    writer.provenance = run.captioner.provenance
    writer.table("means", pa.table({"neuron": np.arange(d.neuron_count, dtype=np.int32), **means}), {})
    tests = every_test(means, masks)
    writer.json("tests", tests)
    against, total = disagreements(tops, measures, every)
    writer.json("disagreements", against)
    expected = [row for row in tests if row["expected"]]
    verdicts = {
        f"expected_{verdict.replace(' ', '_')}": sum(row["agrees"] == verdict for row in expected)
        for verdict in ("yes", "no", "not shown")
    }
    writer.notes = {
        "words": len(masks),
        "tests": len(tests),
        "expected": len(expected),
        **verdicts,
        "contradicted": total,
        "k": k,
    }
    run.progress("acoustics", 1, 1)


def neuron_map(run: Run, writer: StageWriter) -> None:
    """Compute two maps of all neurons: by what is said of them, and by how they fire over the clips.

    Each is a chunk that a stopped run does not repeat.

    Cost: N^2 R + N^3 up to 4,096 clips; beyond, N R in five passes; the layout R.
    """
    d = run.dissection
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    parts, method = blocks(d, times=4), run.config.map.method

    def patterns(name: str, units: slice) -> np.ndarray:
        u = np.asarray(d.layer_activations(name, units), np.float32).T
        u = u - u.mean(1, keepdims=True)
        offset = d.layer(name).offset
        u[dead[offset + units.start : offset + units.stop]] = (
            0  # what is left of a constant is rounding, and no pattern
        )
        return u / np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-12)

    def chunk(i: int) -> dict[str, np.ndarray]:
        if i == 0:
            vectors = np.asarray(d.array("explanations/vectors"), np.float32)
            centred = vectors - vectors[~dead].mean(0) if (~dead).any() else vectors
            projected = centred @ components(gram([centred[~dead]]))
            projected[~np.asarray(vectors).any(1)] = np.nan  # nothing is said of them
        else:
            few = len(d.clips) <= EXACT_CLIPS
            axes = (
                components(gram((patterns(*part) for part in parts), run.device), device=run.device)
                if few
                else leading_axes(
                    lambda: (patterns(*part) for part in parts), len(d.clips), run.config.seed, device=run.device
                )
            )
            projected = np.concatenate([patterns(*part) @ axes for part in parts])
        projected[dead] = np.nan
        places, used = layout(projected, run.config.seed, method)
        return {"x": places, "tsne": np.array(used == "tsne")}

    both = list(run.chunks(writer, 2, chunk))
    writer.provenance = run.captioner.provenance
    for name, arrays in zip(("explanation", "activation"), both, strict=True):
        writer.array(name, arrays["x"], ["neuron", "coordinate"], "no unit; NaN where there is nothing to place")
    methods = {"tsne": "t-SNE (openTSNE) on 50 principal components", "pca": "First two principal components"}
    used = {
        name: methods["tsne" if arrays["tsne"] else "pca"]
        for name, arrays in zip(("explanation", "activation"), both, strict=True)
    }
    writer.notes = {"method": used, "seed": run.config.seed}


WORD_COUNTS = Stage(
    "word_counts",
    "Counting words by depth",
    ("activations", "neurons", "calibration", "open"),
    lambda run: {"seed": run.config.seed},
    word_counts,
)
CLUSTERS = Stage(
    "clusters",
    "Grouping sentences of captions",
    ("clips", "captions"),
    cluster_parameters,
    clusters,
    reads="named",
)
INTERPRETABILITY = Stage(
    "interpretability",
    "Finding interpretable neurons",
    ("clips", "activations", "neurons", "clusters"),
    lambda run: {"seed": run.config.seed, **({"one_per_source": True} if run.config.neurons.one_per_source else {})},
    interpretability,
    reads="named",
)
ACOUSTICS = Stage(
    "acoustics",
    "Words against measures",
    ("clips", "neurons", "open"),
    lambda run: {"k": run.config.k},
    acoustics,
    reads="named",
)
MAP = Stage(
    "map", "Mapping neurons", ("activations", "neurons", "explanations"),
    lambda run: {**run.config.map.model_dump(), "seed": run.config.seed}, neuron_map,
)  # fmt: skip
