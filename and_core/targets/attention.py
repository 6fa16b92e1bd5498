"""Attention heads: where they are handed on, and those of `torch.nn.MultiheadAttention`, which no hook can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from and_core.errors import TargetError

OnHeads = Callable[[torch.Tensor], torch.Tensor | None]
COUNTS = ("num_heads", "num_attention_heads", "n_heads", "nhead", "attention_heads", "heads")
PROJECTIONS = ("out_proj", "o_proj", "linear_out", "to_out", "wo", "proj", "proj_out", "output.dense", "dense")


class AttentionTap:
    """What listens to the heads of one module.

    While there is anything, the module projects by the identity, and the projection is done after it, by its own
    weights.
    """

    _open: ClassVar[dict[int, AttentionTap]] = {}

    def __init__(self, module: nn.MultiheadAttention) -> None:
        self._module = module
        self._on_heads: list[OnHeads] = []
        self._own: dict[str, nn.Parameter | None] = {}
        self._handles: list[Any] = []

    @classmethod
    @contextmanager
    def listening(cls, module: nn.MultiheadAttention, on_heads: OnHeads) -> Iterator[None]:
        """Call `on_heads` with the heads' vectors side by side, axes as the module orders them; what it returns is
        projected in their place."""
        tap = cls._open.setdefault(id(module), cls(module))
        if not tap._on_heads:
            tap._handles = [
                module.register_forward_pre_hook(lambda *_: tap._begin()),
                module.register_forward_hook(lambda module, args, output: tap._end(output)),
            ]
        tap._on_heads.append(on_heads)
        try:
            yield
        finally:
            tap._on_heads.remove(on_heads)
            if not tap._on_heads:
                tap._restore()
                for handle in tap._handles:
                    handle.remove()
                del cls._open[id(module)]

    def _begin(self) -> None:
        projection = self._module.out_proj
        self._own = {name: projection._parameters[name] for name in ("weight", "bias")}
        weight, bias = self._own["weight"], self._own["bias"]
        assert weight is not None
        eye = torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        projection._parameters["weight"] = nn.Parameter(eye, requires_grad=False)
        if bias is not None:
            projection._parameters["bias"] = nn.Parameter(torch.zeros_like(bias), requires_grad=False)

    def _restore(self) -> None:
        self._module.out_proj._parameters.update(self._own)
        self._own = {}

    def _end(self, output: tuple[torch.Tensor, Any]) -> tuple[torch.Tensor, Any]:
        self._restore()
        heads, weights = output
        for on_heads in self._on_heads:
            changed = on_heads(heads)
            heads = heads if changed is None else changed
        projection = self._module.out_proj
        return F.linear(heads, projection.weight, projection.bias), weights


def find_heads(modules: Mapping[str, nn.Module], named: Mapping[str, int]) -> dict[str, tuple[nn.Module, int]]:
    """Return where attention heads are handed on: name -> (projection that takes them in, number of heads).

    Parameters
    ----------
    modules : mapping of str to torch.nn.Module
        Dotted name -> module, of the whole network.
    named : mapping of str to int
        Patterns of linear layers whose input is so many heads side by side, where modules do not say it themselves.

    Raises
    ------
    TargetError
        A pattern matches no linear layer, or its input is no multiple of the number.
    """
    heads: dict[str, tuple[nn.Module, int]] = {}
    counts = {name: count for name in modules if (count := _count(name, modules)) is not None}
    for name, count in counts.items():
        module = modules[name]
        inner = any(other.startswith(f"{name}.") for other in counts)  # an encoder that repeats its attention's number
        if isinstance(module, nn.MultiheadAttention):
            heads[name] = (module, count)
        elif (
            not inner and (projection := _projection(name, modules)) is not None and projection.in_features % count == 0
        ):
            heads[name] = (projection, count)
    for pattern, count in named.items():
        linear = {n: m for n, m in modules.items() if isinstance(m, nn.Linear) and fnmatchcase(n, pattern)}
        if not linear:
            raise TargetError(f"target.heads={pattern!r} matches no linear layer")
        for name, layer in linear.items():
            if layer.in_features % count:
                raise TargetError(
                    f"target.heads={pattern!r}: {name} takes {layer.in_features} values, no multiple of {count} heads"
                )
            heads[name] = (layer, count)
    return heads


def _count(name: str, modules: Mapping[str, nn.Module]) -> int | None:
    """Return how many heads a module says it has, or how often a head's width goes into what is projected."""
    module = modules[name]
    stated = next((n for key in COUNTS if (n := _whole(module, key)) is not None), None)
    width = _whole(module, "head_dim")
    if stated is not None or width is None:
        return stated
    projection = _projection(name, modules)
    return None if projection is None or projection.in_features % width else projection.in_features // width


def _whole(module: nn.Module, key: str) -> int | None:
    value = getattr(module, key, None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _projection(name: str, modules: Mapping[str, nn.Module]) -> nn.Linear | None:
    """Return the linear layer that an attention module ends in; in older layouts it stands beside the module."""
    for place in (name, name.rpartition(".")[0]):
        for suffix in PROJECTIONS:
            module = modules.get(f"{place}.{suffix}" if place else suffix)
            if isinstance(module, nn.Linear):
                return module
    return None
