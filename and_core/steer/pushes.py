"""Which class every neuron pushes, and how much: gradients of all classes for all neurons, in one pass over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from and_core.errors import TargetError
from and_core.targets.base import Target
from and_core.targets.points import HookPoint, OnTensor


def steerable(points: Mapping[str, HookPoint]) -> dict[str, HookPoint]:
    """Return hook points that can be steered: all but attention heads."""
    return {name: point for name, point in points.items() if not point.heads}


def gradients(
    target: Target,
    batches: Iterable[Any],
    points: Mapping[str, HookPoint],
    done: Callable[[int], None] = lambda clips: None,
) -> tuple[dict[str, np.ndarray], int]:
    """Return by how much each class's logit rises where one is added to a neuron at every position.

    A value that is zero stands for what is added to each unit of each layer; all classes' gradients with respect to all
    of these come from one forward pass of a batch, and one backward pass a class.

    Parameters
    ----------
    target : Target
        Loaded.
    batches : iterable
        Network inputs, as :meth:`Target.features` gives them.
    points : mapping of str to HookPoint
        Layers; a layer that the logits do not depend on gets zeros.
    done : callable
        Called with the number of clips so far.

    Returns
    -------
    dict of str to (R, C) float64
        Layer -> mean over clips.
    int
        Clips.

    Raises
    ------
    TargetError
        The network keeps no gradients, or gives no finite ones.
    """
    sums: dict[str, np.ndarray] = {}
    count = 0
    for features in batches:
        added = {name: torch.zeros(point.size, requires_grad=True) for name, point in points.items()}
        with ExitStack() as stack, torch.enable_grad():
            for name, point in points.items():
                stack.enter_context(point.attach(_plus(added[name])))
            logits = target.forward(features)
        if not logits.requires_grad:
            raise TargetError(f"{target.describe()} keeps no gradients, so nothing is known of what its neurons push")
        total = logits.float().sum(0)
        for c in range(logits.shape[1]):
            made = torch.autograd.grad(
                total[c], list(added.values()), retain_graph=c + 1 < logits.shape[1], allow_unused=True
            )
            for name, gradient in zip(added, made, strict=True):
                if name not in sums:
                    sums[name] = np.zeros((points[name].size, logits.shape[1]))
                if gradient is not None:
                    sums[name][:, c] += gradient.double().cpu().numpy()
        count += len(logits)
        done(count)
    if any(not np.isfinite(values).all() for values in sums.values()):
        raise TargetError(f"{target.describe()} gives gradients that are NaN or infinite")
    return {name: values / max(count, 1) for name, values in sums.items()}, count


def _plus(added: torch.Tensor) -> OnTensor:
    return lambda tensor: tensor + added.to(tensor)


def pushes(gradient: np.ndarray, std: np.ndarray, multi_label: bool) -> np.ndarray:
    """Return what one standard deviation more of each neuron does to each class.

    Parameters
    ----------
    gradient : (R, C) float
        Of the logits, as :func:`gradients` gives them.
    std : (R,) float
        Standard deviation of each neuron over the probing set.
    multi_label : bool
        Whether a clip may have several classes. If not, a change that is the same of all logits changes nothing, and is
        taken out.

    Returns
    -------
    (R, C) float32
        Change of the logits.
    """
    effect = np.asarray(gradient) * np.asarray(std)[:, None]
    return (effect if multi_label else effect - effect.mean(1, keepdims=True)).astype(np.float32)


def chance(gradient: np.ndarray, multi_label: bool, draws: int, seed: int) -> np.ndarray:
    """Return (draws,) largest absolute change of any class's logit by random directions of length one in a layer."""
    directions = np.random.default_rng(seed).standard_normal((draws, len(gradient)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    effect = directions @ np.asarray(gradient)
    if not multi_label:
        effect -= effect.mean(1, keepdims=True)
    return np.asarray(np.abs(effect).max(1, initial=0))
