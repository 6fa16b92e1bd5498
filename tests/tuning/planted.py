"""A network whose neurons' tuning is known: it is made of filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

RATE, HOP, FRAME = 16_000, 160, 1024
CENTRES = 100 * 2 ** np.linspace(0, np.log2(60), 32)  # Hz of the bands, 100 to 6,000
AM_RATES = (2.0, 4.0, 8.0, 16.0, 32.0)  # Hz
SWEEP_LAGS = (1, 2, 4)  # frames from a band to its neighbour


@dataclass(frozen=True)
class Planted:
    """Units of the planted network by what they are."""

    bands: range
    sums: range
    detectors: range
    sweeps: range
    levels: range
    random: range


def units() -> Planted:
    """Return which output is what."""
    sizes = (len(CENTRES), 8, 2 * len(AM_RATES), 2 * len(SWEEP_LAGS) * 4, 8, 200)
    edges = np.cumsum([0, *sizes])
    return Planted(*(range(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)))


def bank() -> torch.Tensor:
    """Return (bands, bins) Gaussian filters on log frequency, a third of an octave wide."""
    hz = np.fft.rfftfreq(FRAME, 1 / RATE)
    octaves = np.log2(np.maximum(hz, 1)[None] / CENTRES[:, None])
    width = np.maximum(0.15, 12 / CENTRES)[:, None]  # octaves; bins are 16 Hz apart
    return torch.tensor(np.exp(-0.5 * (octaves / width) ** 2), dtype=torch.float32)


class PlantedFilters(nn.Module):
    """(B, samples) -> (B, units): means over time of filters, each of a kind that tuning must find again."""

    def __init__(self) -> None:
        super().__init__()
        known = units()
        rng = np.random.default_rng(0)
        self.register_buffer("bank", bank())
        self.register_buffer("window", torch.hann_window(FRAME))
        mixing = torch.tensor(rng.standard_normal((len(known.random), len(CENTRES))), dtype=torch.float32)
        self.register_buffer("mixing", mixing)
        pairs = [(i, i + 14) for i in range(len(known.sums))]
        self.pairs = pairs
        self.out = nn.Linear(known.random.stop, known.random.stop, bias=False)
        with torch.no_grad():
            self.out.weight.copy_(torch.eye(known.random.stop))

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Return what every unit gives on average over time."""
        made = torch.stft(waves, FRAME, HOP, window=self.window, return_complex=True).abs() ** 2
        power = torch.einsum("mf,bft->bmt", self.bank, made) / FRAME
        band = torch.log(power + 1e-3)
        total = torch.log(power.sum(1) + 1e-3)
        parts = [band.mean(2)]
        parts.append(torch.stack([band[:, i].mean(1) + band[:, j].mean(1) for i, j in self.pairs], 1))
        parts.append(self._modulated(power))
        parts.append(self._swept(band))
        loud = torch.linspace(-4, 1.5, 4)
        mean = total.mean(1, keepdim=True)
        parts += [torch.sigmoid(mean - loud), torch.exp(-0.5 * ((mean - loud) / 1.5) ** 2)]
        parts.append(band.mean(2) @ self.mixing.T)
        return self.out(torch.cat(parts, 1))

    def _modulated(self, power: torch.Tensor) -> torch.Tensor:
        """Return the size of the envelope's swing at given rates, relative to its mean: of all bands, of one."""
        every = []
        for envelope in (power.sum(1), power[:, 15]):
            count = envelope.shape[1]
            time = torch.arange(count) * HOP / RATE
            away = (envelope - envelope.mean(1, keepdim=True)) / (envelope.mean(1, keepdim=True) + 1e-2)
            window = torch.hann_window(count)
            for rate in AM_RATES:
                near = torch.linspace(0.85, 1.15, 7)
                phase = torch.exp(2j * torch.pi * rate * near[:, None] * time)
                size = (away[:, None] * window * phase).mean(2).abs()
                every.append(size.mean(1))
        return torch.stack(every, 1)

    def _swept(self, band: torch.Tensor) -> torch.Tensor:
        """Return products of a band with the next higher one some frames later, and the other way round."""
        away = band - band.mean(2, keepdim=True)
        every = []
        for lag in SWEEP_LAGS:
            for first in (4, 10, 16, 22):
                low, high = away[:, first], away[:, first + 2]
                every.append((low[:, :-lag] * high[:, lag:]).mean(1) - (high[:, :-lag] * low[:, lag:]).mean(1))
                every.append(-every[-1])
        return torch.stack(every, 1)


def build() -> tuple[nn.Module, object]:
    """Return the network and what prepares sound for it."""
    return PlantedFilters(), lambda waves: torch.from_numpy(waves)
