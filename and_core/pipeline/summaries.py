"""Stages `summaries` (what high and low clips have in common) and `calibration` (module B)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.analyze.interpretability import PERMUTED_CLIPS, random_sets
from and_core.dissect.calibrate import calibrate
from and_core.dissect.summarize import CaptionTexts, Summarizer
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.stage import Run, Stage
from and_core.records import Point, Side
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 512
SIDES: tuple[Side, ...] = ("high", "low")


def caption_texts(d: Dissection, prompts: dict[str, str] | None = None) -> CaptionTexts:
    """Return captions taken apart, as the stage `texts` left them."""
    return CaptionTexts(
        clauses=d.document("texts/clauses"),
        embeddings=np.asarray(d.array("texts/clause_embeddings")),
        clip_clauses=np.asarray(d.array("texts/clip_clauses")),
        values=[tuple(v) for v in d.document("texts/values")],
        clip_values=np.asarray(d.array("texts/clip_values")),
        captions=[d.caption(i) or "" for i in range(len(d.clips))],
        prompts=prompts or {},
    )


def top_sets(d: Dissection, side: Side, k: int) -> np.ndarray:
    """Return (neurons, k) clips behind the summaries.

    A dead neuron has none, and with too few clips or sources none is on both sides.
    """
    clips = np.array(d.array(f"neurons/{side}_clips")[:, :k])
    ranked = int(d.notes("neurons")["ranked"])
    if ranked < 2 * k:
        clips[:, ranked // 2 :] = -1
    clips[d.table("neurons/statistics")["dead"].to_numpy()] = -1
    return clips


def parameters(run: Run) -> dict[str, Any]:
    """Return K and the summariser, with the language model and its prompt where it asks one."""
    parameters = {
        "k": run.config.k, "summarizer": run.summarizer.identifying_settings(),
        "fingerprint": run.summarizer.fingerprint(), "seed": run.config.seed,
    }  # fmt: skip
    if run.summarizer.asks and run.cached_llm is not None:
        parameters |= {"llm": run.cached_llm.model.fingerprint(), "prompt": run.prompts["summary"]}
    return parameters


def compute(run: Run, writer: StageWriter) -> None:
    """Compute summaries of both sides for blocks of neurons, and of random sets of clips for comparison.

    Cost: R, and N for reading captions.
    """
    d, k, summarizer = run.dissection, run.config.k, run.summarizer
    ask = run.cached_llm if summarizer.asks else None
    texts = caption_texts(d, run.prompts if summarizer.asks else None)
    sets = {side: top_sets(d, side, k) for side in SIDES}
    starts = range(0, d.neuron_count, BLOCK)
    if ask is not None:
        every = (
            r
            for start in starts
            for side in SIDES
            for r in summarizer.requests(texts, sets[side][start : start + BLOCK])
        )
        samples = getattr(summarizer.settings, "samples", 1)
        ask.fetch("summaries", every, samples * sum(int((clips >= 0).any(1).sum()) for clips in sets.values()))

    def chunk(i: int) -> dict[str, np.ndarray]:
        columns, rows = _Columns(), []
        for side in SIDES:
            part = sets[side][starts[i] : starts[i] + BLOCK]
            for offset, summary in enumerate(summarizer.summarize(texts, part, ask)):
                columns.add(starts[i] + offset, side, summary.points)
                if summary.failed or summary.missing or len(summary.samples) > 1:
                    agreement = _agreement(run, list(summary.samples))
                    rows.append((starts[i] + offset, side, summary.failed or "", summary.missing or "", agreement))
        return {**columns.arrays(), **_remarks(rows)}

    keep = ask is None  # answers are kept in their own cache, and a failed one may be there the next time
    parts = list(run.chunks(writer, len(starts), chunk, d.neuron_count, BLOCK, keep))
    table = pa.concat_tables([_Columns.load(arrays) for arrays in parts])
    table = table.sort_by([("neuron", "ascending"), ("side", "ascending"), ("rank", "ascending")])
    writer.provenance = run.captioner.provenance
    writer.table("points", table)
    remarks = {name: np.concatenate([arrays[name] for arrays in parts]) for name in REMARKS}
    rows = pa.table({name: pa.array(values.tolist(), REMARKS[name]) for name, values in remarks.items()})
    writer.table("remarks", rows.sort_by([("neuron", "ascending"), ("side", "ascending")]))
    high = np.bincount(table.filter(pc.equal(table["side"], "high"))["neuron"].to_numpy(), minlength=d.neuron_count)
    alive = ~d.table("neurons/statistics")["dead"].to_numpy()
    lost = [str(reason) for reason in remarks["missing"] if reason]
    agreement = remarks["agreement"][np.isfinite(remarks["agreement"])]
    by = f"{summarizer.describe()} {ask.model.describe()}" if ask is not None else summarizer.describe()
    writer.notes = {
        "summarizer": by,
        "points_mean": _mean(high[alive]),
        "without_point": _mean(high[alive] == 0),
        **(
            chance(texts, summarizer, np.flatnonzero(run.explained_from), k, run.config.seed)
            if summarizer.random_sets
            else {}
        ),
        **({"agreement_mean": _mean(agreement)} if len(agreement) else {}),
        **unanswered(lost),
    }


REMARKS = {
    "neuron": pa.int32(),
    "side": pa.string(),
    "failed": pa.string(),
    "missing": pa.string(),
    "agreement": pa.float32(),
}


def _remarks(rows: Sequence[tuple[int, str, str, str, float]]) -> dict[str, np.ndarray]:
    """Return why a summary failed, and how far its samples agree, as columns."""
    kinds = (np.int32, np.str_, np.str_, np.str_, np.float32)
    return {
        name: np.array([row[i] for row in rows], kind)
        for i, (name, kind) in enumerate(zip(REMARKS, kinds, strict=True))
    }


def _agreement(run: Run, samples: list[str]) -> float:
    """Return the mean cosine similarity between the embeddings of several samples of one summary.

    NaN for fewer than two.
    """
    if len(samples) < 2:
        return math.nan
    vectors = run.encoder.encode(samples)
    pairs = np.triu_indices(len(samples), 1)
    return float((vectors @ vectors.T)[pairs].mean())


def chance(texts: CaptionTexts, summarizer: Summarizer, clips: np.ndarray, k: int, seed: int) -> dict[str, float]:
    """Return what random sets of `k` clips have in common: the rate beside which every statistic of
    summaries stands."""
    total = summarizer.random_sets
    if len(clips) > PERMUTED_CLIPS:
        sets = random_sets(clips, k, seed, count=total)
    else:
        rng = np.random.default_rng(seed)
        sets = np.stack([rng.permutation(clips)[:k] for _ in range(total)])
    counts = np.array(
        [
            len(s.points)
            for start in range(0, total, BLOCK)
            for s in summarizer.summarize(texts, sets[start : start + BLOCK])
        ]
    )
    return {"random_points_mean": _mean(counts), "random_without_point": _mean(counts == 0), "random_sets": total}


def compute_calibration(run: Run, writer: StageWriter) -> None:
    """Mark each high point as kept or dropped, in blocks of neurons.

    Cost: R.
    """
    d, t = run.dissection, run.config.calibration.t
    raw = d.table("summaries/points")
    neurons = raw["neuron"].to_numpy()
    clauses = dict(zip(d.document("texts/clauses"), np.asarray(d.array("texts/clause_embeddings")), strict=True))
    width = d.array("texts/clause_embeddings").shape[1]
    starts = range(0, d.neuron_count, BLOCK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        first, last = np.searchsorted(neurons, [starts[i], starts[i] + BLOCK])
        sides: dict[int, dict[str, list[Point]]] = {}
        for row in raw.slice(int(first), int(last - first)).to_pylist():
            point = Point(text=row["text"], count=row["count"], of=row["of"], attribute=row["attribute"] or None)
            sides.setdefault(row["neuron"], {"high": [], "low": []})[row["side"]].append(point)
        texts = {
            p.text for summaries in sides.values() for points in summaries.values() for p in points if not p.attribute
        }
        new = sorted(texts - clauses.keys())  # a language model's own words; those of captions are known
        own = dict(zip(new, run.encoder.encode(new), strict=True)) if new else {}

        def embed(texts: list[str]) -> np.ndarray:
            return np.stack([clauses[text] if text in clauses else own[text] for text in texts])

        columns = _Columns()
        vectors = np.zeros((min(BLOCK, d.neuron_count - starts[i]), width), np.float32)
        for neuron, summaries in sides.items():
            points = calibrate(summaries["high"], summaries["low"], embed, t)
            columns.add(neuron, "high", points)
            kept_texts = [p.text for p in points if p.kept and not p.attribute]
            if kept_texts:
                vectors[neuron - starts[i]] = embed(kept_texts).sum(0)
        return {**columns.arrays(), "vectors": vectors.astype(np.float16)}

    parts = list(run.chunks(writer, len(starts), chunk, d.neuron_count, BLOCK))
    table = pa.concat_tables([_Columns.load(arrays) for arrays in parts])
    writer.provenance = run.captioner.provenance
    writer.table("points", table)
    writer.array(
        "vectors",
        np.concatenate([arrays["vectors"] for arrays in parts]),
        ["neuron", "dimension"],
        "sum over kept points, attributes left out",
    )
    summarised = len(pc.unique(table["neuron"]))
    touched = len(pc.unique(table.filter(pc.invert(table["kept"]))["neuron"]))
    writer.notes = {
        "summarised": summarised,
        "with_dropped_point": touched,
        "share_with_dropped_point": touched / max(1, summarised),
    }


POINTS = pa.schema(
    [
        ("neuron", pa.int32()),
        ("side", pa.string()),
        ("rank", pa.int32()),
        ("text", pa.string()),
        ("count", pa.int32()),
        ("of", pa.int32()),
        ("attribute", pa.string()),
        ("kept", pa.bool_()),
        ("removed_by", pa.string()),
        ("similarity", pa.float32()),
    ]
)


class _Columns:
    """Points as columns of one table."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, int, Point]] = []

    def add(self, neuron: int, side: str, points: list[Point]) -> None:
        """Append one summary."""
        self.rows += [(neuron, side, rank, point) for rank, point in enumerate(points, 1)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the table as bytes, for a chunk on disk."""
        points = [row[3] for row in self.rows]
        columns = [
            [row[0] for row in self.rows],
            [row[1] for row in self.rows],
            [row[2] for row in self.rows],
            [p.text for p in points],
            [p.count for p in points],
            [p.of for p in points],
            [p.attribute or "" for p in points],
            [p.kept for p in points],
            [p.removed_by or "" for p in points],
            [math.nan if p.similarity is None else p.similarity for p in points],
        ]
        table = pa.table(
            [pa.array(values, field.type) for values, field in zip(columns, POINTS, strict=True)], schema=POINTS
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, POINTS) as stream:
            stream.write_table(table)
        return {"table": np.frombuffer(sink.getvalue(), np.uint8)}

    @staticmethod
    def load(arrays: dict[str, np.ndarray]) -> pa.Table:
        """Return the inverse of :meth:`arrays`."""
        return pa.ipc.open_stream(arrays["table"].tobytes()).read_all()


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 4) if len(values) else 0.0


SUMMARIES = Stage(
    "summaries", "Summarising high and low clips", ("neurons", "captions", "texts"), parameters, compute, reads="named"
)
CALIBRATION = Stage(
    "calibration",
    "Calibrating summaries",
    ("summaries", "texts"),
    lambda run: run.config.calibration.model_dump(),
    compute_calibration,
    reads="named",
)
