"""Stages `captions` and `texts`: captions, what they are made of, and every text encoded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from and_core.audio.media import read_flac
from and_core.captioners.base import clean_caption
from and_core.dissect.attributes import LEXICON, VERSION, parse
from and_core.dissect.concepts import concept_set, readable
from and_core.errors import DataError
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

CAPTION_CHUNK = 64
ENCODE_CHUNK = 512


def caption_parameters(run: Run) -> dict[str, Any]:
    """The captioner and its settings."""
    return {"captioner": run.settings(run.config.captions, run.captioner), "fingerprint": run.captioner.fingerprint()}


def caption(run: Run, writer: StageWriter) -> None:
    """One caption per clip, in chunks; clips without one are listed."""
    d = run.dissection
    rows = d.table("clips/clips").to_pylist()
    for row in rows:
        for key in d.artifact("clips/clips").units:
            row[key] = float("nan") if row[key] is None else row[key]

    def audio(index: int) -> tuple[np.ndarray, int]:
        return read_flac(d.audio(index))

    starts = range(0, len(rows), CAPTION_CHUNK) if type(run.captioner).needs_audio else range(0, len(rows), len(rows))
    step = starts.step

    def chunk(i: int) -> dict[str, np.ndarray]:
        part = run.captioner.captions(rows[starts[i] : starts[i] + step], audio)
        return {"texts": np.array([clean_caption(text) or "" for text in part], dtype=np.str_)}

    texts = [str(t) for arrays in run.chunks(writer, len(starts), chunk, len(rows), step) for t in arrays["texts"]]
    found = [(i, text) for i, text in enumerate(texts) if text]
    if not found:
        raise DataError(f"{run.captioner.describe()} gives no caption for any of the {len(rows)} clips")
    missing = [str(rows[i]["name"]) for i, text in enumerate(texts) if not text]
    writer.provenance = run.captioner.provenance
    writer.table("captions", pa.table({"clip": pa.array([i for i, _ in found], pa.int32()), "text": [t for _, t in found]}))
    writer.table("missing", pa.table({"name": pa.array(missing, pa.string())}))
    writer.notes = {"captioner": run.captioner.describe(), "captions": len(found), "missing": len(missing), **run.captioner.notes(rows)}


def text_parameters(run: Run) -> dict[str, Any]:
    """Encoder, concept set and lexicon."""
    c = run.config.closed
    words = concept_set(c.concepts, run.dissection.classes if c.concepts == "classes" else [])
    return {
        "encoder": run.settings(run.config.encoder, run.encoder), "fingerprint": run.encoder.fingerprint(),
        "concepts": words, "template": c.template, "lexicon": VERSION + repr(LEXICON),
    }  # fmt: skip


def encode(run: Run, writer: StageWriter) -> None:
    """Take captions apart and encode every distinct text once: captions, clauses, attribute values, concepts."""
    d, template = run.dissection, run.config.closed.template
    concepts = concept_set(run.config.closed.concepts, d.classes)
    captions = [d.caption(i) for i in range(len(d.clips))]
    parsed = [parse(text) if text else None for text in captions]
    clauses = sorted({c for p in parsed if p for c in p.clauses})
    values = sorted({v for p in parsed if p for v in p.attributes})
    spoken = [template.replace("{}", readable(c)) for c in concepts]
    attribute_texts = [f"a {value} sound" for _, value in values]
    every = sorted({t for t in captions if t} | set(clauses) | set(spoken) | set(attribute_texts))
    starts = range(0, len(every), ENCODE_CHUNK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        return {"x": run.encoder.encode(every[starts[i] : starts[i] + ENCODE_CHUNK])}

    parts = [arrays["x"] for arrays in run.chunks(writer, len(starts), chunk, len(every), ENCODE_CHUNK)]
    vectors = np.concatenate(parts)
    where = {text: i for i, text in enumerate(every)}

    def rows(texts: list[str]) -> np.ndarray:
        return vectors[[where[t] for t in texts]] if texts else np.zeros((0, vectors.shape[1]), np.float32)

    writer.provenance = run.captioner.provenance
    writer.json("concepts", concepts)
    writer.json("clauses", clauses)
    writer.json("values", values)
    captioned = np.array([t is not None for t in captions])
    embedded = np.zeros((len(captions), vectors.shape[1]), np.float32)
    embedded[captioned] = rows([t for t in captions if t])
    writer.array("caption_embeddings", embedded, ["clip", "dimension"], "unit vector, 0 without caption")
    writer.array("clause_embeddings", rows(clauses), ["clause", "dimension"], "unit vector")
    writer.array("value_embeddings", rows(attribute_texts), ["value", "dimension"], "unit vector")
    writer.array("concept_embeddings", rows(spoken), ["concept", "dimension"], "unit vector")
    number = {c: i for i, c in enumerate(clauses)}
    widest = max((len(p.clauses) for p in parsed if p), default=0)
    clip_clauses = np.full((len(captions), max(1, widest)), -1, np.int32)
    clip_values = np.zeros((len(captions), len(values)), bool)
    place = {v: i for i, v in enumerate(values)}
    for i, p in enumerate(parsed):
        if p:
            clip_clauses[i, : len(p.clauses)] = [number[c] for c in p.clauses]
            clip_values[i, [place[v] for v in p.attributes]] = True
    writer.array("clip_clauses", clip_clauses, ["clip", "position"], "clause number, -1 for none")
    writer.array("clip_values", clip_values, ["clip", "value"], "said or not")
    writer.notes = {"encoder": run.encoder.describe(), "texts": len(every), "clauses": len(clauses), "concepts": len(concepts)}


CAPTIONS = Stage("captions", "Captioning clips", ("clips",), caption_parameters, caption)
TEXTS = Stage("texts", "Encoding texts", ("clips", "captions"), text_parameters, encode)
