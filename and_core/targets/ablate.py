"""Ablation: output neurons of linear layers silenced for the length of a `with` block, and whole again, bit for bit,
after it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, get_args

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from and_core.errors import TargetError
from and_core.records import How


def holds_weight(module: nn.Module) -> bool:
    """Return whether a layer's weight is a parameter of its own, not made anew from others in every pass (weight or
    spectral norm, a pruning mask)."""
    return not is_parametrized(module) and isinstance(module._parameters.get("weight"), nn.Parameter)


class Ablation(AbstractContextManager["Ablation"]):
    """Silence neurons of a network.

    Parameters
    ----------
    modules : mapping of str to torch.nn.Module
        Layer name -> linear layer or convolution, as :meth:`and_core.targets.base.Target.modules` gives them.
    masks : mapping of str to (R,) bool
        Layer name -> which of its output neurons are silenced; layers that are not named stay whole.
    how : {'weights', 'zero', 'mean'}
        ``weights`` sets the weight row and the bias to zero, as the paper does (a layer whose weight is computed anew
        in every pass, such as a weight-normalised one, is patched to zero instead, which comes to the same). ``zero``
        and ``mean``
        patch the layer's output by a hook instead, to zero or to `means`, and leave the parameters alone.
    means : mapping of str to (R,) float, optional
        Mean activation of each neuron over the probing data; needed for ``mean``.

    Raises
    ------
    TargetError
        An unknown layer, a mask of another size, or ``mean`` without means. Nothing has been changed then.

    Examples
    --------
    >>> with Ablation(target.modules(), {"layer0_fc1": mask}):  # doctest: +SKIP
    ...     changed = target.forward(features)
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        masks: Mapping[str, np.ndarray],
        how: How = "weights",
        means: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if how not in get_args(How):
            raise TargetError(f"how={how!r} is not known; allowed: {', '.join(get_args(How))}")
        self.how, self.means = how, means or {}
        self._parts: list[tuple[str, nn.Module, torch.Tensor]] = []
        for name, mask in masks.items():
            if name not in modules:
                raise TargetError(f"there is no layer {name!r} to ablate; there are: {', '.join(modules)}")
            module: Any = modules[name]
            size = int(module.weight.shape[0])
            chosen = np.asarray(mask)
            if chosen.dtype != bool or chosen.shape != (size,):
                raise TargetError(
                    f"the mask of {name} is {chosen.dtype} of shape {chosen.shape}; {size} neurons need bool of shape "
                    f"({size},)"
                )
            if how == "mean" and (name not in self.means or np.shape(self.means[name]) != (size,)):
                raise TargetError(f"how='mean' needs the mean activation of each of the {size} neurons of {name}")
            if chosen.any():
                self._parts.append((name, module, torch.from_numpy(np.flatnonzero(chosen)).to(module.weight.device)))
        self._saved: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._handles: list[Any] = []

    @property
    def count(self) -> int:
        """Neurons that are silenced."""
        return sum(len(units) for _, _, units in self._parts)

    def __enter__(self) -> Ablation:
        if self._saved or self._handles:
            raise TargetError("this ablation is already in force")
        try:
            for name, module, units in self._parts:
                if self.how == "weights" and holds_weight(module):
                    self._clear(module, units)
                else:
                    self._handles.append(module.register_forward_hook(self._patch(name, module, units)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        with torch.no_grad():
            for parameter, units, values in reversed(self._saved):
                parameter.data[units] = values
        self._saved.clear()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _clear(self, module: nn.Module, units: torch.Tensor) -> None:
        with torch.no_grad():
            for parameter in (module.weight, module.bias):
                if isinstance(parameter, torch.Tensor):
                    self._saved.append((parameter, units, parameter.data[units].clone()))
                    parameter.data[units] = 0

    def _patch(self, name: str, module: nn.Module, units: torch.Tensor) -> Any:
        axis = -1 if isinstance(module, nn.Linear) else 1
        values = (
            torch.zeros(len(units))
            if self.how != "mean"
            else torch.as_tensor(np.asarray(self.means[name], np.float32))[units.cpu()]
        )

        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            shape = [1] * output.ndim
            shape[axis] = len(units)
            return output.index_copy(
                axis % output.ndim, units, values.to(output).view(shape).expand(*_with(output.shape, axis, len(units)))
            )

        return hook


def _with(shape: torch.Size, axis: int, size: int) -> list[int]:
    changed = list(shape)
    changed[axis] = size
    return changed
