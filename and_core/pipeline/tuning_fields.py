"""Receptive fields of all neurons, for the stage `tuning`: random chords and natural clips pass through the network,
and activations are regressed on the spectrograms before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from and_core.audio.media import clip_wave
from and_core.errors import TargetError
from and_core.pipeline.stage import Run
from and_core.records import Layer
from and_core.store.writer import StageWriter
from and_core.targets.base import Target
from and_core.tuning.battery import stimuli_of
from and_core.tuning.passes import passes
from and_core.tuning.presentation import Presentation
from and_core.tuning.strf import BANDS, LAG, Sums, band_centres, lagged, log_mel, solve

NATURAL = 120  # probing clips, of as many sources where there are
BLOCK = 1024  # neurons solved at once


@dataclass
class _Layer:
    """What is gathered of one layer: its sums, how long a column lasts, how many columns count."""

    sums: Sums
    lags: int
    step: float


class FieldTaker:
    """What reads maps in the forward pass, and sums them with the spectrograms.

    Parameters
    ----------
    target : Target
        Loaded.
    layers : list of Layer
    waves : list of (samples,) float32
        Chords, then natural clips.
    """

    def __init__(self, target: Target, layers: list[Layer], waves: list[np.ndarray]) -> None:
        self.target, self.waves = target, waves
        self.sizes = {layer.name: layer.size for layer in layers}
        self.made: dict[str, _Layer] = {}
        self.first = 0  # index of the first clip of the batch that runs
        self._spectrograms: dict[tuple[int, int, int], tuple[np.ndarray, float]] = {}

    def watch(self, layer: str, activation: torch.Tensor, pooled: torch.Tensor, before: int) -> None:
        """Take in what a layer gives for some clips of the batch, `before` clips of it having been read."""
        try:
            maps = self.target.to_map(activation, layer)
        except TargetError:
            maps = None
        if maps is not None and (maps.shape[:2] != pooled.shape or maps.shape[3] < 2):
            maps = None
        values = pooled[:, :, None] if maps is None else maps.mean(2).to("cpu", torch.float32)
        rows = 0 if maps is None else int(maps.shape[2])
        for i in range(len(values)):
            self._add(layer, self.first + before + i, values[i].numpy().T, rows)

    def _add(self, layer: str, clip: int, y: np.ndarray, rows: int) -> None:
        bands, step = self._bands(clip, len(y) if rows else 0, rows)
        lags = max(1, round(LAG / step)) if step else 1
        if layer not in self.made:
            self.made[layer] = _Layer(Sums(lags * BANDS, self.sizes[layer]), lags, step)
        self.made[layer].sums.add(clip, lagged(bands, self.made[layer].lags), y[: len(bands)])

    def _bands(self, clip: int, columns: int, rows: int) -> tuple[np.ndarray, float]:
        """Return the spectrogram of a clip in the columns of a map that hear it, and seconds of a column; one column of
        the whole clip, and 0, where there is no map."""
        key = clip, columns, rows
        if key not in self._spectrograms:
            wave, rate = self.waves[clip], self.target.sample_rate
            seconds = len(wave) / rate
            audible = min(seconds, self.target.heard_seconds(seconds))
            if columns:
                edges = np.asarray(self.target.map_edges(rows, columns, audible)[0], float)
                hearing = max(1, int((edges[1:] <= audible + 1e-6).sum()))
                made = log_mel(wave, rate, edges[: hearing + 1]), float(np.median(np.diff(edges)))
            else:
                made = log_mel(wave, rate, np.array([0.0, audible])), 0.0
            while len(self._spectrograms) > 256:
                self._spectrograms.pop(next(iter(self._spectrograms)))
            self._spectrograms[key] = made
        return self._spectrograms[key]


def natural_clips(run: Run) -> np.ndarray:
    """Return (n,) probing clips that fields are fitted on, one a source, drawn by the run's seed."""
    clips = run.dissection.activation_clips
    order = np.random.default_rng(run.config.seed).permutation(len(clips))
    sources: dict[str, int] = {}
    for clip in order.tolist():
        sources.setdefault(clips[clip].source_name, clip)
    return np.sort(np.array(list(sources.values())[:NATURAL]))


def write_fields(
    run: Run, writer: StageWriter, how: Presentation, table: pa.Table
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fit and write the fields of all neurons; return columns (R,) of how well they foretell, and notes."""
    d, target = run.dissection, run.network
    seeds, rate = table["seed"].to_pylist(), target.sample_rate
    chords = [i for i, s in enumerate(stimuli_of(table)) if s.kind == "chord"]
    natural = natural_clips(run)
    waves = [how.wave(stimuli_of(table.slice(i, 1))[0], rate, seeds[i]) for i in chords]
    waves += [clip_wave(d, int(clip), rate) for clip in natural]
    taker = FieldTaker(target, d.layers, waves)
    precision = d.notes("activations").get("precision", "float32")
    batch = run.config.activations.batch
    for start in range(0, len(waves), batch):
        rows = range(start, min(start + batch, len(waves)))
        taker.first = start
        for _ in passes(
            target, lambda part: target.features([waves[i] for i in part]), rows, batch, 1, precision, taker.watch
        ):
            run.progress("tuning fields", rows.stop, len(waves))
    lags = max(made.lags for made in taker.made.values())
    fields = np.zeros((d.neuron_count, lags, BANDS), np.float16)
    columns = {name: np.full(d.neuron_count, np.nan) for name in ("field_r2", "field_low")}
    for layer in d.layers:
        made = taker.made[layer.name]
        for start in range(0, layer.size, BLOCK):
            units = slice(start, min(start + BLOCK, layer.size))
            part = solve(made.sums, units)
            own = slice(layer.offset + units.start, layer.offset + units.stop)
            fields[own, : made.lags] = part.weights.reshape(-1, made.lags, BANDS)
            columns["field_r2"][own], columns["field_low"][own] = part.r2, part.low
    writer.array("fields", fields, ["neuron", "lag", "band"], "standard deviations for one of the band")
    about = {
        "hertz": band_centres(rate).tolist(),
        "layers": {name: {"lags": made.lags, "step": made.step} for name, made in taker.made.items()},
    }
    writer.json("fields_about", about)
    return columns, {"field_chords": len(chords), "field_clips": len(natural)}
