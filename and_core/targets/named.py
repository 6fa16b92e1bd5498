"""Layers by dotted name: what the adapters for foreign networks share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.records import Layer
from and_core.targets.base import Target, TargetSettings
from and_core.targets.finding import runs_once
from and_core.targets.hooks import StopForward
from and_core.targets.points import CONVOLUTIONS, RECURRENT, HookPoint, point_of
from and_core.targets.pooling import pool_tokens

CLASSIFIER = "fc"
TRIED = (1.0, 4.0, 10.0)  # seconds of noise: a network may need clips of some length


class NamedTargetSettings(TargetSettings):
    """`token_axis`: 1 where layers give (batch, tokens, units), 0 for (tokens, batch, units). `special_tokens` stand
    before the others.

    `maps`: patterns of the dotted names whose outputs are read as maps over time; by default the last three
    convolutions, else the last three layers with tokens. `time_axis`: axis of time in the maps of two-dimensional
    convolutions.
    """

    pooling: str | dict[str, str] = "mean"
    maps: tuple[str, ...] = ()
    time_axis: Literal[2, 3] = 3
    token_axis: Literal[0, 1] = 1
    special_tokens: int = 0


N = TypeVar("N", bound=NamedTargetSettings)


class NamedTarget(Target[N]):
    """A network whose linear, convolution and recurrent layers go by the dotted names that PyTorch gives them, in the
    order in which they run.

    A layer that a forward pass never calls has no activation and is no layer here; one that it calls more than once is
    one by the number of each call, as a hook point (``NAME#2``).
    The classifier goes by the name ``fc``, and by nothing else: a hidden layer that PyTorch calls ``fc`` is
    ``fc_hidden`` here.
    Clips of different lengths are never padded to one another: each run of equally long clips is one pass, so that a
    clip's activations do not depend on its neighbours.
    """

    Settings = NamedTargetSettings
    _net: nn.Module
    _classifier: str | None = None
    _layers: dict[str, nn.Module]
    _batch: int = 0

    poolings = ("cls", "mean", "max", "first")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.special_tokens = settings.special_tokens
        ways = settings.pooling.values() if isinstance(settings.pooling, dict) else [settings.pooling]
        if "cls" in ways and not settings.special_tokens:
            raise TargetError(
                "target.pooling='cls' needs target.special_tokens of at least 1: the network's own class token"
            )

    def all_modules(self) -> dict[str, nn.Module]:
        """Return linear, convolution and recurrent layers by dotted name; ``fc`` is the classifier."""
        return dict(self._layers)

    def listen(self) -> Any:
        """Try the network on noise, to see which layers run; return its output.

        Raises
        ------
        TargetError
            It fails on a second of noise and on longer noise, or its classifier does not run.
        """
        fault: Exception | None = None
        for seconds in TRIED:
            self._tried = seconds
            try:
                calls, output = self.record(1)
                fault = None
                break
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                fault = fault or error
        if fault is not None:
            raise TargetError(f"{self.describe()} fails on a second of noise: {first_line(fault)}") from fault
        self._one, self._calls, self._points = calls, None, None
        running = runs_once(calls, (nn.Linear, *CONVOLUTIONS, *RECURRENT))
        if self._classifier is not None and self._classifier not in running:
            raise TargetError(
                f"{self.describe()}: the classifier {self._classifier} does not run exactly once in a pass"
            )
        named = dict(self._net.named_modules())
        hidden = [name for name in running if name != self._classifier]
        self._layers = {_free(name, hidden): named[name] for name in hidden}
        if self._classifier is not None:
            self._layers[CLASSIFIER] = named[self._classifier]
        return output

    @property
    def network(self) -> nn.Module:
        """The whole network."""
        return self._net

    def map_points(self) -> dict[str, HookPoint]:
        """Return the layers that the setting `maps` names.

        Else the convolutions, else every hidden layer (those without tokens are told when they are read).
        """
        hidden = {name: module for name, module in self._layers.items() if name != CLASSIFIER}
        patterns = self.settings.maps
        chosen = {name: module for name, module in hidden.items() if any(fnmatchcase(name, p) for p in patterns)}
        if patterns and not chosen:
            raise TargetError(f"target.maps={patterns!r} matches no layer; there are: {', '.join(hidden)}")
        convolutions = {name: module for name, module in hidden.items() if isinstance(module, CONVOLUTIONS)}
        return {name: self._point(name, module) for name, module in (chosen or convolutions or hidden).items()}

    def weighted_points(self) -> dict[str, HookPoint]:
        """Return hook points of the chosen layers, tokens first where the network has them so."""
        return {name: self._point(name, point.module) for name, point in super().weighted_points().items()}

    def _point(self, name: str, module: nn.Module) -> HookPoint:
        point = point_of(name, module)
        plain = isinstance(module, nn.Linear) and self.settings.token_axis == 0
        return replace(point, batch_axis=1) if plain else point

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return maps with time last; token states as one row."""
        if activation.ndim == 4:
            maps = activation.permute(0, 3, 1, 2) if self.settings.time_axis == 3 else activation.permute(0, 3, 2, 1)
        elif activation.ndim == 3:
            special = 0 if self.channels_first(name) else self.special_tokens
            maps = activation[:, special:].transpose(1, 2)[:, :, None]
        else:
            raise TargetError(f"layer {name} gives one vector a clip, not a map over time")
        if len(maps) != self._batch or maps.shape[-1] < 2:
            raise TargetError(f"layer {name} gives one vector a clip, not a map over time")
        return maps

    def layers(self) -> list[Layer]:
        """Return records of the chosen layers; the block is the first number in the name."""
        records = []
        for layer in super().layers():
            block = re.search(r"(?:^|\.)(\d+)(?:[.:#]|$)", layer.name)
            kind: Any = "fc" if layer.name == CLASSIFIER else "other"  # a name says nothing of what a layer is
            records.append(layer.model_copy(update={"kind": kind, "block": int(block[1]) if block else None}))
        return records

    def passes(self, groups: Iterator[tuple[int, Callable[[], torch.Tensor]]]) -> torch.Tensor | None:
        """Return forward passes of several groups, their results joined; None where every pass was stopped early."""
        outs = []
        for size, forward in groups:
            self._batch = size
            try:
                outs.append(forward())
            except StopForward:
                continue
        return torch.cat(outs) if outs else None

    def pool(self, activation: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool whatever stands between batch and units as tokens: windows folded into the batch, two axes of a map."""
        if activation.ndim == 2 and len(activation) == self._batch:
            return activation
        if activation.ndim == 2 and self.settings.token_axis == 0 and not len(activation) % self._batch:
            activation = activation.reshape(-1, self._batch, activation.shape[-1]).transpose(0, 1)
        if len(activation) % self._batch:
            raise TargetError(
                f"layer {layer} gives {tuple(activation.shape)} for {self._batch} clips; is target.token_axis right?"
            )
        tokens = activation.reshape(self._batch, -1, activation.shape[-1])
        maps = activation.ndim > 3 or self.channels_first(layer)
        special = 0 if maps or tokens.shape[1] <= self.special_tokens else self.special_tokens
        return pool_tokens(tokens, self.pooling_of(layer), special)

    def channels_first(self, layer: str) -> bool:
        """Return whether a layer's units stand before time and frequency, as a convolution's: none of its columns is a
        special token."""
        point = (self._points or {}).get(layer)  # not found here: finding them runs the network
        return isinstance(self._layers.get(layer), CONVOLUTIONS) if point is None else point.axis == 1


def _free(name: str, hidden: list[str]) -> str:
    """Return a hidden layer's own name, or one beside it where the classifier's name is its own."""
    if name != CLASSIFIER:
        return name
    while name in hidden:
        name += "_hidden"
    return name


def equal_lengths(waves: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield runs of neighbouring waves of one length."""
    for _, run in groupby(waves, key=len):
        yield list(run)
