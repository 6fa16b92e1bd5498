"""Reading a target's hidden maps in one pass, with or without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from and_core.errors import TargetError
from and_core.targets.base import Target
from and_core.targets.hooks import owned
from and_core.targets.points import HookPoint, reading

LAST = 3  # maps that are read unless others are named


def choose_maps(target: Target, names: Sequence[str] | None = None) -> dict[str, HookPoint]:
    """Return the maps that are read: by name, else the last three.

    Raises
    ------
    TargetError
        The target has no such maps, or none at all.
    """
    every = target.map_points()
    if not every:
        raise TargetError(
            f"{target.describe()} has no hidden maps over time, so its decisions can't be taken apart into sounds"
        )
    if names is None:
        return dict(list(every.items())[-LAST:])
    unknown = [name for name in names if name not in every]
    if unknown:
        raise TargetError(
            f"listening.maps={unknown[0]!r} is not a map of {target.describe()}; there are: {', '.join(every)}"
        )
    return {name: every[name] for name in names}


class MapReader:
    """Forward passes that give logits and maps together.

    Parameters
    ----------
    target : Target
        Loaded.
    points : dict
        From :func:`choose_maps`; dissected layers can be read the same way.
    """

    def __init__(self, target: Target, points: dict[str, HookPoint]) -> None:
        self.target, self.points = target, points

    def __call__(self, features: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return logits (B, C) and maps (B, channels, rows, columns) in the order of the points, on the CPU.

        Gradients as they are on.
        """
        maps: dict[str, list[torch.Tensor]] = {}

        def collect(name: str, activation: torch.Tensor) -> None:
            maps.setdefault(name, []).append(owned(self.target.to_map(activation, name)))

        with reading(self.points, collect):
            logits = self.target.forward(features).float().cpu()
        missing = [name for name in self.points if name not in maps]
        if missing:
            raise TargetError(f"{self.target.describe()}: {missing[0]} did not run in a forward pass")
        return logits, [
            parts[0] if len(parts) == 1 else _joined(parts) for parts in (maps[name] for name in self.points)
        ]


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """Return maps of several passes (clips of different lengths) as one batch, brought to the size of the largest."""
    size = (max(p.shape[2] for p in parts), max(p.shape[3] for p in parts))
    return torch.cat(
        [
            p if p.shape[2:] == size else torch.nn.functional.interpolate(p, size, mode="bilinear", align_corners=False)
            for p in parts
        ]
    )
