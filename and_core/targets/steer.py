"""Steering: values added to a layer's outputs, or units held at a value, for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError
from and_core.targets.points import HookPoint, OnTensor, as_points

Mode = Literal["add", "clamp"]


@dataclass(frozen=True, eq=False)
class Dial:
    """A change of one layer's outputs.

    Attributes
    ----------
    layer : str
    values : (R,) float
        What is added to each unit (a neuron, a set, or a direction), or what units are held at.
    mode : {'add', 'clamp'}
    units : (R,) bool or None
        Units that are held; of ``add``, None is every unit.
    tokens : tuple of int or None
        Positions along the token axis (0 is the class token of AST) that are changed; None: all.
    """

    layer: str
    values: np.ndarray
    mode: Mode = "add"
    units: np.ndarray | None = None
    tokens: tuple[int, ...] | None = None


class Steering(AbstractContextManager["Steering"]):
    """Change outputs of layers while the block lasts; parameters are never touched.

    Parameters
    ----------
    points : mapping of str to HookPoint or torch.nn.Module
        Layer name -> where it is, as :meth:`and_core.targets.base.Target.hook_points` gives them.
    edits : sequence of Dial
        Later ones see what earlier ones have changed.

    Raises
    ------
    TargetError
        An unknown layer or mode, values or units of another size, values that are not finite, attention heads (a head's
        activation is a length, so there is nothing to add to), or a layer without tokens where positions are named.

    Examples
    --------
    >>> push = np.zeros(768, np.float32)
    >>> push[37] = 2.5
    >>> with Steering(target.hook_points(), [Dial("layer11_output", push)]):  # doctest: +SKIP
    ...     changed = target.forward(features)
    """

    def __init__(self, points: Mapping[str, HookPoint | nn.Module], edits: Sequence[Dial]) -> None:
        known = as_points({edit.layer: points[edit.layer] for edit in edits if edit.layer in points})
        self._parts = [(self._checked(known, points, edit), edit) for edit in edits]
        self._hooks: ExitStack | None = None

    @staticmethod
    def _checked(known: Mapping[str, HookPoint], points: Mapping[str, object], edit: Dial) -> HookPoint:
        if edit.layer not in known:
            raise TargetError(f"there is no layer {edit.layer!r} to steer; there are: {', '.join(points)}")
        point = known[edit.layer]
        if edit.mode not in get_args(Mode):
            raise TargetError(f"mode={edit.mode!r} is not known; allowed: {', '.join(get_args(Mode))}")
        if point.heads:
            raise TargetError(f"{edit.layer} is of attention heads, whose activation is a length; it can't be steered")
        if np.shape(edit.values) != (point.size,) or not np.isfinite(edit.values).all():
            raise TargetError(f"values of {edit.layer} must be {point.size} finite numbers, one a unit")
        if edit.mode == "clamp" and edit.units is None:
            raise TargetError("mode='clamp' needs units: which of the layer's units are held")
        if edit.units is not None and (np.shape(edit.units) != (point.size,) or edit.units.dtype != bool):
            raise TargetError(f"units of {edit.layer} must be bool of shape ({point.size},)")
        return point

    def __enter__(self) -> Steering:
        if self._hooks is not None:
            raise TargetError("this steering is already in force")
        self._hooks = ExitStack()
        try:
            for point, edit in self._parts:
                self._hooks.enter_context(point.attach(_changed(edit)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._hooks is not None:
            self._hooks.close()
            self._hooks = None


def _changed(edit: Dial) -> OnTensor:
    def on_tensor(tensor: torch.Tensor) -> torch.Tensor:
        values = torch.as_tensor(np.asarray(edit.values, np.float32)).to(tensor)
        if edit.units is not None:
            units = torch.as_tensor(edit.units).to(tensor.device)
            target = torch.where(units, values if edit.mode == "clamp" else tensor + values, tensor)
        else:
            target = tensor + values
        if edit.tokens is None:
            return target
        if tensor.ndim < 3:
            raise TargetError(f"{edit.layer} gives one vector a clip; there are no tokens {edit.tokens} to steer")
        outside = [t for t in edit.tokens if not 0 <= t < tensor.shape[1]]
        if outside:
            raise TargetError(f"tokens={edit.tokens}: {edit.layer} has {tensor.shape[1]} of them, from 0")
        mine = torch.zeros(tensor.shape[1], dtype=torch.bool, device=tensor.device)
        mine[list(edit.tokens)] = True
        shape = (1, -1, *([1] * (tensor.ndim - 2)))
        return torch.where(mine.view(shape), target, tensor)

    return on_tensor
