"""A network with units added to it, whose meaning is known because they were fitted to have it."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import numpy as np
import torch

from and_core.config import PluginConfig
from and_core.errors import TargetError
from and_core.registry import FilePath, without_later
from and_core.targets.base import TARGETS, Target, TargetSettings
from and_core.targets.hooks import hooked

ADDED = "_planted"  # ends the name of a layer of added units


class PlantedSettings(TargetSettings):
    """`base`: the target that is read.

    `path`: the safetensors file of the added units, ``LAYER.weight`` and ``LAYER.bias``; where a unit fires as much as
    the weaker of two read-outs, also ``LAYER.second_weight`` and ``LAYER.second_bias``.
    """

    base: dict[str, Any]
    path: FilePath

    def reaches(self) -> list[str]:
        """Return what the base does."""
        return TARGETS.reaches(PluginConfig(**self.base))


class WeakerOfTwo(torch.nn.Module):
    """Units that fire as much as the weaker of two linear read-outs."""

    def __init__(self, one: torch.nn.Module, other: torch.nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other
        self.out_features = int(one.out_features)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return units' values (..., units)."""
        return torch.minimum(self.one(x), self.other(x))


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    added = torch.nn.Linear(weight.shape[1], weight.shape[0])
    added.load_state_dict({"weight": weight, "bias": bias})
    return added


@TARGETS.register
class Planted(Target[PlantedSettings]):
    """Another target whose chosen layers are read by added units; the added units are what is dissected."""

    kind = "planted"

    @cached_property
    def base(self) -> Target:
        """The target that is read."""
        settings = self.settings
        return TARGETS.create(PluginConfig(**settings.base), self.recorded)

    def identifying_settings(self) -> dict[str, Any]:
        """Return any target's, and the settings of the one that is read without its paths."""
        base = TARGETS.given_settings(PluginConfig(**self.settings.base))
        return {**super().identifying_settings(), "base": base}

    def _bytes(self) -> bytes:
        path = self.settings.path
        try:
            return path.read_bytes()
        except OSError as error:
            raise TargetError(f"target.path={str(path)!r}: the added units can't be read: {error}") from None

    def fingerprint(self) -> str:
        """Return the fingerprint of the network that is read, of how it is pooled, and of the added units."""
        settings = self.base.settings
        base = json.dumps(without_later(type(settings), settings.model_dump(mode="json")), sort_keys=True)
        return hashlib.sha256(self.base.fingerprint().encode() + base.encode() + self._bytes()).hexdigest()

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"units planted in {self.base.describe()}"

    def load(self, device: str) -> None:
        """Load the network and let the added units hear the layers that they read.

        Raises
        ------
        TargetError
            A layer is not there, is not linear, or has another number of units than the added ones read.
        """
        from safetensors.torch import load

        self.base.load(device)
        self.device, self.sample_rate, self.special_tokens = device, self.base.sample_rate, self.base.special_tokens
        tensors, modules = load(self._bytes()), self.base.all_modules()
        self._added: dict[str, torch.nn.Module] = {}
        read: dict[str, torch.nn.Module] = {}
        for name, module in modules.items():
            if f"{name}.weight" not in tensors:
                continue
            weight, bias = tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias")
            if not isinstance(module, torch.nn.Linear) or weight.shape[1] != module.out_features:
                raise TargetError(f"units planted in {name} read {weight.shape[1]} neurons; the layer is {module}")
            added: torch.nn.Module = _linear(weight, bias)
            if f"{name}.second_weight" in tensors:
                other = _linear(tensors.pop(f"{name}.second_weight"), tensors.pop(f"{name}.second_bias"))
                added = WeakerOfTwo(added, other)
            self._added[name + ADDED] = added.eval().to(device)
            read[name] = module
        if tensors:
            raise TargetError(
                f"units are planted in layers that the network has not: {', '.join(sorted(tensors))}; it has: "
                f"{', '.join(modules)}"
            )
        self._hooks = ExitStack()  # the added units run with the network for as long as there is this target
        self._hooks.enter_context(hooked(read, self._run_added))

    def _run_added(self, name: str, output: torch.Tensor) -> None:
        self._added[name + ADDED](output)

    def all_modules(self) -> dict[str, torch.nn.Module]:
        """Return layers of added units, in the order of the layers that they read."""
        return self._added

    @property
    def classes(self) -> None:
        """None: the added units are no classifier."""
        return None

    def features(self, waves: list[np.ndarray]) -> Any:
        """Return the input of the network that is read."""
        return self.base.features(waves)

    def forward(self, features: Any) -> torch.Tensor:
        """Return logits of the network that is read."""
        return self.base.forward(features)

    def pool(self, activation: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool as the layer that is read is pooled."""
        return self.base.pool(activation, layer.removesuffix(ADDED))

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return the map of what is added to a layer: its cells lie where the layer's own do."""
        return self.base.to_map(activation, name.removesuffix(ADDED))

    def map_edges(self, rows: int, columns: int, seconds: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Return where the cells of a map of the network that is read lie."""
        return self.base.map_edges(rows, columns, seconds)

    def heard_seconds(self, seconds: float) -> float:
        """Return what the network that is read hears."""
        return self.base.heard_seconds(seconds)
