"""Ablation: units silenced for the length of a `with` block, and whole again, bit for bit, after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from and_core.errors import TargetError
from and_core.records import How
from and_core.targets.points import RECURRENT, HookPoint, OnTensor, as_points

GATES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def holds_weight(point: HookPoint) -> bool:
    """Return whether a layer's units are silenced by parameters of its own: neither made anew from others in every pass
    (weight or spectral norm, a pruning mask), nor read elsewhere than at the module's output."""
    if not point.holds_weights or is_parametrized(point.module):
        return False
    names = [name for name, _, _ in _rows(point, np.arange(1))]
    return all(isinstance(point.module._parameters.get(name), nn.Parameter) for name in names)


class Ablation(AbstractContextManager["Ablation"]):
    """Silence units of a network.

    Parameters
    ----------
    points : mapping of str to HookPoint or torch.nn.Module
        Layer name -> where it is, as :meth:`and_core.targets.base.Target.hook_points` gives them.
    masks : mapping of str to (R,) bool
        Layer name -> which of its units are silenced; layers that are not named stay whole.
    how : {'weights', 'zero', 'mean'}
        ``weights`` sets the weight row and the bias to zero, as the paper does; of a recurrent layer the unit's rows in
        every gate, so that its hidden state is 0 from beginning to end. Where units are not the outputs of parameters
        (a weight computed anew in every pass, the output of an activation function, an attention head, one call of
        several), the values are patched to zero instead, which comes to the same from there on. ``zero`` and ``mean``
        always patch, to zero or to `means`, and leave the parameters alone.
    means : mapping of str to (R,) float, optional
        Mean activation of each unit over the probing data, of heads the mean of each value in their vectors; needed for
        ``mean``.

    Raises
    ------
    TargetError
        An unknown layer, a mask of another size, or ``mean`` without means. Nothing has been changed then.

    Examples
    --------
    >>> with Ablation(target.hook_points(), {"layer0_fc1": mask}):  # doctest: +SKIP
    ...     changed = target.forward(features)
    """

    def __init__(
        self,
        points: Mapping[str, HookPoint | nn.Module],
        masks: Mapping[str, np.ndarray],
        how: How = "weights",
        means: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if how not in get_args(How):
            raise TargetError(f"how={how!r} is not known; allowed: {', '.join(get_args(How))}")
        self.how, self.means = how, means or {}
        self._parts: list[tuple[HookPoint, np.ndarray]] = []
        known = as_points({name: points[name] for name in masks if name in points})
        for name, mask in masks.items():
            if name not in known:
                raise TargetError(f"there is no layer {name!r} to ablate; there are: {', '.join(points)}")
            point = known[name]
            chosen = np.asarray(mask)
            if chosen.dtype != bool or chosen.shape != (point.size,):
                raise TargetError(
                    f"the mask of {name} is {chosen.dtype} of shape {chosen.shape}; {point.size} neurons need bool of "
                    f"shape ({point.size},)"
                )
            given = np.size(self.means[name]) if name in self.means else 0
            if how == "mean" and (given == 0 or given % point.size or (given != point.size and not point.heads)):
                raise TargetError(f"how='mean' needs the mean activation of each of the {point.size} neurons of {name}")
            if chosen.any():
                self._parts.append((point, np.flatnonzero(chosen)))
        self._saved: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._hooks: ExitStack | None = None

    @property
    def count(self) -> int:
        """Units that are silenced."""
        return sum(len(units) for _, units in self._parts)

    def __enter__(self) -> Ablation:
        if self._hooks is not None:
            raise TargetError("this ablation is already in force")
        self._hooks = ExitStack()
        try:
            for point, units in self._parts:
                if self.how == "weights" and holds_weight(point):
                    self._clear(point, units)
                else:
                    self._hooks.enter_context(point.attach(self._patch(point, units)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        with torch.no_grad():
            for parameter, rows, values in reversed(self._saved):
                parameter.data[rows] = values
        self._saved.clear()
        if self._hooks is not None:
            self._hooks.close()
            self._hooks = None

    def _clear(self, point: HookPoint, units: np.ndarray) -> None:
        with torch.no_grad():
            for _, parameter, numbers in _rows(point, units):
                if isinstance(parameter, torch.Tensor):
                    rows = torch.from_numpy(numbers).to(parameter.device)
                    self._saved.append((parameter, rows, parameter.data[rows].clone()))
                    parameter.data[rows] = 0

    def _patch(self, point: HookPoint, units: np.ndarray) -> OnTensor:
        def on_tensor(tensor: torch.Tensor) -> torch.Tensor:
            each = tensor.shape[-1] // point.size  # values a unit: several of a head
            places = torch.from_numpy((units[:, None] * each + np.arange(each)).reshape(-1)).to(tensor.device)
            values = torch.zeros(len(places)).to(tensor)
            if self.how == "mean":
                values = torch.as_tensor(np.asarray(self.means[point.name], np.float32)).to(tensor)[places]
            return tensor.index_copy(-1, places, values.expand(*tensor.shape[:-1], -1).contiguous())

        return on_tensor


def _rows(point: HookPoint, units: np.ndarray) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield the parameters that make units, and which of their rows: name, parameter, rows."""
    module: Any = point.module
    if not isinstance(module, RECURRENT):
        for name in ("weight", "bias"):
            yield name, getattr(module, name, None), units
        return
    size, last = module.proj_size or module.hidden_size, module.num_layers - 1
    for suffix, own in (("", units[units < size]), ("_reverse", units[units >= size] - size)):
        if len(own) and module.proj_size:
            name = f"weight_hr_l{last}{suffix}"
            yield name, getattr(module, name), own
        elif len(own):
            for gate in GATES:
                name = f"{gate}_l{last}{suffix}"
                parameter = getattr(module, name, None)
                count = 0 if parameter is None else len(parameter) // module.hidden_size
                yield name, parameter, (np.arange(count)[:, None] * module.hidden_size + own).reshape(-1)
