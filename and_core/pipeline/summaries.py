"""Stages `summaries` (what high and low clips have in common) and `calibration` (module B)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from and_core.dissect.calibrate import calibrate
from and_core.dissect.summarize import CaptionTexts, Summarizer
from and_core.pipeline.stage import Run, Stage
from and_core.records import Point, Side
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

BLOCK = 512
RANDOM_SETS = 1000
SIDES: tuple[Side, ...] = ("high", "low")


def caption_texts(d: Dissection) -> CaptionTexts:
    """Captions taken apart, as the stage `texts` left them."""
    return CaptionTexts(
        clauses=d.document("texts/clauses"), embeddings=np.asarray(d.array("texts/clause_embeddings")),
        clip_clauses=np.asarray(d.array("texts/clip_clauses")), values=[tuple(v) for v in d.document("texts/values")],
        clip_values=np.asarray(d.array("texts/clip_values")),
    )  # fmt: skip


def top_sets(d: Dissection, side: Side, k: int) -> np.ndarray:
    """(neurons, k) clips behind the summaries; a dead neuron has none, and with too few clips or sources none is on both sides."""
    clips = np.array(d.array(f"neurons/{side}_clips")[:, :k])
    ranked = int(d.notes("neurons")["ranked"])
    if ranked < 2 * k:
        clips[:, ranked // 2 :] = -1
    clips[d.table("neurons/statistics")["dead"].to_numpy()] = -1
    return clips


def parameters(run: Run) -> dict[str, Any]:
    """K and the summariser."""
    return {
        "k": run.config.k, "summarizer": run.settings(run.config.summarizer, run.summarizer),
        "fingerprint": run.summarizer.fingerprint(), "seed": run.config.seed,
    }  # fmt: skip


def compute(run: Run, writer: StageWriter) -> None:
    """Summaries of both sides for blocks of neurons, and of random sets of clips for comparison."""
    d, k = run.dissection, run.config.k
    texts = caption_texts(d)
    sets = {side: top_sets(d, side, k) for side in SIDES}
    starts = range(0, d.neuron_count, BLOCK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        columns = _Columns()
        for side in SIDES:
            part = sets[side][starts[i] : starts[i] + BLOCK]
            for offset, points in enumerate(run.summarizer.summarize(texts, part)):
                columns.add(starts[i] + offset, side, points)
        return columns.arrays()

    table = pa.concat_tables([_Columns.load(arrays) for arrays in run.chunks(writer, len(starts), chunk, d.neuron_count, BLOCK)])
    table = table.sort_by([("neuron", "ascending"), ("side", "ascending"), ("rank", "ascending")])
    writer.provenance = run.captioner.provenance
    writer.table("points", table)
    high = np.bincount(table.filter(pc.equal(table["side"], "high"))["neuron"].to_numpy(), minlength=d.neuron_count)
    alive = ~d.table("neurons/statistics")["dead"].to_numpy()
    writer.notes = {
        "summarizer": run.summarizer.describe(), "points_mean": _mean(high[alive]), "without_point": _mean(high[alive] == 0),
        **chance(texts, run.summarizer, len(d.clips), k, run.config.seed),
    }  # fmt: skip


def chance(texts: CaptionTexts, summarizer: Summarizer, clips: int, k: int, seed: int) -> dict[str, float]:
    """What random sets of `k` clips have in common: the rate beside which every statistic of summaries stands."""
    rng = np.random.default_rng(seed)
    sets = np.stack([rng.permutation(clips)[:k] for _ in range(RANDOM_SETS)])
    counts = np.array([len(points) for start in range(0, RANDOM_SETS, BLOCK) for points in summarizer.summarize(texts, sets[start : start + BLOCK])])
    return {"random_points_mean": _mean(counts), "random_without_point": _mean(counts == 0), "random_sets": RANDOM_SETS}


def compute_calibration(run: Run, writer: StageWriter) -> None:
    """Mark each high point as kept or dropped, in blocks of neurons."""
    d, t = run.dissection, run.config.calibration.t
    raw = d.table("summaries/points")
    neurons = raw["neuron"].to_numpy()
    known = dict(zip(d.document("texts/clauses"), np.asarray(d.array("texts/clause_embeddings")), strict=True))

    def embed(texts: list[str]) -> np.ndarray:
        new = [text for text in texts if text not in known]
        if new:
            known.update(zip(new, run.encoder.encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    starts = range(0, d.neuron_count, BLOCK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        first, last = np.searchsorted(neurons, [starts[i], starts[i] + BLOCK])
        sides: dict[int, dict[str, list[Point]]] = {}
        for row in raw.slice(int(first), int(last - first)).to_pylist():
            point = Point(text=row["text"], count=row["count"], of=row["of"], attribute=row["attribute"] or None)
            sides.setdefault(row["neuron"], {"high": [], "low": []})[row["side"]].append(point)
        columns = _Columns()
        for neuron, found in sides.items():
            columns.add(neuron, "high", calibrate(found["high"], found["low"], embed, t))
        return columns.arrays()

    table = pa.concat_tables([_Columns.load(arrays) for arrays in run.chunks(writer, len(starts), chunk, d.neuron_count, BLOCK)])
    writer.provenance = run.captioner.provenance
    writer.table("points", table)
    summarised = len(pc.unique(table["neuron"]))
    touched = len(pc.unique(table.filter(pc.invert(table["kept"]))["neuron"]))
    writer.notes = {"summarised": summarised, "with_dropped_point": touched, "share_with_dropped_point": touched / max(1, summarised)}


POINTS = pa.schema([
    ("neuron", pa.int32()), ("side", pa.string()), ("rank", pa.int32()), ("text", pa.string()), ("count", pa.int32()), ("of", pa.int32()),
    ("attribute", pa.string()), ("kept", pa.bool_()), ("removed_by", pa.string()), ("similarity", pa.float32()),
])  # fmt: skip


class _Columns:
    """Points as columns of one table."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, int, Point]] = []

    def add(self, neuron: int, side: str, points: list[Point]) -> None:
        """Append one summary."""
        self.rows += [(neuron, side, rank, point) for rank, point in enumerate(points, 1)]

    def arrays(self) -> dict[str, np.ndarray]:
        """The table as bytes, for a chunk on disk."""
        points = [row[3] for row in self.rows]
        columns = [
            [row[0] for row in self.rows], [row[1] for row in self.rows], [row[2] for row in self.rows], [p.text for p in points],
            [p.count for p in points], [p.of for p in points], [p.attribute or "" for p in points], [p.kept for p in points],
            [p.removed_by or "" for p in points], [math.nan if p.similarity is None else p.similarity for p in points],
        ]  # fmt: skip
        table = pa.table([pa.array(values, field.type) for values, field in zip(columns, POINTS, strict=True)], schema=POINTS)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, POINTS) as stream:
            stream.write_table(table)
        return {"table": np.frombuffer(sink.getvalue(), np.uint8)}

    @staticmethod
    def load(arrays: dict[str, np.ndarray]) -> pa.Table:
        """Inverse of :meth:`arrays`."""
        return pa.ipc.open_stream(arrays["table"].tobytes()).read_all()


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 4) if len(values) else 0.0


SUMMARIES = Stage("summaries", "Summarising high and low clips", ("neurons", "captions", "texts"), parameters, compute)
CALIBRATION = Stage("calibration", "Calibrating summaries", ("summaries", "texts"), lambda run: run.config.calibration.model_dump(), compute_calibration)
