"""Stages `closed` (module A by description), `open` (module C) and `last_layer` (the only neurons with known meaning)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from and_core.dissect.similarity import SIMILARITIES, score_as_reference, top_clips
from and_core.dissect.words import AcousticWords, words_of
from and_core.errors import ConfigError
from and_core.evaluate.last_layer import last_layer_scores
from and_core.pipeline.stage import Run, Stage
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter


def closed_parameters(run: Run) -> dict[str, Any]:
    """Everything in the section but what other stages own."""
    used = run.config.closed.model_dump(mode="json", exclude={"concepts", "template", "similarity"})
    return used | ({"k": run.config.k} if run.config.closed.scoring == "reference" else {})


def concept_features(d: Dissection, kind: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Concept features of the captioned clips (AND section 2, DB).

    Returns
    -------
    clips : (N',) int
        Clips with a caption.
    features : (N', M) float32
        Cosine of caption and concept, or its softmax over concepts at `scale`.
    """
    captions = np.asarray(d.array("texts/caption_embeddings"))
    clips = np.flatnonzero(captions.any(1))
    cosine = captions[clips] @ np.asarray(d.array("texts/concept_embeddings")).T
    if kind == "cosine":
        return clips, cosine
    return clips, torch.softmax(torch.from_numpy(scale * cosine), 1).numpy()


def closed(run: Run, writer: StageWriter) -> None:
    """Best concepts of every neuron under each similarity function; a layer's neurons are scored together."""
    d, config = run.dissection, run.config.closed
    clips, features = concept_features(d, config.features, config.softmax_scale)
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    top = min(config.top, features.shape[1])
    options = {"rank_reorder": {"variant": config.rank_variant}}
    names, failed = [], {}
    for name in config.similarities:
        try:
            least = len(clips) if config.scoring == "layer" or all(x.kind == "fc" for x in d.layers) else min(len(clips), run.config.k)
            SIMILARITIES[name](np.zeros((least, 1), np.float32), features[:least], **options.get(name, {}))
            names.append(name)
        except ConfigError as error:
            failed[name] = str(error)

    def chunk(i: int) -> dict[str, np.ndarray]:
        layer, name = d.layers[i // len(names)], names[i % len(names)]
        u = np.asarray(d.layer_activations(layer.name), np.float32)[clips]
        extra = options.get(name, {})
        if config.scoring == "reference":
            seen = None if layer.kind == "fc" else _top(u, run.config.k)
            scores = torch.from_numpy(score_as_reference(name, u, features, seen, **extra))
        else:
            scores = torch.from_numpy(SIMILARITIES[name](u, features, **extra))
        best = scores.sort(dim=1, descending=True, stable=True)
        order = best.indices[:, :top].numpy().astype(np.int32)
        order[dead[layer.offset : layer.offset + layer.size]] = -1
        return {"concepts": order, "scores": best.values[:, :top].numpy().astype(np.float32)}

    total = len(d.layers) * len(names)
    parts = list(run.chunks(writer, total, chunk))
    for offset, name in enumerate(names):
        mine = parts[offset :: len(names)]
        writer.array(f"{name}_concepts", np.concatenate([p["concepts"] for p in mine]), ["neuron", "rank"], "concept number, -1 for none")
        writer.array(f"{name}_scores", np.concatenate([p["scores"] for p in mine]), ["neuron", "rank"], f"score of {name}")
    shown = config.similarity if config.similarity in names else next(iter(names), None)
    writer.notes = {
        "similarities": names,
        "similarity": shown,
        "failed": failed,
        "features": config.features,
        "scoring": config.scoring,
        "captioned_clips": len(clips),
    }


def _top(u: np.ndarray, k: int) -> np.ndarray:
    return top_clips(torch.from_numpy(u), min(k, len(u))).numpy()


def open_parameters(run: Run) -> dict[str, Any]:
    """Tagger, lexicon and margin."""
    return run.config.open.model_dump()


def spoken(text: str, attribute: str) -> str:
    """A point as a sentence, so that the tagger sees its words in their places."""
    return f"The sound is {text}." if attribute else text


def open_concepts(run: Run, writer: StageWriter) -> None:
    """Words of each neuron's calibrated summary; each distinct text is tagged once, each distinct adjective judged once."""
    d, config = run.dissection, run.config.open
    table = d.table("calibration/points")
    kept = table.filter(table["kept"])
    texts = sorted({spoken(t, a) for t, a in zip(kept["text"].to_pylist(), kept["attribute"].to_pylist(), strict=True)})
    step = 512
    tagged: dict[str, list[Any]] = {}
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        tagged.update(zip(part, words_of(part, config.tagger), strict=True))
        run.progress("open", min(start + step, len(texts)), len(texts))
    judge = AcousticWords(run.encoder.encode, config.margin)
    acoustic = judge.judge(sorted({w.word for words in tagged.values() for w in words if w.pos == "adjective"}))
    rows: dict[tuple[int, str, str], int] = {}
    for neuron, text, attribute in zip(kept["neuron"].to_pylist(), kept["text"].to_pylist(), kept["attribute"].to_pylist(), strict=True):
        for word in tagged[spoken(text, attribute)]:
            key = (neuron, word.pos, word.word)
            rows[key] = 1 if word.pos == "adjective" else rows.get(key, 0) + word.times
    order = sorted(rows)
    writer.provenance = run.captioner.provenance
    writer.table("words", pa.table({
        "neuron": pa.array([k[0] for k in order], pa.int32()), "pos": pa.array([k[1] for k in order], pa.string()),
        "word": pa.array([k[2] for k in order], pa.string()), "count": pa.array([rows[k] for k in order], pa.int32()),
        "acoustic": pa.array([k[1] == "adjective" and acoustic[k[2]] for k in order], pa.bool_()),
    }))  # fmt: skip
    writer.notes = {"tagger": config.tagger, "adjectives": len(acoustic), "acoustic_adjectives": sum(acoustic.values()), "margin": config.margin}


def last_layer(run: Run, writer: StageWriter) -> None:
    """Top-1, top-5 and cosine of the classifier's units, per similarity function."""
    d = run.dissection
    fc = next((layer for layer in d.layers if layer.kind == "fc"), None)
    classes = d.document("activations/classes")
    concepts = d.document("texts/concepts")
    embeddings = np.asarray(d.array("texts/concept_embeddings"))
    rows = []
    if fc is not None and classes:
        for name in d.notes("closed")["similarities"]:
            best = np.asarray(d.array(f"closed/{name}_concepts")[fc.offset : fc.offset + fc.size])
            rows.append({"method": "DB", "similarity": name, **last_layer_scores(best, classes, concepts, embeddings)})
    counted = rows[0]["classes"] if rows else 0
    writer.json("scores", [] if counted == 0 else rows)
    reason = None if counted else "the network has no classifier" if fc is None else "no class of the network is in the concept set"
    writer.notes = {"classes": counted, "encoder": run.encoder.describe(), "reason": reason}
    run.progress("last_layer", 1, 1)


CLOSED = Stage("closed", "Scoring closed concepts", ("clips", "activations", "neurons", "texts"), closed_parameters, closed)
OPEN = Stage("open", "Finding open concepts", ("calibration", "texts"), open_parameters, open_concepts)
LAST_LAYER = Stage("last_layer", "Evaluating the last layer", ("activations", "texts", "closed"), lambda run: {}, last_layer)
