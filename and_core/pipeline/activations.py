"""Stage `activations`: one pass of the network over the clips; every linear neuron streamed to Zarr, with traces of its
highest and lowest clips."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.errors import TargetError
from and_core.pipeline import streaming
from and_core.pipeline.forward_pass import (
    BatchSize,
    check_names,
    described_pass,
    extract,
    layer_array,
    reader,
    say_unmatched,
)
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.traces import TraceTaker
from and_core.store.artifacts import layer_artifact
from and_core.store.writer import StageWriter
from and_core.targets.base import pick_device
from and_core.targets.company import check_company
from and_core.targets.precision import choose_precision


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
        **({"statistics": streaming.parameters(run)} if run.streamed else {}),
    }


def compute(run: Run, writer: StageWriter) -> None:
    """Stream activations in chunks of rows; a chunk that is marked is never computed again.

    Of more clips than `activations.stream_beyond`, statistics are made in their place.

    Cost: N R.
    """
    if run.streamed:
        streaming.compute(run, writer)
        return
    config, target, dissection = run.config.activations, run.network, run.dissection
    device = pick_device(config.device)
    layers, total = target.layers(), len(dissection.clips)
    check_names(layers)
    check_company(target, dissection.clips[0].seconds)
    say_unmatched(run, target)
    roots = [
        writer.out / f"layer{number:04d}" for number in range(len(layers))
    ]  # a name of PyTorch's may hold what no file's name can
    arrays = {
        layer.name: layer_array(root, layer, total, config.rows) for root, layer in zip(roots, layers, strict=True)
    }
    read = reader(dissection.audio, target, config.resampler)
    first = target.features([read(clip) for clip in range(min(config.batch, total))])
    precision = choose_precision(target, first, config.precision, device)
    taker = TraceTaker(target, layers, [clip.seconds for clip in dissection.clips]) if config.traces else None
    starts, batch = range(0, total, config.rows), BatchSize(config.batch, run.say)
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
                target, dissection, range(start, stop), batch, run.config.workers, precision, read, taker
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
    writer.notes = described_pass(target, layers, precision, device)


STAGE = Stage("activations", "Running the network", ("clips",), parameters, compute, reads="listed")
