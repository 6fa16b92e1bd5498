"""Stages `closed` (module A by description, DB), `sounds` (every clip heard once) and `tab` (module A by sound)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from and_core.audio.media import clip_wave
from and_core.config import ClosedConfig
from and_core.dissect.similarity import SIMILARITIES, TOP_ALONE, score_as_reference, score_in_parts, top_clips
from and_core.encoders.base import check_spread
from and_core.errors import ConfigError
from and_core.labels.concept_classes import ConceptClass
from and_core.names import readable
from and_core.pipeline.neurons import blocks
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.texts import check_own_network
from and_core.store.writer import StageWriter

HEAR_CHUNK = 32
CONSTANT = 1e-7  # standard deviation of a concept's cosines below which they are rounding


def closed_parameters(run: Run) -> dict[str, Any]:
    """Return everything in the section but what other stages own."""
    used = run.config.closed.model_dump(mode="json", exclude={"concepts", "template", "similarity", "encoder"})
    return used | ({"k": run.config.k} if run.config.closed.scoring == "reference" else {})


def spread(cosine: np.ndarray, kind: str, scale: float, over: np.ndarray | None = None) -> np.ndarray:
    """Return cosines (N, M) as they are; their softmax over concepts at `scale` (AND section 2); or standardized: each
    concept's column with mean 0 and variance 1 over the clips, or over some of them, 0 where it is the same for all."""
    if kind == "standardized":
        wide = cosine.astype(np.float64)
        rows = wide if over is None else wide[over]
        deviation = rows.std(0)
        return ((wide - rows.mean(0)) / np.where(deviation > CONSTANT, deviation, np.inf)).astype(np.float32)
    return cosine if kind == "cosine" else torch.softmax(torch.from_numpy(scale * cosine), 1).numpy()


def closed(run: Run, writer: StageWriter) -> None:
    """Compute DB: best concepts of every neuron by the captions of its clips.

    Cost: N (R + M), and R M for scores; cos and cos_cubed N R M; rank_reorder N R M / 20.
    """
    d, config = run.dissection, run.config.closed
    kind = "closed_" if config.encoder is not None else ""
    captions, concepts = (np.asarray(d.array(f"texts/{kind}{what}_embeddings")) for what in ("caption", "concept"))
    captioned = np.asarray(captions.any(1))
    clips = np.flatnonzero(captioned & run.explained_from)
    named = None
    if by_all_clips(run):
        named = spread(captions @ concepts.T, config.features, config.softmax_scale, clips), captioned
    features = spread(captions[clips] @ concepts.T, config.features, config.softmax_scale)
    score(run, writer, clips, features, config, named)
    writer.notes |= {
        "features": config.features,
        "captioned_clips": len(clips),
        "encoder": d.notes("texts")["closed_encoder"],
    }


def tab_parameters(run: Run) -> dict[str, Any]:
    """Return the parameters as for DB, with the features of TAB."""
    return {**closed_parameters(run), **run.config.tab.model_dump(mode="json"), "features": tab_features(run)}


def tab_features(run: Run) -> str:
    """Return the features of TAB: where the configuration leaves them open, the audio encoder's own."""
    given = run.config.tab.features
    assert run.audio_encoder is not None
    return run.audio_encoder.features if given == "auto" else given


def tab(run: Run, writer: StageWriter) -> None:
    """Compute TAB: best concepts of every neuron by the sound of its clips.

    Cost: as `closed`.
    """
    d, config = run.dissection, run.config.tab
    cosine = np.asarray(d.array("sounds/clip_embeddings")) @ np.asarray(d.array("sounds/concept_embeddings")).T
    clips = np.flatnonzero(run.explained_from)
    features = tab_features(run)
    named = None
    if by_all_clips(run):
        named = spread(cosine, features, config.softmax_scale, clips), np.ones(len(cosine), bool)
    score(run, writer, clips, spread(cosine[clips], features, config.softmax_scale), run.config.closed, named)
    writer.notes |= {"features": features, "encoder": d.notes("sounds")["encoder"]}


def sound_parameters(run: Run) -> dict[str, Any]:
    """Return the encoder and concept set."""
    check_own_network(run)
    assert run.audio_encoder is not None and run.config.audio_encoder is not None
    return {
        "encoder": run.audio_encoder.identifying_settings(), "fingerprint": run.audio_encoder.fingerprint(),
        "template": run.config.closed.template,
    }  # fmt: skip


def sounds(run: Run, writer: StageWriter) -> None:
    """Score every clip heard once by the text-audio encoder, every concept read once.

    Cost: N.
    """
    d, encoder = run.dissection, run.audio_encoder
    assert encoder is not None
    check_spread(encoder, "audio_encoder")
    total = len(d.clips)
    starts = range(0, total, HEAR_CHUNK)

    def chunk(i: int) -> dict[str, np.ndarray]:
        clips = range(starts[i], min(starts[i] + HEAR_CHUNK, total))
        return {"x": encoder.encode_audio([clip_wave(d, clip, encoder.sample_rate) for clip in clips])}

    heard = np.concatenate([arrays["x"] for arrays in run.chunks(writer, len(starts), chunk, total, HEAR_CHUNK)])
    writer.array("clip_embeddings", heard, ["clip", "dimension"], "unit vector")
    template = "{}" if encoder.by_class else run.config.closed.template
    concepts = d.document("texts/concepts")
    spoken = [template.replace("{}", readable(c)) for c in concepts]
    writer.array("concept_embeddings", encoder.encode(spoken), ["concept", "dimension"], "unit vector")
    if encoder.by_class:
        rows = encoder.concept_classes(concepts)
        columns = {name: [getattr(row, name) for row in rows] for name in ConceptClass._fields}
        writer.table("concept_classes", pa.table(columns))
    writer.notes = {"encoder": encoder.describe(), "clips": total, "concepts": len(spoken)}


def by_all_clips(run: Run) -> bool:
    """Return whether functions that read top clips alone are given those of all clips of a streamed pass.

    Not where it ranked each source recording once, which these functions do not.
    """
    config = run.config
    streamed = run.dissection.streamed is not None and config.probe == run.streamed_probe
    return streamed and config.closed.scoring == "layer" and not config.neurons.one_per_source


def score(
    run: Run,
    writer: StageWriter,
    clips: np.ndarray,
    features: np.ndarray,
    config: ClosedConfig,
    named: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Compute best concepts of every neuron under each similarity function; a layer's neurons are scored together.

    Parameters
    ----------
    clips : (N',) int
        Clips that have features.
    features : (N', M) float32
        Concept features of those clips.
    named : pair of (N, M) float32 and (N,) bool, optional
        After a streamed pass, the same of all clips that it names, and which of them have any.
    """
    d = run.dissection
    exact = [] if named is None else [name for name in config.similarities if name in TOP_ALONE]
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    top = min(config.top, features.shape[1])
    options = {"rank_reorder": {"variant": config.rank_variant}}
    units_of: dict[str, list[slice]] = {}
    for layer_name, units in blocks(d, max(layer.size for layer in d.layers), times=4):
        units_of.setdefault(layer_name, []).append(units)
    names, failed = [], {}
    for name in config.similarities:
        try:
            least = (
                len(clips)
                if config.scoring == "layer" or all(x.kind == "fc" for x in d.layers)
                else min(len(clips), run.config.k)
            )
            SIMILARITIES[name](np.zeros((least, 1), np.float32), features[:least], **options.get(name, {}))
            names.append(name)
        except ConfigError as error:
            failed[name] = str(error)

    def chunk(i: int) -> dict[str, np.ndarray]:
        layer, name = d.layers[i // len(names)], names[i % len(names)]
        extra = options.get(name, {})
        units = slice(layer.offset, layer.offset + layer.size)
        parts = (
            np.asarray(d.layer_activations(layer.name, units), np.float32)[clips] for units in units_of[layer.name]
        )
        if named is not None and name in exact:
            from and_core.dissect.streamed.similarity import score_top  # compiled: a second to load

            best_clips = np.asarray(d.array("activations/high_clips"))[units]
            scores = torch.from_numpy(score_top(name, best_clips, *named))
        elif config.scoring == "reference":
            rows = []
            for u in parts:
                seen = None if layer.kind == "fc" else _top(u, run.config.k)
                rows.append(score_as_reference(name, u, features, seen, **extra))
            scores = torch.from_numpy(np.concatenate(rows))
        else:
            scores = torch.from_numpy(score_in_parts(name, parts, features, run.device, **extra))
        best = scores.sort(dim=1, descending=True, stable=True)
        order = best.indices[:, :top].numpy().astype(np.int32)
        order[dead[units]] = -1
        return {"concepts": order, "scores": best.values[:, :top].numpy().astype(np.float32)}

    total = len(d.layers) * len(names)
    parts = list(run.chunks(writer, total, chunk))
    for offset, name in enumerate(names):
        chunks = parts[offset :: len(names)]
        writer.array(
            f"{name}_concepts",
            np.concatenate([p["concepts"] for p in chunks]),
            ["neuron", "rank"],
            "concept number, -1 for none",
        )
        writer.array(
            f"{name}_scores", np.concatenate([p["scores"] for p in chunks]), ["neuron", "rank"], f"score of {name}"
        )
    writer.notes = {"similarities": names, "failed": failed, "scoring": config.scoring}
    if named is not None and exact:
        best_clips = np.asarray(d.array("activations/high_clips"))
        whole = bool(named[1][best_clips[best_clips >= 0]].all())  # else lower clips may stand for those without
        key = "over_all_clips" if whole else "over_highest_clips_with_captions"
        writer.notes[key] = [name for name in names if name in exact]


def _top(u: np.ndarray, k: int) -> np.ndarray:
    return top_clips(torch.from_numpy(u), min(k, len(u))).numpy()


def _hears(run: Run) -> bool:
    return run.config.audio_encoder is not None


CLOSED = Stage(
    "closed",
    "Scoring closed concepts",
    ("clips", "activations", "neurons", "texts"),
    closed_parameters,
    closed,
    reads="named",
)
SOUNDS = Stage("sounds", "Hearing clips", ("clips", "texts"), sound_parameters, sounds, wanted=_hears, reads="named")
TAB = Stage(
    "tab",
    "Scoring closed concepts by sound",
    ("clips", "activations", "neurons", "texts", "sounds"),
    tab_parameters,
    tab,
    wanted=_hears,
    reads="named",
)
