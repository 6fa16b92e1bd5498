"""What drives a neuron: gradient times activation of the layer before, checked by silencing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from and_core.errors import TargetError
from and_core.targets.ablate import Ablation
from and_core.targets.base import Target
from and_core.targets.points import HookPoint

DRAWS = 20  # random neurons of the same layer, that a driver is checked against


@dataclass(frozen=True)
class Driver:
    """A neuron of an earlier layer.

    Attributes
    ----------
    layer, unit
        Which.
    attribution : float
        Gradient times activation, summed over positions, mean over the clips: what it adds to the later neuron.
    drop : float
        By how much the later neuron falls where it is silenced.
    random_drop : float
        The same of random neurons of its layer, mean of the absolute changes.
    """

    layer: str
    unit: int
    attribution: float
    drop: float
    random_drop: float


def drivers(
    target: Target,
    features: Any,
    points: Mapping[str, HookPoint],
    before: str,
    layer: str,
    unit: int,
    most: int,
    seed: int = 0,
) -> list[Driver]:
    """Return the units of one layer that add most to a unit of a later one, the largest first.

    Parameters
    ----------
    target : Target
        Loaded.
    features : any
        Network input of the clips that count.
    before, layer : str
        The earlier and the later layer.

    Raises
    ------
    TargetError
        The network keeps no gradients between these layers.
    """
    attribution = attributions(target, features, points, before, layer, unit)
    order = np.argsort(-attribution, kind="stable")[:most]
    rest = np.setdiff1d(np.arange(len(attribution)), order)
    drawn = np.random.default_rng(seed).permutation(rest)[:DRAWS]
    whole = _value(target, features, points, layer, unit)
    size = points[before].size

    def drop(silenced: int) -> float:
        mask = np.zeros(size, bool)
        mask[silenced] = True
        with Ablation({before: points[before]}, {before: mask}, "zero"):
            return whole - _value(target, features, points, layer, unit)

    random = float(np.mean([abs(drop(int(other))) for other in drawn])) if len(drawn) else float("nan")
    return [Driver(before, int(i), float(attribution[i]), drop(int(i)), random) for i in order]


def attributions(
    target: Target, features: Any, points: Mapping[str, HookPoint], before: str, layer: str, unit: int
) -> np.ndarray:
    """Return (R,) gradient times activation of an earlier layer's units for a later unit's pooled activation, summed
    over positions, mean over the clips."""
    seen: dict[str, torch.Tensor] = {}

    def tap(tensor: torch.Tensor) -> torch.Tensor:
        seen["before"] = tensor.detach()
        seen["added"] = torch.zeros_like(tensor, requires_grad=True)
        return tensor + seen["added"]

    def read(tensor: torch.Tensor) -> None:
        seen["unit"] = target.pool(tensor, layer)[:, unit]

    with ExitStack() as stack, torch.enable_grad():
        stack.enter_context(points[before].attach(tap))
        stack.enter_context(points[layer].attach(read))
        target.forward(features)
    if "unit" not in seen or not seen["unit"].requires_grad:
        raise TargetError(f"nothing of {before} reaches {layer}/{unit} by gradients")
    (gradient,) = torch.autograd.grad(seen["unit"].sum(), seen["added"], allow_unused=True)
    if gradient is None:
        raise TargetError(f"nothing of {before} reaches {layer}/{unit} by gradients")
    product = (gradient * seen["before"]).float()
    return np.asarray(product.flatten(1, -2).sum(1).mean(0) if product.ndim > 2 else product.mean(0), float)


def _value(target: Target, features: Any, points: Mapping[str, HookPoint], layer: str, unit: int) -> float:
    """Return the mean pooled activation of a unit."""
    seen: list[torch.Tensor] = []
    with points[layer].attach(lambda tensor: seen.append(target.pool(tensor, layer)[:, unit])), torch.inference_mode():
        target.forward(features)
    return float(torch.cat(seen).float().mean())
