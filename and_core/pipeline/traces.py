"""Traces taken while the network runs: of each neuron's highest and lowest clips so far, in the pass that gives the
activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from and_core.dissect.traces import FRAMES, RunningTraces, frame_weights
from and_core.errors import TargetError
from and_core.records import Layer
from and_core.store.traces import UNHEARD
from and_core.store.writer import StageWriter
from and_core.targets.base import Target

FEW = 4  # one in so many neurons: fewer are picked out before frequency is averaged


class TraceTaker:
    """What reads maps of activations inside the forward pass, and keeps the traces that matter so far.

    Parameters
    ----------
    target : Target
        Loaded.
    layers : sequence of Layer
    seconds : sequence of float
        Length of every clip.
    """

    def __init__(self, target: Target, layers: Sequence[Layer], seconds: Sequence[float]) -> None:
        self.target, self.seconds = target, seconds
        self.offsets = {layer.name: layer.offset for layer in layers}
        self.running = RunningTraces(sum(layer.size for layer in layers))
        self._made: tuple[Any, np.ndarray] = None, np.empty(0)  # the last weights: clips of a batch are often alike
        self.first = 0  # index of the first clip of the batch that runs
        self.left_out: set[int] = set()  # clips that have no traces
        self._next: dict[str, int] = {}  # clip that a layer gives next; a batch that did not fit runs again

    def watch(self, layer: str, activation: torch.Tensor, pooled: torch.Tensor, before: int) -> None:
        """Take in what a layer gives for some clips of the batch, `before` clips of it having been read.

        A layer that gives one vector a clip has no trace.
        """
        values = pooled.numpy()
        first = self.offsets[layer]
        chosen = np.flatnonzero(self.running.entering(first, values))
        if not len(chosen):
            return
        try:
            maps = self.target.to_map(activation, layer)  # (B, R, rows, columns)
        except TargetError:
            return
        if len(maps) != len(values) or maps.shape[1] != values.shape[1]:
            return
        rows, columns = maps.shape[2:]
        if FEW * len(chosen) < values.shape[1]:
            maps = _picked(maps, torch.from_numpy(chosen).to(maps.device))
            place = np.full(values.shape[1], -1)
            place[chosen] = np.arange(len(chosen))
        else:
            place = np.arange(values.shape[1])
        over_time = _over_time(maps, over_frequency(self.target, layer)).to("cpu", torch.float32).numpy()
        for i in range(len(values)):
            clip = self.first + before + i
            if clip in self.left_out or clip < self._next.get(layer, 0):
                continue
            weights = self._weights(rows, columns, self.seconds[clip])
            self.running.add(first, clip, values[i], partial(_traced, over_time[i], place, weights))
            self._next[layer] = clip + 1

    def _weights(self, rows: int, columns: int, seconds: float) -> np.ndarray:
        key = rows, columns, seconds
        if self._made[0] != key:
            audible = min(seconds, self.target.heard_seconds(seconds))
            edges, _ = self.target.map_edges(rows, columns, audible)
            self._made = key, frame_weights(edges, seconds, audible)
        return self._made[1]

    def save(self, path: Path, since: int) -> None:
        """Write what a chunk of clips, from `since` on, has brought."""
        with open(path, "wb") as handle:
            np.savez(handle, **self.running.entries(since))  # type: ignore[arg-type]

    def restore(self, path: Path) -> None:
        """Take in what a chunk has brought, instead of running it."""
        with np.load(path, allow_pickle=False) as entries:
            self.running.restore(dict(entries))

    def write(self, writer: StageWriter, layers: Sequence[Layer], place: np.ndarray | None = None) -> None:
        """Write the traces, and what they are of each layer; nothing where no layer has any.

        `place` (N,) is the index under which each clip is kept, -1 for a clip that is not; without it, its own.
        """
        made = self.running.result()
        if place is not None:
            made = kept_traces(made, place)
        about: dict[str, Mapping[str, str]] = {}
        for layer in layers:
            if (made["clips"][layer.offset : layer.offset + layer.size, :, 0] >= 0).any():
                about[layer.name] = {
                    "pooling": self.target.pooling_of(layer.name),
                    "over_frequency": over_frequency(self.target, layer.name),
                }
        if not about:
            return
        axes = ["neuron", "side (highest, lowest)", "rank"]
        writer.array("trace_clips", made["clips"], axes, "clip index, -1 for none")
        writer.array("trace_ranges", made["ranges"], [*axes, "lowest, highest"], "the target's own")
        unit = f"0 to 254 from lowest to highest, 255 where the network does not hear; {FRAMES} frames a clip"
        writer.array("trace_levels", made["levels"], [*axes, "frame"], unit)
        writer.json("traces", about)


def kept_traces(made: Mapping[str, np.ndarray], place: np.ndarray) -> dict[str, np.ndarray]:
    """Return traces of the clips that have a `place` (N,), under it; the others of a neuron move up."""
    clips = np.where(made["clips"] >= 0, place[made["clips"]], -1).astype(np.int32)
    order = np.argsort(clips < 0, axis=2, kind="stable")
    clips = np.take_along_axis(clips, order, 2)
    ranges = np.take_along_axis(made["ranges"], order[..., None], 2)
    levels = np.take_along_axis(made["levels"], order[..., None], 2)
    ranges[clips < 0], levels[clips < 0] = 0, UNHEARD
    return {"clips": clips, "ranges": ranges, "levels": levels}


def over_frequency(target: Target, layer: str) -> str:
    """Return what a trace is of the rows of a map: their ``mean``, or the ``highest`` where the layer is pooled by its
    maximum."""
    return "highest" if target.pooling_of(layer) == "max" else "mean"


def _picked(maps: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Return maps (B, n, rows, columns) of some units, units last in memory where they were."""
    if maps.stride(1) != 1:
        return maps.index_select(1, units)
    return maps.permute(0, 2, 3, 1).index_select(-1, units).permute(0, 3, 1, 2)


def _over_time(maps: torch.Tensor, over: str) -> torch.Tensor:
    """Return (B, R, columns) from maps (B, R, rows, columns), read in the order in which they lie in memory."""
    units_last = maps.stride(1) == 1
    ordered = maps.permute(0, 2, 3, 1) if units_last else maps
    axis = 1 if units_last else 2
    made = ordered.amax(axis) if over == "highest" else ordered.mean(axis)
    return made.transpose(1, 2) if units_last else made


def _traced(over_time: np.ndarray, place: np.ndarray, weights: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return traces (n, frames) of some neurons, from a map over time and the place of each neuron in it."""
    traces: np.ndarray = over_time[place[units]] @ weights
    return traces
