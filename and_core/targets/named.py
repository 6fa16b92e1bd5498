"""Layers by dotted name: what the adapters for foreign networks share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.records import Layer
from and_core.targets.base import Target, TargetSettings
from and_core.targets.hooks import StopForward, hooked

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
CLASSIFIER = "fc"
TRIED = (1.0, 4.0, 10.0)  # seconds of noise: a network may need clips of some length


class NamedTargetSettings(TargetSettings):
    """`token_axis`: 1 where layers give (batch, tokens, units), 0 for (tokens, batch, units). `special_tokens` stand
    before the others.

    `maps`: patterns of the dotted names whose outputs are read as maps over time; by default the last three
    convolutions, else the last three linear layers with tokens. `time_axis`: axis of time in the maps of
    two-dimensional convolutions.
    """

    pooling: Any = "mean"
    maps: tuple[str, ...] = ()
    time_axis: Literal[2, 3] = 3
    token_axis: Literal[0, 1] = 1
    special_tokens: int = 0


N = TypeVar("N", bound=NamedTargetSettings)


class NamedTarget(Target[N]):
    """A network whose linear layers and convolutions go by the dotted names that PyTorch gives them, in the order in
    which they run.

    A layer that a forward pass never calls, or calls more than once, has no activation of its own and is no layer here.
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
    _tokens: list[float] | None = None

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.special_tokens = settings.special_tokens
        if settings.pooling not in ("cls", "mean", "max", "first"):
            raise TargetError(f"target.pooling={settings.pooling!r}; allowed: cls, mean, max, first")
        if settings.pooling == "cls" and not settings.special_tokens:
            raise TargetError(
                "target.pooling='cls' needs target.special_tokens of at least 1: the network's own class token"
            )

    def all_modules(self) -> dict[str, nn.Module]:
        """Return linear layers and convolutions by dotted name; ``fc`` is the classifier."""
        return dict(self._layers)

    def listen(self) -> Any:
        """Try the network on noise, to see which layers run; return its output.

        Raises
        ------
        TargetError
            It fails on a second of noise and on longer noise, or its classifier does not run.
        """
        calls: list[str] = []
        fault: Exception | None = None
        modules = {
            name: m for name, m in self._net.named_modules() if name and isinstance(m, (nn.Linear, *CONVOLUTIONS))
        }
        with hooked(modules, lambda name, output: calls.append(name)):
            for seconds in TRIED:
                calls.clear()
                try:
                    with torch.inference_mode():
                        output = self.forward(self.features([noise(seconds, self.sample_rate)]))
                    fault = None
                    break
                except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                    fault = fault or error
        if fault is not None:
            raise TargetError(f"{self.describe()} fails on a second of noise: {first_line(fault)}") from fault
        running = [name for name, times in Counter(calls).items() if times == 1]
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

    def map_modules(self) -> dict[str, nn.Module]:
        """Return the modules that the setting `maps` names.

        Else the convolutions, else every hidden linear layer (those without tokens are told when they are read).
        """
        hidden = {name: module for name, module in self._layers.items() if name != CLASSIFIER}
        patterns = self.settings.maps
        if patterns:
            chosen = {name: module for name, module in hidden.items() if any(fnmatchcase(name, p) for p in patterns)}
            if not chosen:
                raise TargetError(f"target.maps={patterns!r} matches no layer; there are: {', '.join(hidden)}")
            return chosen
        return {name: module for name, module in hidden.items() if isinstance(module, CONVOLUTIONS)} or hidden

    def to_map(self, output: Any, name: str) -> torch.Tensor:
        """Return convolutions' maps with time last; token states as one row."""
        if isinstance(self._layers[name], CONVOLUTIONS):
            maps = (
                output[:, :, None]
                if output.ndim == 3
                else output
                if self.settings.time_axis == 3
                else output.transpose(2, 3)
            )
        else:
            tokens = output.transpose(0, 1) if self.settings.token_axis == 0 and output.ndim == 3 else output
            if tokens.ndim != 3:
                raise TargetError(f"layer {name} gives one vector a clip, not a map over time")
            maps = tokens[:, self.special_tokens :].transpose(1, 2)[:, :, None]
        if len(maps) != self._batch or maps.shape[-1] < 2:
            raise TargetError(f"layer {name} gives one vector a clip, not a map over time")
        return maps

    def layers(self) -> list[Layer]:
        """Return records of the chosen layers; the block is the first number in the name."""
        records, offset = [], 0
        for name, module in self.modules().items():
            size = int(module.out_features if isinstance(module, nn.Linear) else module.out_channels)  # type: ignore[arg-type]
            block = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
            kind: Any = "fc" if name == CLASSIFIER else "other"  # what a layer is called says nothing of what it is
            records.append(
                Layer(name=name, kind=kind, block=int(block[1]) if block else None, size=size, offset=offset)
            )
            offset += size
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

    def pool(self, output: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool whatever stands between batch and units as tokens: windows folded into the batch, two axes of a map,
        channels first."""
        if output.ndim == 2 and len(output) == self._batch:
            return output
        if isinstance(self._layers[layer], CONVOLUTIONS):
            output = output.movedim(1, -1)
        elif self.settings.token_axis == 0:
            if output.ndim == 2 and not len(output) % self._batch:
                output = output.reshape(-1, self._batch, output.shape[-1])
            output = output.transpose(0, 1) if output.ndim == 3 else output
        if len(output) % self._batch:
            raise TargetError(
                f"layer {layer} gives {tuple(output.shape)} for {self._batch} clips; is target.token_axis right?"
            )
        tokens = output.reshape(self._batch, -1, output.shape[-1])
        if self._tokens is not None and tokens.shape[1] > 1:
            shares = self._tokens
            counts = [max(1 + self.special_tokens, round(share * tokens.shape[1])) for share in shares]
            return torch.cat(
                [super(NamedTarget, self).pool(tokens[i : i + 1, :count], layer) for i, count in enumerate(counts)]
            )
        return super().pool(tokens, layer) if tokens.shape[1] > self.special_tokens else tokens[:, 0]


def noise(seconds: float, rate: int) -> np.ndarray:
    """Return quiet noise (samples,), the same each time."""
    return (np.random.default_rng(0).standard_normal(round(seconds * rate)) * 0.1).astype(np.float32)


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
