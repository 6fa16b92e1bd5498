"""Dials: the network's logits while a neuron, or a direction, is turned up and down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from and_core.errors import ConfigError, TargetError
from and_core.targets.base import Target
from and_core.targets.points import HookPoint
from and_core.targets.steer import Dial, Steering

DOSES = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)  # standard deviations of the neuron over the probing set


def steered_logits(
    target: Target,
    batches: Iterable[Any],
    edits: Sequence[Sequence[Dial]],
    points: dict[str, HookPoint],
    done: Callable[[int], None] = lambda passes: None,
) -> np.ndarray:
    """Return logits of clips under each list of edits.

    Returns
    -------
    (E, N, C) float32

    Raises
    ------
    ConfigError
        There are no edits.
    TargetError
        Logits are NaN or infinite under one of them.
    """
    if not edits:
        raise ConfigError("edits is empty; give at least one list of edits, which may be empty itself")
    steerings = [Steering(points, list(some)) if some else None for some in edits]
    rows: list[list[np.ndarray]] = [[] for _ in steerings]
    passes = 0
    for features in batches:
        for row, steering in zip(rows, steerings, strict=True):
            with steering or nullcontext(), torch.inference_mode():
                row.append(target.forward(features).float().cpu().numpy())
            passes += 1
            done(passes)
    logits = np.stack([np.concatenate(row) for row in rows])
    if not np.isfinite(logits).all():
        raise TargetError(f"{target.describe()} gives NaN or infinite logits while it is steered")
    return logits


def neuron_push(size: int, unit: int, amount: float) -> np.ndarray:
    """Return what is added to a layer (R,) to turn one of its units up."""
    push = np.zeros(size, np.float32)
    push[unit] = amount
    return push


def random_pushes(size: int, length: float, count: int, seed: int) -> np.ndarray:
    """Return (count, R) random directions of one length."""
    directions = np.random.default_rng(seed).standard_normal((count, size))
    return (length * directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
