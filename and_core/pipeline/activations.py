"""Stage `activations`: one pass of the network over the clips; every linear neuron streamed to Zarr, with traces of its
highest and lowest clips."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from and_core.audio.media import clip_wave, read_flac
from and_core.errors import TargetError
from and_core.labels.class_map import by_name
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.traces import TraceTaker
from and_core.records import NAME_LENGTH, Layer, is_layer_name
from and_core.store.artifacts import layer_artifact
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter
from and_core.targets.base import Target, pick_device
from and_core.targets.company import check_company
from and_core.targets.hooks import Capture
from and_core.targets.pooling import describe_pooling
from and_core.targets.precision import autocast, choose_precision

UNIT_CHUNK = 64  # neurons an inner chunk: one neuron of one chunk of rows is then a read of 64 KiB
UNMATCHED_NAMED = 5  # labels without a class that are named
AHEAD = 2  # batches decoded while the network works


def parameters(run: Run) -> dict[str, Any]:
    """Return the network, and how it is read."""
    a = run.config.activations
    return {
        "target": run.target.identifying_settings(),
        "fingerprint": run.target.fingerprint(),
        "batch": a.batch,
        "rows": a.rows,
        "precision": a.precision,
        **({} if a.resampler == "soxr" else {"resampler": a.resampler}),
        **({} if a.traces else {"traces": False}),
    }


def compute(run: Run, writer: StageWriter) -> None:
    """Stream activations in chunks of rows; a chunk that is marked is never computed again.

    Cost: N R.
    """
    config, target, dissection = run.config.activations, run.network, run.dissection
    device = pick_device(config.device)
    layers, total = target.layers(), len(dissection.clips)
    check_names(layers)
    check_company(target, dissection.clips[0].seconds)
    say_unmatched(run, target)
    roots = [
        writer.out / f"layer{number:04d}" for number in range(len(layers))
    ]  # a name of PyTorch's may hold what no file's name can
    arrays = {layer.name: _array(root, layer, total, config.rows) for root, layer in zip(roots, layers, strict=True)}
    read = reader(dissection, target, config.resampler)
    first = target.features([read(clip) for clip in range(min(config.batch, total))])
    precision = choose_precision(target, first, config.precision, device)
    taker = TraceTaker(target, layers, [clip.seconds for clip in dissection.clips]) if config.traces else None
    starts = range(0, total, config.rows)
    for number, start in enumerate(starts):
        stop = min(start + config.rows, total)
        brought = writer.chunks / f"{number:06d}.npz"  # traces of the chunk; gone when the stage is finished
        if writer.done(number) and (taker is None or brought.exists()):
            if taker is not None:
                taker.restore(brought)
        else:
            for path in (path for root in roots for path in (root / "c" / str(number)).glob("*")):
                path.unlink()  # what a killed run has left would be read
            rows = {layer.name: np.empty((stop - start, layer.size), np.float32) for layer in layers}
            for at, outputs in extract(
                target, dissection, range(start, stop), config.batch, run.config.workers, precision, read, taker
            ):
                for name, values in outputs.items():
                    rows[name][at - start : at - start + len(values)] = values
                run.progress("activations", min(at + config.batch, total), total)
            for name, values in rows.items():
                if not np.isfinite(values).all():
                    raise TargetError(
                        f"layer {name} of {target.describe()} gives NaN or infinite values on clips {start} to "
                        f"{stop - 1}"
                    )
                arrays[name][start:stop] = values
            if taker is not None:
                taker.save(brought, start)
            written = [path for root in roots for path in sorted((root / "c" / str(number)).glob("*"))]
            writer.mark(number, written if taker is None else [*written, brought])
        run.progress("activations", stop, total)
    writer.json("layers", [layer.model_dump() for layer in layers])
    writer.json("classes", target.classes)
    if taker is not None:
        taker.write(writer, layers)
    for root, layer in zip(roots, layers, strict=True):
        for orphan in root.rglob("*.partial"):  # of a write that was killed; the chunk was written again
            orphan.unlink()
        paths = sorted(p for p in root.rglob("*") if p.is_file())
        writer.files(
            layer_artifact(layer.name),
            "zarr",
            paths,
            [total, layer.size],
            "float32",
            ["clip", "neuron"],
            "the target's own",
        )
    settings: Any = target.settings
    writer.notes = {
        "target": target.describe(),
        "checkpoint": target.fingerprint()[:16],
        "pooling": describe_pooling(settings.pooling, target.default_pooling),
        **({"multi_label": True} if target.multi_label and target.classes else {}),
        "precision": precision,
        "device": device.split(":")[0],
        "trained_folds": list(settings.trained_folds),
        "neurons": sum(x.size for x in layers),
    }


def check_names(layers: list[Layer]) -> None:
    """Raise before the pass where a layer's name can't be stored or told from another's.

    Raises
    ------
    TargetError
        A name is too long, can't be printed, or occurs twice.
    """
    names = [layer.name for layer in layers]
    for name in names:
        if not is_layer_name(name):
            raise TargetError(
                f"layer {name[:200]!r} can't be stored: names of 1 to {NAME_LENGTH} printable characters can; leave it "
                "out with target.layers"
            )
        if names.count(name) > 1:
            raise TargetError(f"two layers are called {name!r}; leave them out with target.layers")


def say_unmatched(run: Run, target: Target) -> None:
    """Say which labels are called like no class of the network, where no class map says what they are."""
    labels = run.dissection.classes
    if run.config.class_map is not None or not target.classes or not labels:
        return
    known = {label for _, label in by_name(target.classes, labels).pairs}
    alone = [label for label in labels if label not in known]
    if alone:
        more = ", ..." if len(alone) > UNMATCHED_NAMED else ""
        run.say(
            f"{len(alone)} of {len(labels)} labels are called like no class of the network: "
            f"{', '.join(alone[:UNMATCHED_NAMED])}{more}; and-dissect classes CONFIG.yaml proposes a class map"
        )


def reader(dissection: Dissection, target: Target, resampler: str = "soxr") -> Callable[[int], np.ndarray]:
    """Return a function that gives a clip's waveform (samples,) at the target's rate."""
    if resampler == "soxr":
        return lambda clip: clip_wave(dissection, clip, target.sample_rate)
    from and_core.audio.torchaudio_bridge import require_torchaudio, torchaudio_resample

    require_torchaudio(f"activations.resampler={resampler!r}")
    return lambda clip: torchaudio_resample(*read_flac(dissection.audio(clip)), target.sample_rate, target.device)


def extract(
    target: Target,
    dissection: Dissection,
    clips: range,
    batch: int,
    workers: int,
    precision: str = "float32",
    read: Callable[[int], np.ndarray] | None = None,
    taker: TraceTaker | None = None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield pooled layer outputs batch by batch; clips are decoded and turned into features by threads meanwhile.

    Yields
    ------
    start : int
        Index of the batch's first clip.
    outputs : dict of str to (B, R) float32
        Layer name -> activations.
    """
    read = read or reader(dissection, target)
    starts = list(range(clips.start, clips.stop, batch))

    def prepare(start: int) -> Any:
        return target.features([read(clip) for clip in range(start, min(start + batch, clips.stop))])

    points = target.hook_points()
    last = None if "fc" in points else list(points)[-1]
    watch = None if taker is None else taker.watch
    with ThreadPoolExecutor(max(1, workers - 1)) as pool, Capture(points, target.pool, last, watch) as capture:
        waiting: list[Future[Any]] = [pool.submit(prepare, start) for start in starts[:AHEAD]]
        for number, start in enumerate(starts):
            features = waiting.pop(0).result()
            if number + AHEAD < len(starts):
                waiting.append(pool.submit(prepare, starts[number + AHEAD]))
            if taker is not None:
                taker.first = start
            with autocast(precision, target.device):
                capture.run(lambda: target.forward(features))  # noqa: B023 - called at once
            _check_outputs(capture.outputs, points, min(batch, clips.stop - start))
            yield start, {name: value.numpy() for name, value in capture.outputs.items()}


def _check_outputs(outputs: dict[str, Any], points: dict[str, Any], clips: int) -> None:
    """Check that every chosen layer has spoken once for every clip."""
    silent = [name for name in points if name not in outputs]
    if silent:
        raise TargetError(f"these layers never run: {', '.join(silent[:8])}; leave them out with target.layers")
    for name, values in outputs.items():
        if len(values) != clips:
            raise TargetError(
                f"layer {name} gives {len(values)} rows for {clips} clips; leave it out with target.layers"
            )


def _array(path: Path, layer: Layer, clips: int, rows: int) -> Any:
    """Return zarr array of one layer: a file per chunk of rows, inside it small chunks of neurons.

    No compression (floats barely shrink).
    """
    try:
        return zarr.open_array(str(path), mode="r+")
    except (FileNotFoundError, ValueError):  # not begun, or killed while its description was being written
        shutil.rmtree(path, ignore_errors=True)
    inner = min(UNIT_CHUNK, layer.size)
    return zarr.create_array(
        str(path),
        shape=(clips, layer.size),
        dtype="float32",
        chunks=(min(rows, clips), inner),
        shards=(min(rows, clips), -(-layer.size // inner) * inner),
        compressors=None,
        fill_value=0,
        dimension_names=["clip", "neuron"],
    )


STAGE = Stage("activations", "Running the network", ("clips",), parameters, compute)
