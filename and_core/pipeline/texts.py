"""Stages `captions` and `texts`: captions, what they are made of, and every text encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.audio.media import clip_wave
from and_core.captioners.base import ListeningCaptioner, clean_caption, joined
from and_core.dissect.attributes import LEXICON, VERSION, parse, value_text
from and_core.dissect.concepts import concept_set
from and_core.encoders.base import check_spread
from and_core.errors import ConfigError, DataError
from and_core.names import readable
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.stage import Run, Stage
from and_core.reply import Reply
from and_core.store.answers import AnswerCache
from and_core.store.writer import StageWriter

ENCODE_CHUNK = 512


def check_own_network(run: Run) -> None:
    """Raise where captions, or what the audio encoder hears, would be the dissected network's own.

    Raises
    ------
    ConfigError
        It would explain itself by what it says.
    """
    for section, plugin in (("captions", run.captioner), ("audio_encoder", run.audio_encoder)):
        tags = None if plugin is None else plugin.network_fingerprint()
        if tags is not None and tags == run.target.fingerprint():
            raise ConfigError(
                f"{section}.target is the network that is dissected; a network never tags for its own dissection"
            )


def caption_parameters(run: Run) -> dict[str, Any]:
    """Return the captioner and its settings."""
    check_own_network(run)
    return {"captioner": run.captioner.identifying_settings(), "fingerprint": run.captioner.fingerprint()}


def caption(run: Run, writer: StageWriter) -> None:
    """Write one text per clip, several captions of it joined.

    Clips without one are listed, and those that a captioner failed on, with the reason.

    Cost: N.
    """
    d = run.dissection
    rows = d.clip_table.to_pylist()
    for row in rows:
        for key in d.artifact(d.clips_artifact).units:
            row[key] = float("nan") if row[key] is None else row[key]
    failed: dict[int, str] = {}

    def listen(captioner: ListeningCaptioner) -> list[Reply]:
        replies = listened(run, captioner)
        failed.update({i: reply.error or "no answer" for i, reply in enumerate(replies) if reply.text is None})
        return replies

    each = [
        [text for one in captions if (text := clean_caption(one))] for captions in run.captioner.every(rows, listen)
    ]
    texts = [joined(captions) for captions in each]
    run.progress("captions", len(rows), len(rows))
    captioned = [(i, text) for i, text in enumerate(texts) if text]
    if not captioned:
        why = f"; the first failed: {next(iter(failed.values()))}" if failed else ""
        raise DataError(f"{run.captioner.describe()} gives no caption for any of the {len(rows)} clips{why}")
    missing = [str(rows[i]["name"]) for i, text in enumerate(texts) if not text]
    writer.provenance = run.captioner.provenance
    writer.table(
        "captions",
        pa.table({"clip": pa.array([i for i, _ in captioned], pa.int32()), "text": [t for _, t in captioned]}),
    )
    if any(len(captions) > 1 for captions in each):
        pairs = [(i, text) for i, captions in enumerate(each) for text in captions]
        writer.table(
            "each", pa.table({"clip": pa.array([i for i, _ in pairs], pa.int32()), "text": [text for _, text in pairs]})
        )
    reasons = [failed.get(i, "none given") for i, text in enumerate(texts) if not text]
    writer.table(
        "missing", pa.table({"name": pa.array(missing, pa.string()), "reason": pa.array(reasons, pa.string())})
    )
    writer.notes = {
        "captioner": run.captioner.describe(),
        "captions": len(captioned),
        "missing": len(missing),
        **run.captioner.notes(rows),
        **unanswered(list(failed.values())),
    }


def listened(run: Run, captioner: ListeningCaptioner) -> list[Reply]:
    """Return what a captioner says of every clip: from the answer cache where it has said it before, else asked now and
    kept at once."""
    d, answers = run.dissection, AnswerCache(run.cache)
    total = len(d.clips)
    keys = [
        hashlib.sha256(f"{captioner.kind}/{captioner.identity()}/".encode() + d.audio(i)).hexdigest()
        for i in range(total)
    ]
    new = [i for i, key in enumerate(keys) if not answers.given(key)]

    def waves() -> Iterator[np.ndarray]:
        for i in new:
            yield clip_wave(d, i, captioner.sample_rate)

    for done, (number, reply) in enumerate(captioner.replies(waves()), 1):
        clip = new[number]
        answers.put(keys[clip], captioner.describe(), d.clips[clip].name, 0, reply.text, reply.error, reply.cut)
        run.progress("captions", total - len(new) + done, total)
    kept_replies = answers.get(keys)
    answers.close()
    return [Reply(*kept_replies[key]) if key in kept_replies else Reply(None, "not heard") for key in keys]


def text_parameters(run: Run) -> dict[str, Any]:
    """Return the encoder, concept set and lexicon."""
    c = run.config.closed
    words = concept_set(c.concepts, run.dissection.classes)
    parameters = {
        "encoder": run.encoder.identifying_settings(), "fingerprint": run.encoder.fingerprint(),
        "concepts": words, "template": c.template, "lexicon": VERSION + repr(LEXICON),
    }  # fmt: skip
    if run.closed_encoder is not None and c.encoder is not None:
        parameters |= {
            "closed_encoder": run.closed_encoder.identifying_settings(),
            "closed_fingerprint": run.closed_encoder.fingerprint(),
        }
    return parameters


def encode(run: Run, writer: StageWriter) -> None:
    """Take captions apart and encode every distinct text once: captions, clauses, attribute values, concepts.

    Cost: N, and M; each distinct text is encoded once.
    """
    d, template = run.dissection, run.config.closed.template
    check_spread(run.encoder, "encoder")
    if run.closed_encoder is not None:
        check_spread(run.closed_encoder, "closed.encoder")
    concepts = concept_set(run.config.closed.concepts, d.classes)
    captions = [d.caption(i) for i in range(len(d.clips))]
    each = [d.captions(i) for i in range(len(d.clips))]
    singles = {text for texts in each for text in texts}
    parsed = [parse(text) if text else None for text in captions]
    clauses = sorted({c for p in parsed if p for c in p.clauses})
    values = sorted({v for p in parsed if p for v in p.attributes})
    spoken = [template.replace("{}", readable(c)) for c in concepts]
    attribute_texts = [value_text(value) for _, value in values]
    every = sorted(singles | set(clauses) | set(spoken) | set(attribute_texts))
    own = sorted(singles | set(spoken)) if run.closed_encoder is not None else []
    starts = [(run.encoder, every, i) for i in range(0, len(every), ENCODE_CHUNK)]
    if run.closed_encoder is not None:
        starts += [(run.closed_encoder, own, i) for i in range(0, len(own), ENCODE_CHUNK)]

    def chunk(i: int) -> dict[str, np.ndarray]:
        encoder, texts, first = starts[i]
        return {"x": encoder.encode(texts[first : first + ENCODE_CHUNK])}

    parts = [arrays["x"] for arrays in run.chunks(writer, len(starts), chunk, len(every) + len(own), ENCODE_CHUNK)]
    count = -(-len(every) // ENCODE_CHUNK)
    rows = _rows(every, np.concatenate(parts[:count]))
    scored = _rows(own, np.concatenate(parts[count:])) if own else rows

    writer.provenance = run.captioner.provenance
    writer.json("concepts", concepts)
    writer.json("clauses", clauses)
    writer.json("values", values)
    captioned = np.array([t is not None for t in captions])
    for name, encoded in (("caption_embeddings", rows), *([("closed_caption_embeddings", scored)] if own else [])):
        embedded = np.zeros((len(captions), encoded(each[int(np.argmax(captioned))][:1]).shape[1]), np.float32)
        for i in np.flatnonzero(captioned).tolist():
            embedded[i] = _mean(encoded(each[i]))
        writer.array(
            name, embedded, ["clip", "dimension"], "unit vector (the mean of several captions), 0 without caption"
        )
    if own:
        writer.array("closed_concept_embeddings", scored(spoken), ["concept", "dimension"], "unit vector")
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
    reader = run.closed_encoder or run.encoder
    writer.notes = {
        "encoder": run.encoder.describe(),
        "closed_encoder": reader.describe(),
        "texts": len(every),
        "clauses": len(clauses),
        "concepts": len(concepts),
        "captions_cut": reader.count_cut([text for texts in each for text in texts]),
    }


def _mean(vectors: np.ndarray) -> np.ndarray:
    """Return the mean of unit vectors (n, D), of unit norm again; one stays as it is."""
    if len(vectors) == 1:
        return vectors[0]
    mean = vectors.mean(0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def _rows(texts: list[str], vectors: np.ndarray) -> Callable[[list[str]], np.ndarray]:
    """Look-up of encoded texts: texts -> (n, D)."""
    where = {text: i for i, text in enumerate(texts)}
    return lambda wanted: vectors[[where[t] for t in wanted]] if wanted else np.zeros((0, vectors.shape[1]), np.float32)


CAPTIONS = Stage("captions", "Captioning clips", ("clips",), caption_parameters, caption, reads="named")
TEXTS = Stage("texts", "Encoding texts", ("clips", "captions"), text_parameters, encode, reads="named")
