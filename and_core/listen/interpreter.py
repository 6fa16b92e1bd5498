"""The interpreter (Ψ), its head (Θ), and a mask decoder: small networks that read the hidden maps of a frozen one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 24  # channels that each map is brought to
HIDDEN = 96


class Trunk(nn.Module):
    """Hidden maps on a common grid, convolved, frequency collapsed: (B, HIDDEN, frames).

    Parameters
    ----------
    shapes : list of (C, F, T)
        Of the maps it reads.
    """

    def __init__(self, shapes: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.rows = max(f for _, f, _ in shapes)
        self.columns = max(t for _, _, t in shapes)
        self.narrow = nn.ModuleList([nn.Conv2d(c, WIDTH, 1) for c, _, _ in shapes])
        self.norm = nn.ModuleList([nn.GroupNorm(1, c) for c, _, _ in shapes])
        self.mix = nn.Conv2d(WIDTH * len(shapes), WIDTH * len(shapes), 3, padding=1)
        self.collapse = nn.Conv2d(WIDTH * len(shapes), HIDDEN, (self.rows, 1))

    def forward(self, maps: list[torch.Tensor], frames: int) -> torch.Tensor:
        """Return maps (B, C, F, T) -> (B, HIDDEN, frames)."""
        grid = (self.rows, self.columns)
        parts = [
            F.interpolate(narrow(norm(x)), grid, mode="bilinear", align_corners=False)
            for x, narrow, norm in zip(maps, self.narrow, self.norm, strict=True)
        ]
        x = F.relu(self.mix(torch.cat(parts, 1)))
        return F.interpolate(F.relu(self.collapse(x))[:, :, 0], frames, mode="linear", align_corners=False)


class Interpreter(nn.Module):
    """H = Ψ(maps) of shape (B, K, T), non-negative, and g = Θ(H) ("Listen to Interpret").

    Parameters
    ----------
    shapes : list of (C, F, T)
    components, classes : int
        K and the number of logits.
    """

    def __init__(self, shapes: list[tuple[int, int, int]], components: int, classes: int) -> None:
        super().__init__()
        self.trunk = Trunk(shapes)
        self.first = nn.Conv1d(HIDDEN, HIDDEN, 5, padding=2)
        self.second = nn.Conv1d(HIDDEN, components, 5, padding=2)
        self.v, self.u = nn.Linear(components, 32), nn.Linear(components, 32)
        self.w = nn.Linear(32, 1)
        self.theta = nn.Parameter(torch.randn(classes, components) * components**-0.5)
        nn.init.constant_(self.second.bias, 0.1)  # type: ignore[arg-type]  # no component begins dead

    def components(self, maps: list[torch.Tensor], frames: int) -> torch.Tensor:
        """Return H (B, K, frames)."""
        return F.relu(self.second(F.relu(self.first(self.trunk(maps, frames)))))

    def pooled(self, h: torch.Tensor) -> torch.Tensor:
        """Return z (B, K): attention over time, ``a = softmax_t(w . [tanh(V h_t) * relu(U h_t)] + b)``."""
        states = h.transpose(1, 2)
        weight = torch.softmax(self.w(torch.tanh(self.v(states)) * F.relu(self.u(states))), 1)
        return (weight * states).sum(1)

    def forward(self, maps: list[torch.Tensor], frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return H (B, K, frames), z (B, K), logits g (B, classes) without bias."""
        h = self.components(maps, frames)
        z = self.pooled(h)
        return h, z, z @ self.theta.T


class MaskDecoder(nn.Module):
    """A mask in [0, 1] over the spectrogram, read from the same maps: what is kept should keep the class, what is left
    should lose it (L-MAC).

    Parameters
    ----------
    bands : int
        Rows in which the mask is drawn; interpolated to `bins`.
    """

    def __init__(self, shapes: list[tuple[int, int, int]], bins: int, bands: int = 48) -> None:
        super().__init__()
        self.bins, self.bands = bins, bands
        self.trunk = Trunk(shapes)
        self.first = nn.Conv1d(HIDDEN, HIDDEN, 5, padding=2)
        self.second = nn.Conv1d(HIDDEN, bands, 5, padding=2)

    def forward(self, maps: list[torch.Tensor], frames: int) -> torch.Tensor:
        """Return (B, bins, frames)."""
        mask = torch.sigmoid(self.second(F.relu(self.first(self.trunk(maps, frames)))))
        return F.interpolate(mask[:, None], (self.bins, frames), mode="bilinear", align_corners=False)[:, 0]
