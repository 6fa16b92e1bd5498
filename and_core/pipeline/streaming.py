"""The pass over more clips than activations are kept of: statistics of every neuron over all, made chunk by chunk.

A chunk leaves the rows of the clips that are kept and its traces, and now and then one leaves the statistics so far; a
killed run goes on from there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.dissect.probe import probe_mask
from and_core.errors import ConfigError, TargetError
from and_core.pipeline.forward_pass import (
    BatchSize,
    check_names,
    described_pass,
    extract,
    layer_array,
    reader,
    say_unmatched,
)
from and_core.pipeline.named_clips import StreamedSounds, gather, write_named
from and_core.pipeline.neurons import source_numbers
from and_core.pipeline.stage import Run
from and_core.pipeline.traces import TraceTaker
from and_core.records import Layer
from and_core.store.artifacts import layer_artifact
from and_core.store.chunks import mark_chunk, read_mark
from and_core.store.writer import StageWriter
from and_core.targets.base import Target, pick_device
from and_core.targets.company import check_company
from and_core.targets.precision import choose_precision

if TYPE_CHECKING:
    from and_core.dissect.streamed.statistics import StreamedStatistics

EXACT = ("extreme clips", "moments", "class means", "histograms", "traces")
SAVED_EVERY = 30.0  # seconds: statistics of many neurons are some hundred megabytes
BINS_FROM = 1000  # clips that bins of histograms are set from


def parameters(run: Run) -> dict[str, Any]:
    """Return what decides the statistics, beside what decides activations.

    Raises
    ------
    ConfigError
        Clips are left out by a draw over all, which the clips that are kept would not repeat.
    """
    probe, neurons = run.streamed_probe, run.config.neurons
    for name in ("without_share", "half"):
        if getattr(probe, name):
            raise ConfigError(
                f"probe.{name}={getattr(probe, name)} leaves out clips by a draw, which is not possible with more "
                f"clips than activations.stream_beyond={run.config.activations.stream_beyond}; leave out folds "
                "(probe.without_folds), or raise it"
            )
    return {"bins": neurons.bins, "one_per_source": neurons.one_per_source, "without_folds": list(probe.without_folds)}


def compute(run: Run, writer: StageWriter) -> None:
    """Run the network over all clips, then keep the sound and the records of those that anything names.

    Cost: N R in time; R in memory, and a chunk of clips.
    """
    target, d = run.network, run.dissection
    device, layers = pick_device(run.config.activations.device), target.layers()
    check_names(layers)
    check_company(target, d.clips[0].seconds)
    say_unmatched(run, target)
    sounds = StreamedSounds(run.dataset, d)
    stream = StreamedPass(run, writer, layers, sounds)
    statistics = stream.run()
    made = statistics.finish()
    kept = np.flatnonzero(sounds.packed)
    extremes = [made["high_clips"], made["low_clips"]]
    if stream.taker is not None:
        extremes.append(stream.taker.running.result()["clips"])
    named = np.unique(np.concatenate([clips.ravel() for clips in extremes]))
    gathered, gone = gather(run, writer, sounds, np.setdiff1d(named[named >= 0], kept))
    heard = "; the network had heard it, so it counts in means, and is left out among extreme clips"
    left_out = sounds.gone | {clip: reason + heard for clip, reason in gone.items()}
    place = write_named(run, writer, kept, gathered, left_out)
    write_statistics(writer, made, statistics, place)
    if stream.taker is not None:
        stream.taker.write(writer, layers, place)
    stream.write_rows(len(kept))
    writer.json("layers", [layer.model_dump() for layer in layers])
    writer.json("classes", target.classes)
    writer.json("labels", d.classes)
    counted = stream.counted & ~np.isin(np.arange(len(d.clips)), list(sounds.gone))
    if left_out:
        run.say(
            f"{len(left_out)} clips have changed or are gone since they were listed, and are left out: "
            f"{', '.join(d.clips[i].name for i in sorted(left_out)[:5])}{', ...' if len(left_out) > 5 else ''}"
        )
    writer.notes = {
        **described_pass(target, layers, stream.precision, device),
        "streamed": {
            "clips": len(d.clips),
            "counted": int(counted.sum()),
            "ranked": int(counted.sum()) if stream.sources is None else len(np.unique(stream.sources[counted])),
            "kept": len(kept),
            "named": int((place >= 0).sum()),
            "left_out": len(left_out),
            "exact": list(EXACT),
            "from_kept": "whatever else is made from activations, but for the functions that `closed` and `tab` list",
        },
    }


class StreamedPass:
    """The pass itself, chunk by chunk.

    Attributes
    ----------
    counted : (N,) bool
        Clips that statistics are over.
    sources : (N,) int or None
        Source recordings, where each counts once.
    """

    def __init__(self, run: Run, writer: StageWriter, layers: Sequence[Layer], sounds: StreamedSounds) -> None:
        self._run, self._writer, self.layers, self.sounds = run, writer, layers, sounds
        d, config = run.dissection, run.config
        self.target: Target = run.network
        self.total, self.rows = len(d.clips), config.activations.rows
        self.counted = probe_mask(d.clips, run.streamed_probe, config.seed)
        self.sources = source_numbers(d) if config.neurons.one_per_source else None
        self.starts = range(0, self.total, self.rows)
        before = np.cumsum([self.counted[start : start + self.rows].sum() for start in self.starts])
        self.head = min(int(np.searchsorted(before, BINS_FROM)) + 1, len(self.starts))  # chunks that set the bins
        self.batch = BatchSize(config.activations.batch, run.say)
        self.read = reader(sounds.flac_or_silence, self.target, config.activations.resampler)
        device = pick_device(config.activations.device)
        first = self.target.features([self.read(clip) for clip in range(min(self.batch.clips, self.total))])
        self.precision = choose_precision(self.target, first, config.activations.precision, device)
        self.taker = (
            TraceTaker(self.target, layers, [clip.seconds for clip in d.clips]) if config.activations.traces else None
        )
        if self.taker is not None:
            self.taker.left_out = sounds.uncounted
            self.taker.left_out.update(np.flatnonzero(~self.counted).tolist())

    def run(self) -> StreamedStatistics:
        """Run the network over what no chunk holds yet, and return the statistics."""
        from and_core.dissect.streamed.histograms import Bins
        from and_core.dissect.streamed.statistics import StreamedStatistics  # compiled: a second to load

        last, statistics = self._resumed()
        saved = time.monotonic()
        pending: list[tuple[int, np.ndarray]] = []
        for number in range(len(self.starts)):
            if not (number <= last or (last < 0 and number < self.head and self._writer.done(number))):
                self._compute(number)
            self._take_over(number)
            if number <= last:
                continue
            pending.append((number, self._rows(number)))
            if number < self.head - 1:
                continue
            if statistics is None:
                every = np.concatenate([u[self._counts(n)] for n, u in pending])[:BINS_FROM]
                statistics = StreamedStatistics(
                    Bins.of(every, self._run.config.neurons.bins), len(self._run.dissection.classes)
                )
            for waiting, u in pending:
                self._add(statistics, waiting, u)
            pending.clear()
            if time.monotonic() - saved >= SAVED_EVERY or number == len(self.starts) - 1:
                self._save(number, statistics)
                saved = time.monotonic()
            self._run.progress("activations", int(self._clips(number)[-1]) + 1, self.total)
        assert statistics is not None
        return statistics

    def write_rows(self, kept: int) -> None:
        """Write activations of the clips that are kept, from the chunks, as a pass without a stream does."""
        roots = [self._writer.out / f"layer{number:04d}" for number in range(len(self.layers))]
        for root in roots:
            shutil.rmtree(root, ignore_errors=True)  # of a run that was killed while it wrote them
        arrays = [layer_array(root, layer, kept, self.rows) for root, layer in zip(roots, self.layers, strict=True)]
        waiting: list[np.ndarray] = []
        at = 0
        for number in range(len(self.starts)):
            waiting.append(self._kept_rows(number))
            held = sum(map(len, waiting))
            if held >= self.rows or number == len(self.starts) - 1:
                u = np.concatenate(waiting)
                whole = len(u) if number == len(self.starts) - 1 else len(u) // self.rows * self.rows
                for layer, array in zip(self.layers, arrays, strict=True):
                    array[at : at + whole] = u[:whole, layer.offset : layer.offset + layer.size]
                waiting, at = [u[whole:]], at + whole
        for root, layer in zip(roots, self.layers, strict=True):
            paths = sorted(p for p in root.rglob("*") if p.is_file())
            self._writer.files(
                layer_artifact(layer.name), "zarr", paths, [kept, layer.size], "float32", ["clip", "neuron"],
                "the target's own",
            )  # fmt: skip

    # -- one chunk -----------------------------------------------------------------------------------------------------

    def _clips(self, number: int) -> np.ndarray:
        start = self.starts[number]
        return np.arange(start, min(start + self.rows, self.total))

    def _counts(self, number: int) -> np.ndarray:
        """Return (n,) bool: which of a chunk's clips count."""
        clips = self._clips(number)
        return self.counted[clips] & ~np.isin(clips, list(self.sounds.gone))

    def _compute(self, number: int) -> None:
        clips = self._clips(number)
        u = np.empty((len(clips), sum(layer.size for layer in self.layers)), np.float32)
        offsets = {layer.name: slice(layer.offset, layer.offset + layer.size) for layer in self.layers}
        span = range(int(clips[0]), int(clips[-1]) + 1)
        for at, outputs in extract(
            self.target, self._run.dissection, span, self.batch, self._run.config.workers, self.precision, self.read,
            self.taker,
        ):  # fmt: skip
            for name, values in outputs.items():
                u[at - span.start : at - span.start + len(values), offsets[name]] = values
            self._run.progress("activations", at, self.total)
        if not np.isfinite(u[self._counts(number)]).all():
            raise TargetError(
                f"{self.target.describe()} gives NaN or infinite values on clips {span.start} to {span.stop - 1}"
            )
        rows = np.ones(len(clips), bool) if number < self.head else self.sounds.packed[clips]
        files = [self._file(number, "rows")]
        with open(files[0], "wb") as handle:
            np.savez(handle, rows=u[rows])
        if self.taker is not None:
            files.append(self._file(number, "traces"))
            self.taker.save(files[1], span.start)
        gone = {str(clip): self.sounds.gone[clip] for clip in clips.tolist() if clip in self.sounds.gone}
        mark_chunk(self._writer.chunks / f"{number:06d}", files, {"gone": gone})
        self._fresh = number, u

    def _take_over(self, number: int) -> None:
        """Take in what a chunk says beside its rows, where another run has made it."""
        if self._fresh[0] == number:
            return
        for clip, reason in self._writer.noted(number)["gone"].items():
            self.sounds.gone[int(clip)] = reason
        if self.taker is not None:
            self.taker.restore(self._file(number, "traces"))

    def _rows(self, number: int) -> np.ndarray:
        """Return (n, R) activations of all of a chunk's clips."""
        return self._fresh[1] if self._fresh[0] == number else self._stored(number)

    def _kept_rows(self, number: int) -> np.ndarray:
        """Return (n', R) activations of those of a chunk's clips that are kept."""
        stored = self._stored(number)
        return stored[self.sounds.packed[self._clips(number)]] if number < self.head else stored

    def _stored(self, number: int) -> np.ndarray:
        with np.load(self._file(number, "rows"), allow_pickle=False) as arrays:
            rows: np.ndarray = arrays["rows"]
        return rows

    def _add(self, statistics: StreamedStatistics, number: int, u: np.ndarray) -> None:
        counts = self._counts(number)
        clips = self._clips(number)[counts]
        statistics.update(
            number,
            u[counts],
            clips,
            self._run.dissection.label_mask[clips],
            None if self.sources is None else self.sources[clips],
        )

    # -- where a killed run goes on ------------------------------------------------------------------------------------

    _fresh: tuple[int, np.ndarray] = -1, np.empty(0)  # the chunk that was computed last, and its activations

    def _file(self, number: int, what: str) -> Path:
        return self._writer.chunks / f"{what}-{number:06d}.npz"

    def _save(self, number: int, statistics: StreamedStatistics) -> None:
        """Keep the statistics after a chunk, then let go of those before it."""
        path = self._file(number, "statistics")
        with open(path, "wb") as handle:
            np.savez(handle, **statistics.state())  # type: ignore[arg-type]
        mark_chunk(self._writer.chunks / f"statistics-{number:06d}", [path])
        for old in self._writer.chunks.glob("statistics-*"):
            if old.name.partition(".")[0] != f"statistics-{number:06d}":
                old.unlink()

    def _resumed(self) -> tuple[int, StreamedStatistics | None]:
        """Return the last chunk that statistics are there of, -1 for none, and those."""
        from and_core.dissect.streamed.statistics import StreamedStatistics

        marks = sorted(self._writer.chunks.glob("statistics-[0-9]*[0-9]"))
        for mark in reversed(marks):
            number = int(mark.name.rpartition("-")[2])
            if read_mark(mark)[0] and all(self._writer.done(i) for i in range(number + 1)):
                with np.load(self._file(number, "statistics"), allow_pickle=False) as state:
                    return number, StreamedStatistics.restored(dict(state))
        return -1, None


def write_statistics(
    writer: StageWriter, made: dict[str, np.ndarray], statistics: StreamedStatistics, place: np.ndarray
) -> None:
    """Write statistics over all clips; clips go by the index under which they are kept."""
    import pyarrow as pa

    for side in ("high", "low"):
        clips, values = kept_extremes(made.pop(f"{side}_clips"), made.pop(f"{side}_values"), place)
        writer.array(f"{side}_clips", clips, ["neuron", "rank"], "clip index, -1 for none")
        writer.array(f"{side}_values", values, ["neuron", "rank"], "the target's own")
    bins = statistics.bins
    writer.array("histograms", made.pop("histograms").astype(np.int32), ["neuron", "bin"], "clips")
    writer.array("bins", np.stack([bins.low, bins.high], 1), ["neuron", "low, high"], "the target's own")
    writer.array("class_means", made.pop("class_means"), ["neuron", "class"], "the target's own")
    writer.table("statistics", pa.table({"neuron": np.arange(len(bins.low), dtype=np.int32), **made}))


def kept_extremes(clips: np.ndarray, values: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return clips (R, K) int32 under their `place` (N,), and their values; those without one go, the rest move up."""
    placed = np.where(clips >= 0, place[clips], -1).astype(np.int32)
    order = np.argsort(placed < 0, axis=1, kind="stable")
    placed, values = np.take_along_axis(placed, order, 1), np.take_along_axis(values, order, 1)
    return placed, np.where(placed >= 0, values, np.float32(np.nan))
