"""The forward pass of the target network over clips: batches of features ahead of it, pooled outputs of every layer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from and_core.audio.decode import resample
from and_core.audio.media import read_flac
from and_core.errors import TargetError, first_line
from and_core.labels.class_map import by_name
from and_core.pipeline.stage import Run
from and_core.pipeline.traces import TraceTaker
from and_core.records import NAME_LENGTH, Layer, is_layer_name
from and_core.store.dissection import Dissection
from and_core.targets.base import Target
from and_core.targets.hooks import Capture
from and_core.targets.pooling import describe_pooling
from and_core.targets.precision import autocast

UNIT_CHUNK = 64  # neurons an inner chunk: one neuron of one chunk of rows is then a read of 64 KiB
UNMATCHED_NAMED = 5  # labels without a class that are named
AHEAD = 2  # batches decoded while the network works
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")  # in PyTorch's own words


class BatchSize:
    """Clips a batch: as configured, until one does not fit into memory.

    Parameters
    ----------
    clips : int
    say : callable
        Takes a remark.
    """

    def __init__(self, clips: int, say: Callable[[str], None]) -> None:
        self.clips, self.say = clips, say

    def halve(self, error: BaseException, size: int, target: Target) -> None:
        """Halve the batch that did not fit, for good; raise what is no lack of memory.

        Raises
        ------
        TargetError
            The batch was of one clip.
        """
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(
            words in str(error).lower() for words in NO_MEMORY
        ):
            raise error
        if size == 1:
            raise TargetError(
                f"one clip does not fit into the memory of {target.device} with {target.describe()}: "
                f"{first_line(error)}"
            ) from error
        self.clips = size // 2
        if target.device.startswith("cuda"):
            torch.cuda.empty_cache()
        self.say(f"activations.batch: {size} clips do not fit into memory; the run goes on with {self.clips} a batch")


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


def reader(sound: Callable[[int], bytes], target: Target, resampler: str = "soxr") -> Callable[[int], np.ndarray]:
    """Return a function that gives a clip's waveform (samples,) at the target's rate, from what gives its FLAC."""
    if resampler == "soxr":
        return lambda clip: resample(*read_flac(sound(clip)), target.sample_rate)
    from and_core.audio.torchaudio_bridge import require_torchaudio, torchaudio_resample

    require_torchaudio(f"activations.resampler={resampler!r}")
    return lambda clip: torchaudio_resample(*read_flac(sound(clip)), target.sample_rate, target.device)


def extract(
    target: Target,
    dissection: Dissection,
    clips: range,
    batch: BatchSize,
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

    Raises
    ------
    TargetError
        A layer is silent, or one clip alone does not fit into memory.
    """
    read = read or reader(dissection.audio, target)
    size = batch.clips
    starts = list(range(clips.start, clips.stop, size))

    def prepare(start: int, stop: int) -> Any:
        return target.features([read(clip) for clip in range(start, stop)])

    def ahead(start: int) -> Future[Any]:
        return pool.submit(prepare, start, min(start + size, clips.stop))

    points = target.hook_points()
    last = None if "fc" in points else list(points)[-1]
    watch = None if taker is None else taker.watch
    with ThreadPoolExecutor(max(1, workers - 1)) as pool, Capture(points, target.pool, last, watch) as capture:
        waiting = [ahead(start) for start in starts[:AHEAD]]
        for number, start in enumerate(starts):
            features, stop = waiting.pop(0).result(), min(start + size, clips.stop)
            if number + AHEAD < len(starts):
                waiting.append(ahead(starts[number + AHEAD]))
            at = start
            while at < stop:
                end = min(at + batch.clips, stop)
                part = features if (at, end) == (start, stop) else prepare(at, end)
                if taker is not None:
                    taker.first = at
                try:
                    with autocast(precision, target.device):
                        capture.run(lambda: target.forward(part))  # noqa: B023 - called at once
                except (MemoryError, RuntimeError) as error:
                    batch.halve(error, end - at, target)
                    continue
                _check_outputs(capture.outputs, points, end - at)
                yield at, {name: value.numpy() for name, value in capture.outputs.items()}
                at = end


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


def layer_array(path: Path, layer: Layer, clips: int, rows: int) -> Any:
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


def described_pass(target: Target, layers: Sequence[Layer], precision: str, device: str) -> dict[str, Any]:
    """Return what the stage notes of the network and how it was read."""
    settings: Any = target.settings
    return {
        "target": target.describe(),
        "checkpoint": target.fingerprint()[:16],
        "pooling": describe_pooling(settings.pooling, target.default_pooling),
        **({"multi_label": True} if target.multi_label and target.classes else {}),
        "precision": precision,
        "device": device.split(":")[0],
        "trained_folds": list(settings.trained_folds),
        "neurons": sum(layer.size for layer in layers),
    }
