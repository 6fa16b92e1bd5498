"""Stage `steering`: which class every neuron pushes, by gradients, checked by real dials on some neurons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from and_core.audio.media import clip_wave
from and_core.pipeline.stage import Run, Stage
from and_core.query.steering import named_classes
from and_core.steer.agreement import agreement
from and_core.steer.dials import neuron_push, steered_logits
from and_core.steer.pushes import chance, gradients, pushes, steerable
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter
from and_core.targets.base import Target
from and_core.targets.steer import Dial

DIRECTIONS = 1000  # random ones of a layer, that tell what moves nothing
EVERY = "every layer"
HIGH = 95  # percentile of what they move, from which a neuron moves something
UNITS = {"up": "change of the logit by one standard deviation", "down": "change of the logit by one standard deviation"}


def parameters(run: Run) -> dict[str, Any]:
    """Return how many clips and neurons, and the seed."""
    config = run.config.steering
    assert config is not None
    return {**config.model_dump(mode="json"), "seed": run.config.seed, "directions": DIRECTIONS}


def compute(run: Run, writer: StageWriter) -> None:
    """Compute gradients of all classes' logits for all neurons, then turn some neurons for real.

    Cost: some clips, a backward pass for each class, and R for each class.
    """
    d, target = run.dissection, run.network
    config = run.config.steering
    assert config is not None
    classes = d.target_classes or []
    if not classes:
        writer.notes = {"reason": "the network has no classifier, so its neurons push no class"}
        return
    points = steerable(target.hook_points())
    clips = sampled(run, config.clips)
    total = len(clips)
    made, count = gradients(
        target,
        batches(d, target, clips, run.config.activations.batch),
        points,
        lambda done: run.progress("steering", done, total),
    )
    layers = [layer for layer in d.layers if layer.name in made]
    std = d.activation_std
    effect = np.full((d.neuron_count, len(classes)), np.nan, np.float32)
    effective = np.zeros(d.neuron_count, bool)
    for number, layer in enumerate(layers):
        units = slice(layer.offset, layer.offset + layer.size)
        own = pushes(made[layer.name], np.ones(layer.size), target.multi_label)
        effect[units] = own * std[units, None]
        limit = np.percentile(chance(made[layer.name], target.multi_label, DIRECTIONS, run.config.seed + number), HIGH)
        effective[units] = np.abs(own).max(1) > limit
    effect[d.dead] = np.nan
    effective &= ~d.dead & np.isfinite(effect).all(1)
    known = np.isfinite(effect).all(1)
    up, down = (np.where(known, way(np.nan_to_num(effect), axis=1), -1) for way in (np.argmax, np.argmin))
    rows = np.arange(len(effect))
    writer.array("pushes", effect, ["neuron", "class"], "change of the logit by one standard deviation of the neuron")
    columns = {
        "neuron": rows.astype(np.int32),
        "up_class": pa.array([classes[c] if c >= 0 else None for c in up.tolist()], pa.string()),
        "up": pa.array(np.where(known, effect[rows, up], np.nan), from_pandas=True),
        "down_class": pa.array([classes[c] if c >= 0 else None for c in down.tolist()], pa.string()),
        "down": pa.array(np.where(known, effect[rows, down], np.nan), from_pandas=True),
        "effective": effective,
    }
    writer.table("neurons", pa.table(columns), UNITS)
    named = named_classes(d)
    table = []
    checked = check(run, target, clips, {layer.name: effect for layer in layers}, points)
    for layer in layers:
        units = slice(layer.offset, layer.offset + layer.size)
        compared = agreement(named[units], up[units], effective[units])
        table.append(
            {
                "layer": layer.name,
                "neurons": layer.size,
                "move": int(effective[units].sum()),
                **vars(compared),
                "spearman": checked.get(layer.name),
            }
        )
    writer.json("layers", [{k: _or_none(v) for k, v in row.items()} for row in table])
    writer.notes = {
        "clips": count, "classes": len(classes), "neurons": int(known.sum()), "move": int(effective.sum()),
        "left_out": [layer.name for layer in d.layers if layer.name not in made], "seed": run.config.seed,
        "multi_label": bool(target.multi_label), "checked": config.checked,
        "spearman": checked.get(EVERY), "directions": DIRECTIONS,
    }  # fmt: skip


def sampled(run: Run, most: int) -> np.ndarray:
    """Return numbers of clips that are steered on, drawn by the run's seed, in order."""
    clips = np.flatnonzero(run.explained_from)
    return np.sort(np.random.default_rng(run.config.seed).permutation(clips)[:most])


def batches(d: Dissection, target: Target, clips: np.ndarray, size: int) -> Iterator[Any]:
    """Yield network inputs of clips."""
    for start in range(0, len(clips), size):
        yield target.features([clip_wave(d, int(clip), target.sample_rate) for clip in clips[start : start + size]])


def check(
    run: Run, target: Target, clips: np.ndarray, effect: dict[str, np.ndarray], points: dict[str, Any]
) -> dict[str, float]:
    """Return for each layer the rank correlation, over some of its neurons and all classes, of what gradients say with
    what one standard deviation more does."""
    d, config = run.dissection, run.config.steering
    assert config is not None
    rng = np.random.default_rng([run.config.seed, 1])
    drawn: list[tuple[str, int, int]] = []
    for layer in d.layers:
        if layer.name not in effect:
            continue
        alive = np.flatnonzero(np.isfinite(effect[layer.name][layer.offset : layer.offset + layer.size]).all(1))
        drawn += [
            (layer.name, int(unit), layer.offset + int(unit)) for unit in rng.permutation(alive)[: config.checked]
        ]
    if not drawn:
        return {}
    sizes = {layer.name: layer.size for layer in d.layers}
    edits: list[list[Dial]] = [[]]
    edits += [[Dial(name, neuron_push(sizes[name], unit, float(d.activation_std[i])))] for name, unit, i in drawn]
    inputs = batches(d, target, clips, run.config.activations.batch)
    passes = len(edits) * -(-len(clips) // run.config.activations.batch)
    logits = steered_logits(target, inputs, edits, points, lambda n: run.progress("steering check", n, passes))
    real = (logits[1:] - logits[0]).mean(1)
    if not target.multi_label:
        real = real - real.mean(1, keepdims=True)
    result = {EVERY: float(spearmanr(_drawn_effects(effect, drawn).ravel(), real.ravel()).statistic)}
    for name in effect:
        mine = [n for n, (layer, _, _) in enumerate(drawn) if layer == name]
        if mine:
            said = effect[name][[drawn[n][2] for n in mine]]
            result[name] = float(spearmanr(said.ravel(), real[mine].ravel()).statistic)
    return result


def _drawn_effects(effect: dict[str, np.ndarray], drawn: list[tuple[str, int, int]]) -> np.ndarray:
    """Return (n, C) pushes of the neurons that were turned."""
    return np.stack([effect[name][index] for name, _, index in drawn])


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


STAGE = Stage(
    "steering",
    "Finding what neurons push",
    ("clips", "activations", "neurons"),
    parameters,
    compute,
    optional=("class_map", "explanations", "confidence"),
    wanted=lambda run: run.config.steering is not None,
)
