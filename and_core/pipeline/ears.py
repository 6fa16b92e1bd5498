"""The pairs of ears of a run: what they make of its clips, and the collections on which they were measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from and_core.config import RunConfig
from and_core.data import bundled
from and_core.errors import ConfigError
from and_core.evaluate.ears import EARS
from and_core.evaluate.reliability import Home, Measured, load, measured
from and_core.names import readable
from and_core.pipeline.stage import Run
from and_core.progress import Progress
from and_core.store.dissection import Dissection
from and_core.unlearn.selection import hidden

BUNDLED = "ears"
TWINS = 1500  # neurons whose twins are looked at on a home


def identities(run: Run) -> dict[str, str]:
    """Return what each pair of ears is, as a short fingerprint: captioner and text encoder; text-audio encoder."""
    reader = run.closed_encoder or run.encoder
    parts: dict[str, Any] = {
        "captions": [
            run.captioner.identifying_settings(), run.captioner.fingerprint(), reader.identifying_settings(),
            reader.fingerprint(),
        ]
    }  # fmt: skip
    if run.audio_encoder is not None:
        parts["sounds"] = [run.audio_encoder.identifying_settings(), run.audio_encoder.fingerprint()]
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()[:16]
        for name, part in parts.items()
    }


def homes(run: Run) -> dict[str, Home]:
    """Return for each pair of ears the collection on which it was measured: that of `scores.ears`, else a bundled one.

    A run reads them once.

    Raises
    ------
    ConfigError
        `scores.ears` can't be read, or was made with other ears than this run has.
    """
    return dict(run.once("homes", lambda: _homes(run)))


def _homes(run: Run) -> dict[str, Home]:
    known, made = identities(run), dict[str, Home]()
    for path in sorted(bundled(BUNDLED).glob("*.safetensors")):
        home = load(path)
        made |= {name: home for name in EARS if home.about["ears"].get(name) == known.get(name, "")}
    asked = run.config.scores.ears if run.config.scores is not None else "bundled"
    if asked != "bundled":
        home = load(Path(asked))
        own = [name for name in EARS if name in known and home.about["ears"].get(name) == known[name]]
        if not own:
            raise ConfigError(
                f"scores.ears={asked!r} was measured on {home.about.get('home')} with other ears than these "
                f"({home.about.get('described')}); measure these: and-dissect ears CONFIG.yaml"
            )
        made |= {name: home for name in own}
    return made


def concept_vectors(d: Dissection, ears: str) -> np.ndarray:
    """Return (M, D) vectors of the concept set by a pair of ears."""
    if ears == "sounds":
        return np.asarray(d.array("sounds/concept_embeddings"))
    kind = "closed_" if "texts/closed_concept_embeddings" in d.manifest.artifacts else ""
    return np.asarray(d.array(f"texts/{kind}concept_embeddings"))


def clip_vectors(d: Dissection, ears: str) -> np.ndarray:
    """Return (N, D) vectors of the clips by a pair of ears."""
    if ears == "sounds":
        return np.asarray(d.array("sounds/clip_embeddings"))
    kind = "closed_" if "texts/closed_caption_embeddings" in d.manifest.artifacts else ""
    return np.asarray(d.array(f"texts/{kind}caption_embeddings"))


def concept_scores(d: Dissection, ears: str) -> np.ndarray:
    """Return (N, M) cosines of clips and concepts by a pair of ears."""
    return clip_vectors(d, ears) @ concept_vectors(d, ears).T


@dataclass(frozen=True)
class MeasuredEars:
    """The pair of ears that is trusted most: its name, its home, and what the home says for this concept set."""

    name: str
    home: Home
    measured: Measured


def measured_ears(run: Run) -> MeasuredEars | None:
    """Return of the measured pairs of ears the one that takes most clips of its home for what they are; None where none
    was measured on labels that the concept set has."""
    d = run.dissection
    there = {name: home for name, home in homes(run).items() if name != "sounds" or d.has("sounds")}
    if not there:
        return None
    clips = np.flatnonzero(run.explained_from)
    best: MeasuredEars | None = None
    u = some_neurons(run)[:, clips]
    for name, home in there.items():
        here = (clip_vectors(d, name)[clips], u)
        result = measured(home, name, concept_vectors(d, name), d.concept_set, run.config.seed, here)
        if result is not None and (best is None or result.right > best.measured.right):
            best = MeasuredEars(name, home, result)
    return best


def some_neurons(run: Run) -> np.ndarray:
    """Return (R, N) float32 activations of at most :data:`TWINS` hidden neurons, drawn alike from every layer."""
    d, rng = run.dissection, np.random.default_rng(run.config.seed)
    read = hidden(d.layers) or d.layers
    each = max(1, TWINS // len(read))
    parts = [
        np.asarray(d.layer_activations(layer.name), np.float32)[:, np.sort(rng.permutation(layer.size)[:each])].T
        for layer in read
    ]
    return np.concatenate(parts)


def home_of(run: Run, only: str | None = None) -> Home:
    """Return what the ears of a run heard of its labelled collection, to be kept as their home.

    Raises
    ------
    ConfigError
        The clips have no labels, or `only` names a pair of ears that the run does not have.
    """
    from and_core.pipeline.neurons import source_numbers

    d = run.dissection
    clips = np.flatnonzero(d.captioned & d.label_mask.any(1)) if len(d.classes) else np.zeros(0, int)
    if len(d.classes) < 2 or not len(clips):
        raise ConfigError(
            f"dataset: {run.dataset.describe()} has no labels, so how reliable ears are can't be measured on it"
        )
    there = [name for name in EARS if name == "captions" or d.has("sounds")]
    names = [name for name in there if only in (None, name)]
    if not names:
        raise ConfigError(f"only={only!r}: this configuration has {' and '.join(there)} alone; give an audio_encoder")
    reader = (run.closed_encoder or run.encoder).describe()
    described = {"captions": f"{run.captioner.describe()}, read by {reader}"}
    if run.audio_encoder is not None:
        described["sounds"] = run.audio_encoder.describe()
    own = identities(run)
    about = {
        "home": run.dataset.describe(), "data": run.dataset_fingerprint, "ears": {name: own[name] for name in names},
        "described": {name: described[name] for name in names}, "clips": len(clips),
        "recordings": len(np.unique(source_numbers(d)[clips])),
    }  # fmt: skip
    vectors = {name: clip_vectors(d, name)[clips] for name in names}
    return Home(vectors, d.label_mask[clips], list(d.classes), source_numbers(d)[clips], about)


def measure(
    config: RunConfig, root: Path | None = None, only: str | None = None, progress: Progress | None = None
) -> tuple[Home, dict[str, Measured]]:
    """Let the ears of a configuration hear its labelled clips, both pairs or one alone; its network is not run.

    Returns
    -------
    home : Home
    results : dict of str to Measured
        By pair of ears, for the configuration's concept set.

    Raises
    ------
    ConfigError
        The clips have no labels, or fewer than two of them are in the concept set.
    """
    from and_core.pipeline.run import run as run_stages
    from and_core.store.files import cache_root

    root = root or cache_root()
    run_stages(config, root=root, only=("clips", "captions", "texts", "sounds"), progress=progress)
    own = Run(config, root / config.name)
    home = home_of(own, only)
    vectors = {name: concept_vectors(own.dissection, name) for name in home.vectors}
    concepts = own.dissection.concept_set
    results = {
        name: result
        for name in home.vectors
        if (result := measured(home, name, vectors[name], concepts, config.seed)) is not None
    }
    if not results:
        raise ConfigError(
            f"closed.concepts={config.closed.concepts!r} names fewer than two of the labels with enough clips; give a "
            f"concept set with these: {', '.join(home.labels[:8])}"
        )
    return home, results


def spoken_concepts(run: Run) -> list[str]:
    """Return the concepts as they are encoded."""
    return [run.config.closed.template.replace("{}", readable(c)) for c in run.dissection.document("texts/concepts")]
