"""Stage `tuning`: a battery of stimuli passes through the network once, and statistics of what every neuron answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr

from and_core.errors import TargetError
from and_core.pipeline.forward_pass import layer_array
from and_core.pipeline.neurons import blocks
from and_core.pipeline.stage import Run, Stage
from and_core.pipeline.tuning_fields import write_fields
from and_core.records import Layer
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter
from and_core.targets.base import Target
from and_core.tuning.battery import battery, stimulus_table
from and_core.tuning.design import Design
from and_core.tuning.passes import front_end, passes
from and_core.tuning.presentation import Presentation, presentation
from and_core.tuning.selectivity import corrected
from and_core.tuning.statistics import FAMILIES, RELIABLE, Q, Reference, block_statistics, tuned

ROWS = 256  # presentations a chunk on disk; a killed run goes on at such a boundary
BLOCK = 512  # neurons whose statistics are computed at once
HIGH = 95  # percentile of the probing set that a stimulus may reach
UNITS = {
    "best_frequency": "Hz",
    "bandwidth": "octaves at half of the peak",
    "characteristic_level": "dB re the RMS of a sine of full scale",
    "level_slope": "standard deviations for 10 dB",
    "best_rate": "Hz",
    "carrier": "Hz, NaN for noise",
    "best_speed": "octaves a second",
    "ripple_rate": "Hz, positive for rising",
    "ripple_density": "cycles an octave",
    "best_repetition": "clicks a second",
    "best_duration": "seconds",
    "field_r2": "share of the variance on clips that were not fitted",
    "field_low": "lower end of its interval",
    "strongest_response": "standard deviations over the probing set",
}


def parameters(run: Run) -> dict[str, Any]:
    """Return the battery's settings and the seed of phases, noise and permutations."""
    config = run.config.tuning
    assert config is not None
    return {**config.model_dump(mode="json"), "seed": run.config.seed}


def compute(run: Run, writer: StageWriter) -> None:
    """Pass the battery through the network, then read the responses in blocks of neurons.

    Cost: S R.
    """
    config, d, target = run.config.tuning, run.dissection, run.network
    assert config is not None
    how = presentation(target, config, float(np.median([clip.seconds for clip in d.clips])))
    stimuli = battery(config, target.sample_rate, how.seconds)
    table = stimulus_table(stimuli, config, run.config.seed)
    batches = play(run, writer, target, how, table)
    design = Design(table)
    columns = statistics(run, writer, batches, design)
    fields, fitted = write_fields(run, writer, how, table)
    columns |= fields
    writer.table("stimuli", table, {"frequency": "Hz", "level": "dB re the RMS of a sine of full scale"})
    writer.table("neurons", pa.table({name: _column(values) for name, values in columns.items()}), UNITS)
    writer.notes = {
        "stimuli": design.conditions,
        "presentations": table.num_rows,
        "repeats": config.repeats,
        "rate": target.sample_rate,
        "seconds": how.seconds,
        "length": how.length,
        "fill": how.fill,
        "level_removed": how.level_removed,
        "presentation": how.sentence(),
        "seed": run.config.seed,
        "reliable": RELIABLE,
        "q": Q,
        "neurons": int(columns["responds"].sum()),
        "tuned": int(columns["tuned"].sum()),
        "tuned_to": {name: int(columns[f"tuned_to_{name}"].sum()) for name in FAMILIES},
        **fitted,
        "reach": float(columns["reaches"][columns["responds"]].mean()) if columns["responds"].any() else 0.0,
    }


def play(run: Run, writer: StageWriter, target: Target, how: Presentation, table: pa.Table) -> Path:
    """Stream the pooled activations of every presentation to Zarr; return where they lie.

    Raises
    ------
    TargetError
        A layer gives another number of values than the dissection has neurons.
    """
    layers, total = run.dissection.layers, table.num_rows
    size = sum(layer.size for layer in layers)
    path = writer.out / "responses"
    array = layer_array(path, Layer(name="all", kind="other", block=None, size=size, offset=0), total, ROWS)
    precision = run.dissection.notes("activations").get("precision", "float32")
    batch = run.config.activations.batch
    features = front_end(target, how, table)
    for number, start in enumerate(range(0, total, ROWS)):
        stop = min(start + ROWS, total)
        if not writer.done(number):
            for left in (path / "c" / str(number)).glob("*"):
                left.unlink()  # what a killed run has left would be read
            values = np.empty((stop - start, size), np.float32)
            for rows, outputs in passes(target, features, range(start, stop), batch, run.config.workers, precision):
                for layer in layers:
                    made = outputs[layer.name]
                    if made.shape != (len(rows), layer.size):
                        raise TargetError(
                            f"layer {layer.name} gives {made.shape} for {len(rows)} stimuli; the dissection has "
                            f"{layer.size} neurons of it"
                        )
                    values[rows.start - start : rows.stop - start, layer.offset : layer.offset + layer.size] = made
                run.progress("tuning", rows.stop, total)
            array[start:stop] = values
            writer.mark(number, sorted((path / "c" / str(number)).glob("*")))
        run.progress("tuning", stop, total)
    for orphan in path.rglob("*.partial"):  # of a write that was killed; the chunk was written again
        orphan.unlink()
    files = sorted(p for p in path.rglob("*") if p.is_file())
    writer.files("responses", "zarr", files, [total, size], "float32", ["presentation", "neuron"], "the target's own")
    return path


def statistics(run: Run, writer: StageWriter, path: Path, design: Design) -> dict[str, np.ndarray]:
    """Return columns (R,) of statistics of all neurons, computed block by block; finished blocks stay on disk."""
    d, config = run.dissection, run.config.tuning
    assert config is not None
    array = zarr.open_array(str(path), mode="r")
    parts = blocks(d, BLOCK)
    begun = -(-len(design.condition) // ROWS)  # marks of the pass come before

    def block(name: str, units: slice) -> dict[str, np.ndarray]:
        offset = d.layer(name).offset
        raw = np.asarray(array[:, offset + units.start : offset + units.stop])
        return block_statistics(raw, design, reference(d, name, units, config.permutations, run.config.seed))

    made = []
    for number, (name, units) in enumerate(parts):
        kept = writer.chunks / f"{begun + number:06d}.npz"
        if not writer.done(begun + number):
            with open(kept, "wb") as handle:
                np.savez(handle, **block(name, units))  # type: ignore[arg-type]
            writer.mark(begun + number, [kept])
        with np.load(kept, allow_pickle=False) as loaded:
            made.append(dict(loaded))
        run.progress("tuning statistics", min((number + 1) * BLOCK, d.neuron_count), d.neuron_count)
    columns = {name: np.concatenate([part[name] for part in made]) for name in made[0]}
    return columns | tuned(columns, corrected)


def reference(d: Dissection, layer: str, units: slice, permutations: int, seed: int) -> Reference:
    """Return what responses of a block of neurons are measured by."""
    u = np.asarray(d.layer_activations(layer, units), np.float32)
    index = d.layer(layer).offset + np.arange(units.start, units.stop)
    return Reference(d.activation_std[index], np.percentile(u, HIGH, axis=0), permutations, seed)


def _column(values: np.ndarray) -> pa.Array:
    """Return a column, none for NaN."""
    return pa.array(values.tolist()) if values.dtype.kind == "U" else pa.array(values, from_pandas=True)


STAGE = Stage(
    "tuning",
    "Playing sounds to the neurons",
    ("clips", "activations", "neurons"),
    parameters,
    compute,
    wanted=lambda run: run.config.tuning is not None,
)
