"""Stage `interpretability_seeds`: the percentages of `interpretability`, and chance, under other seeds of K-means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.analyze.clusters import fit, related
from and_core.analyze.interpretability import TAUS, most_shared, random_sets, shares, uninterpretable
from and_core.pipeline.analysis import INTERPRETABILITY_ROWS, ranked, sentence_vectors
from and_core.pipeline.neurons import source_numbers
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

SEEDS = 10  # of K-means, counted up from the run's
ROWS = pa.schema([("seed", pa.int64()), *INTERPRETABILITY_ROWS])


def parameters(run: Run) -> dict[str, Any]:
    """Return the seeds, and whether clips of one recording count once."""
    once = {"one_per_source": True} if run.config.neurons.one_per_source else {}
    return {"seed": run.config.seed, "seeds": SEEDS, **once}


def clusterings(run: Run, writer: StageWriter) -> dict[int, np.ndarray]:
    """Return seed -> (N, C) bool: clips by clusters, as many as the stage `clusters` has; its own come first."""
    d, seed = run.dissection, run.config.seed
    made = {seed: np.asarray(d.array("clusters/related"))}
    count = made[seed].shape[1]
    sentences = d.table("clusters/sentences")
    clip, texts = sentences["clip"].to_numpy(), sentences["text"].to_pylist()
    distinct = sorted(set(texts))
    place = {text: i for i, text in enumerate(distinct)}
    at = np.array([place[text] for text in texts], np.int64)
    vectors = (
        np.asarray(d.array("clusters/vectors"))
        if "clusters/vectors" in d.manifest.artifacts  # else clusters were made before they left their vectors
        else sentence_vectors(run, writer, distinct)
    )
    times = np.bincount(at, minlength=len(distinct))
    for other in range(seed + 1, seed + SEEDS):
        cluster = fit(vectors, times, count, other)[0][at] if count else np.zeros(0, np.int32)
        made[other] = related(clip, cluster, len(d.clips), count)
    return made


def compute(run: Run, writer: StageWriter) -> None:
    """Compute uninterpretable neurons by layer under each seed of K-means; the random sets of clips stay the same.

    Cost: distinct sentences, at most in proportion to N, and R.
    """
    d = run.dissection
    every = clusterings(run, writer)
    alive = ~d.table("neurons/statistics")["dead"].to_numpy()
    allowed = np.flatnonzero(run.explained_from)
    sources = source_numbers(d)[allowed] if run.config.neurons.one_per_source else None
    used = {k: taus for k, taus in TAUS.items() if k <= ranked(run, allowed, sources)}
    rows, chance = [], []
    for done, (k, taus) in enumerate(used.items(), 1):
        tops = np.where(alive[:, None], np.asarray(d.array("neurons/high_clips")[:, :k]), -1)
        drawn = random_sets(allowed, k, run.config.seed, sources)
        for seed, shared_by in every.items():
            most, null = most_shared(tops, shared_by)[0], shares(drawn, shared_by)
            for tau in taus:
                of = {"seed": seed, "k": k, "tau": tau}
                rows += [{**of, **row} for row in uninterpretable(most, alive, tau, d.layers)]
                chance.append({**of, "percent": 100 * float(null[: min(tau, len(null))].sum())})
        run.progress("interpretability_seeds", done, len(used))
    writer.provenance = run.captioner.provenance
    writer.table("layers", pa.Table.from_pylist(rows, ROWS), {"percent": "%"})
    writer.json("chance", chance)
    writer.notes = {"seeds": list(every), "k": list(used), "clusters": int(every[run.config.seed].shape[1])}


STAGE = Stage(
    "interpretability_seeds",
    "Grouping sentences under other seeds",
    ("clips", "activations", "neurons", "clusters"),
    parameters,
    compute,
    reads="named",
)
