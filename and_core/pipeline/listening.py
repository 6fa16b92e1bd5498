"""Stage `listening`: a dictionary of sounds, an interpreter of the network's decisions, how faithful it is, and which
neurons it can explain."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from and_core.audio.media import clip_wave
from and_core.config import ListeningConfig
from and_core.data import bundled
from and_core.errors import ArtifactError, ConfigError, TargetError
from and_core.labels.truth import class_truth
from and_core.listen import faithfulness
from and_core.listen.explained_variance import explained_variance
from and_core.listen.listener import Listener, load_listener
from and_core.listen.maps import MapReader, choose_maps
from and_core.listen.stft import Stft
from and_core.listen.training import train_by_design, train_post_hoc
from and_core.listen.training_data import ClipSplit, TrainingData, split_clips
from and_core.pipeline.stage import Run, Stage
from and_core.store.files import sha256_file
from and_core.store.writer import StageWriter
from and_core.targets.base import Target
from and_core.unlearn.measure import accuracy

POST_HOC, BY_DESIGN = "post-hoc", "by-design"
RECIPE = "recipe.json"  # beside trained listeners: how they were trained
MOST_BYTES = 1 << 30  # of waveforms in memory; beyond, clips are drawn
SCREENED = 400  # clips that the regression over neurons is fitted on


def _folder(config: ListeningConfig) -> Path | None:
    return (
        None
        if config.weights is None
        else bundled("weights/listening")
        if config.weights == "demo"
        else Path(config.weights)
    )


def _parameters(run: Run) -> dict[str, Any]:
    config = run.config.listening
    assert config is not None
    folder = _folder(config)
    parameters = {**config.model_dump(mode="json", exclude={"weights"}), "seed": run.config.seed}
    if folder is not None:
        files = [folder / part / "listener.safetensors" for part in (POST_HOC, BY_DESIGN)]
        if not files[0].exists():
            raise ConfigError(f"listening.weights={config.weights!r} holds no {POST_HOC}/listener.safetensors")
        parameters["weights"] = [sha256_file(f) for f in files if f.exists()]
    return parameters


def _samples(run: Run, target: Target, seconds: float) -> int:
    return max(1, round(min(max(c.seconds for c in run.dissection.clips), seconds) * target.sample_rate))


def clip_rows(run: Run, target: Target, seconds: float) -> np.ndarray:
    """Return (n,) clips whose waveforms fit in memory."""
    rows = np.arange(len(run.dissection.clips))
    most = max(1, MOST_BYTES // (4 * _samples(run, target, seconds)))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(run.config.seed).permutation(rows)[:most])
    return rows


def clip_split(run: Run, rows: np.ndarray, config: ListeningConfig) -> ClipSplit:
    """Return which of some clips a listener learns from, is chosen by, and is measured on; positions among them.

    Raises
    ------
    ConfigError
        The folds leave too few.
    """
    clips = [run.dissection.clips[i] for i in rows]
    try:
        return split_clips(
            [c.fold for c in clips],
            [c.source for c in clips],
            run.dissection.notes("activations").get("trained_folds", ()),
            config.validation_fold,
            config.test_folds,
            run.config.seed,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


def tested_clips(test: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return at most so many of the clips that nothing is learned on, in their order."""
    return np.sort(np.random.default_rng([seed, 5]).permutation(test)[:most])


def clip_waves(run: Run, target: Target, rows: np.ndarray, seconds: float) -> np.ndarray:
    """Return waveforms (n, samples) of clips, of one length."""
    d, samples = run.dissection, _samples(run, target, seconds)
    waves = np.zeros((len(rows), samples), np.float32)
    for i, clip in enumerate(rows):
        wave = clip_wave(d, int(clip), target.sample_rate)[:samples]
        waves[i, : len(wave)] = wave
        if i % 50 == 0:
            run.progress("listening: clips", i + 1, len(rows))
    return waves


def _compute(run: Run, writer: StageWriter) -> None:
    """Train listeners or read trained ones, measure how faithful they are, and which neurons components explain.

    Cost: N up to 1 GB of waveforms; beyond, as many clips as that holds, drawn; for the neurons R and 400 clips.
    """
    config = run.config.listening
    assert config is not None
    target, d = run.network, run.dissection
    if target.classes is None:
        raise TargetError(
            f"{target.describe()} has no classifier with named classes, so there are no decisions to listen to"
        )
    rows = clip_rows(run, target, config.seconds)
    waves = clip_waves(run, target, rows, config.seconds)
    truth = class_truth(d)[rows]
    if target.multi_label:
        config = config.model_copy(update={"multi_label": True})
    split = clip_split(run, rows, config)
    listeners, report = _listeners(
        run,
        target,
        TrainingData(
            waves, truth, MapReader(target, choose_maps(target, config.maps)), Stft.for_rate(target.sample_rate)
        ),
        split,
        config,
        writer,
    )
    tested = tested_clips(split.test, config.measured, run.config.seed)
    report["measured"] = measured = {}
    for done, (name, listener) in enumerate(listeners.items()):
        run.progress("listening: measuring", done, len(listeners))
        measured[name] = _measure(listener, waves[tested], truth[tested], config, run.config.seed)
    run.progress("listening: measuring", len(listeners), len(listeners))
    first = listeners[POST_HOC]
    fitted = np.random.default_rng(run.config.seed).permutation(np.concatenate([split.train, split.validation]))[
        :SCREENED
    ]
    explained = explained_variance(
        target,
        waves,
        np.sort(fitted),
        tested,
        first.w,
        first.stft,
        lambda done, total: run.progress("listening: screening neurons", done, total),
    )
    writer.array("explained", explained, ["neuron"], "held-out R²")
    writer.array("dictionary", first.w, ["frequency", "component"], "unit length")
    checkpoint = target.fingerprint()[:16]
    for name, listener in listeners.items():
        listener.save(writer.out / name, {"checkpoint": checkpoint})
        writer.files(
            name,
            "weights",
            [writer.out / name / f for f in ("listener.json", "listener.safetensors")],
            [],
            "float16",
            [],
        )
    report |= {
        "clips": {"learned": len(split.train), "chosen": len(split.validation), "measured": len(tested)},
        "published": list(faithfulness.PUBLISHED),
        "tau": config.tau,
    }
    writer.json("report", json.loads(json.dumps(report, default=_number).replace("NaN", "null")))
    writer.notes = {
        "checkpoint": checkpoint,
        "components": int(first.w.shape[1]),
        "by_design": BY_DESIGN in listeners,
        "decoder": first.decoder is not None,
        "seconds": waves.shape[1] / target.sample_rate,
        "weights": "trained here" if config.weights is None else "shipped" if config.weights == "demo" else "given",
    }


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _listeners(
    run: Run, target: Target, data: TrainingData, split: ClipSplit, config: ListeningConfig, writer: StageWriter
) -> tuple[dict[str, Listener], dict[str, Any]]:
    """Return listeners, trained now, going on where a stopped run was; or read from where they were trained."""
    seed, folder = run.config.seed, _folder(config)
    if folder is not None:
        listeners = {POST_HOC: load_listener(folder / POST_HOC, target)}
        if (folder / BY_DESIGN / "listener.safetensors").exists():
            listeners[BY_DESIGN] = load_listener(folder / BY_DESIGN, copy.deepcopy(target))
        if any(listener.samples != data.waves.shape[1] for listener in listeners.values()):
            raise ArtifactError(
                f"listening.weights: they listen to {listeners[POST_HOC].samples} samples, the clips here have "
                f"{data.waves.shape[1]}"
            )
        try:
            return listeners, {"training": json.loads((folder / RECIPE).read_text(encoding="utf-8"))["training"]}
        except (OSError, ValueError, KeyError, TypeError):  # a folder of listeners alone will do
            return listeners, {"training": {}}
    return train_all(target, data, split, config, writer.partial / "work", seed, run.progress)


def train_all(
    target: Target, data: TrainingData, split: ClipSplit, config: ListeningConfig, work: Path, seed: int, progress: Any
) -> tuple[dict[str, Listener], dict[str, Any]]:
    """Return everything that the configuration asks for; the target itself stays as it is."""
    try:
        listener, about = train_post_hoc(target, data, split, config, work, seed, progress)
    except ValueError as error:
        raise ConfigError(f"listening.{error}") from None
    listeners, training = {POST_HOC: listener}, {POST_HOC: about}
    if config.by_design:
        known = np.asarray(data.truth.any(1))
        train, validation = (part[known[part]] for part in (split.train, split.validation))
        of_class = replace(split, train=train, validation=validation)
        if not len(of_class.train) or not len(of_class.validation):
            raise TargetError("listening.by_design needs clips of the network's classes to learn from and to choose by")
        own = copy.deepcopy(target)
        listeners[BY_DESIGN], training[BY_DESIGN] = train_by_design(
            own, data, of_class, config, listener.w, work, seed, progress
        )
        training[BY_DESIGN]["clips"] = len(of_class.train)
    return listeners, {"training": training}


def _measure(
    listener: Listener, waves: np.ndarray, truth: np.ndarray, config: ListeningConfig, seed: int
) -> dict[str, Any]:
    tau = config.tau[0]
    classes = int(listener.interpreter.theta.shape[0])
    ways: dict[str, faithfulness.Masks] = {
        "L2I": faithfulness.relevant_masks(listener, tau),
        "energy-matched components": faithfulness.energy_matched(listener, tau, seed),
        **({"wrong class": faithfulness.wrong_class(listener, tau, classes, seed)} if classes > 1 else {}),
        "randomised weights": faithfulness.randomised(listener, tau, seed),
        "all-ones mask": faithfulness.all_ones(listener),
    }
    measures: dict[str, Any] = {
        "field": [{"method": name, **faithfulness.judge(listener, waves, masks)} for name, masks in ways.items()]
    }
    if listener.decoder is not None:
        measures["field"].append(
            {
                "method": "mask decoder (L-MAC)",
                **faithfulness.judge(listener, waves, lambda batch, c: listener.decoded(batch), linear=True),
            }
        )
    measures |= {
        "thresholds": faithfulness.by_threshold(listener, waves, config.tau),
        "falls": faithfulness.drops_when_removed(listener, waves, tau),
    }
    if not listener.by_design:  # a network by design has no other head to agree with
        measures["fidelity"] = faithfulness.fidelity_of(listener, waves, config.multi_label)
    known = truth.any(1)
    if known.any():
        measures["accuracy"] = accuracy(listener.predict(waves[known]), truth[known], config.multi_label) / 100
        if not (truth[known] @ truth[known].T).all():
            measures["corruptions"] = faithfulness.corruptions(listener, waves[known], truth[known], tau, seed)
    return measures


STAGE = Stage(
    "listening",
    "Listening to decisions",
    ("clips", "activations"),
    _parameters,
    _compute,
    optional=("class_map", "labels"),
    wanted=lambda run: run.config.listening is not None,
)
