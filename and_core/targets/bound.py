"""A network that a function or a notebook gives: what the targets `module` and `python` share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.registry import LaterSetting
from and_core.targets.base import noise
from and_core.targets.named import NamedTarget, NamedTargetSettings, equal_lengths

EPSILON = 1e-7  # probabilities are kept so far from 0 and 1, whose logits are infinite
Prepare = Callable[[np.ndarray], torch.Tensor]


class BoundSettings(NamedTargetSettings):
    """`rate` in Hz; `classifier`: dotted name of the layer with one unit a class.

    `output`: key or place of the classes' outputs, where the network gives a dict or a tuple. `gives`: whether they are
    logits, or probabilities already (of a sigmoid with `multi_label`, else of a softmax).
    """

    rate: int = 16_000
    classifier: str | None = None
    output: Annotated[str | int | None, LaterSetting()] = None
    gives: Annotated[Literal["logits", "probabilities"], LaterSetting()] = "logits"


B = TypeVar("B", bound=BoundSettings)


class BoundTarget(NamedTarget[B]):
    """A network with what prepares sound for it and the names of its classes; a subclass says where they come from."""

    _net: nn.Module
    _prepare: Prepare
    _names: list[str] | None = None

    def give(self, network: nn.Module, prepare: Prepare, classes: list[str] | None, rate: int) -> None:
        """Take the network in; `classifier` must name a linear layer with as many units as there are classes."""
        s = self.settings
        self._net, self._prepare, self._names, self.sample_rate = network, prepare, classes, rate
        if s.classifier is None:
            return
        linear = {
            name: module.out_features
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear) and name
        }
        if s.classifier not in linear:
            there = ", ".join(f"{name} ({units} units)" for name, units in linear.items()) or "none"
            raise TargetError(
                f"target.classifier={s.classifier!r} is no linear layer of the network; there are: {there}"
            )
        units = linear[s.classifier]
        if classes is not None and units != len(classes):
            raise TargetError(f"target.classifier={s.classifier!r} has {units} units; {len(classes)} classes are given")
        self._classifier = s.classifier

    def bound(self) -> nn.Module:
        """Return the network.

        Raises
        ------
        TargetError
            It is not there; the message says how it is given.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Hash of the weights, of the network's outline, of the class names, and of what `prepare` makes of a second of
        noise."""
        net = self.bound()
        digest = hashlib.sha256(repr((repr(net), self._names)).encode("utf-8", "backslashreplace"))
        with threadpool_limits(1):  # sums in another order are other bytes: the same on any number of cores
            digest.update(self.prepared(noise(1.0, self.sample_rate)[None]).detach().cpu().numpy().tobytes())
        for name, tensor in net.state_dict().items():
            digest.update(name.encode("utf-8", "backslashreplace"))
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def load(self, device: str) -> None:
        """Put the network into evaluation mode, on the device, and try it.

        Raises
        ------
        TargetError
            It fails on noise, has not one output a class, or gives other values than `gives` says.
        """
        self.bound().eval().to(device)
        self.device = device
        output = self.listen()
        if self._names is not None and isinstance(output, torch.Tensor) and output.shape[-1] != len(self._names):
            raise TargetError(
                f"{self.describe()} gives {output.shape[-1]} outputs a clip; {len(self._names)} classes are given"
            )

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``: the state dict, to be read back with `safetensors.torch.load_model` into the
        same network."""
        from safetensors.torch import save_model

        save_model(self.bound(), str(folder / "model.safetensors"))

    @property
    def classes(self) -> list[str] | None:
        """As given."""
        return self._names

    def prepared(self, waves: np.ndarray) -> torch.Tensor:
        """Return what the network is called with, from (B, samples) waveforms of one length.

        Raises
        ------
        TargetError
            `prepare` fails, gives no tensor, or another number of rows than there are clips.
        """
        try:
            made = self._prepare(waves)
        except Exception as error:
            raise TargetError(
                f"{self.describe()}: prepare fails on waveforms {waves.shape}: {first_line(error)}"
            ) from error
        if not isinstance(made, torch.Tensor):
            raise TargetError(f"{self.describe()}: prepare gives {type(made).__name__}; a tensor is expected")
        if not made.ndim or len(made) != len(waves):
            raise TargetError(
                f"{self.describe()}: prepare gives {tuple(made.shape)} for {len(waves)} clips; the batch comes first"
            )
        return made

    def features(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Return input of each run of equally long clips."""
        return [self.prepared(np.stack(run).astype(np.float32)) for run in equal_lengths(waves)]

    def forward(self, features: list[torch.Tensor]) -> Any:
        """Call the network on a copy of the input, which it may change in place; return logits."""
        return self.passes((len(x), partial(self._run, x)) for x in features)

    def _run(self, prepared: torch.Tensor) -> torch.Tensor:
        return self._logits(self._net(prepared.to(self.device, copy=True)))

    def _logits(self, output: Any) -> torch.Tensor:
        s = self.settings
        if s.output is not None:
            try:
                named = isinstance(s.output, str) and is_dataclass(output) and not isinstance(output, Mapping)
                output = getattr(output, str(s.output)) if named else output[s.output]
            except (KeyError, IndexError, TypeError, AttributeError):
                raise TargetError(f"target.output={s.output!r}: the network gives {_described(output)}") from None
        if not isinstance(output, torch.Tensor):
            raise TargetError(
                f"{self.describe()} gives {_described(output)}; target.output must say which of them the classes' "
                "outputs are"
            )
        if s.gives == "logits":
            return output
        p = output.float()
        if not bool(((p >= 0) & (p <= 1)).all()):
            raise TargetError(
                f"target.gives='probabilities': {self.describe()} gives values from {float(p.min()):.3g} to "
                f"{float(p.max()):.3g}"
            )
        return torch.logit(p, EPSILON) if self.multi_label else torch.log(p.clamp_min(EPSILON))


def _described(output: Any) -> str:
    """Return what a network gives, for a message."""
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(repr, output))}"
    if is_dataclass(output):
        return f"{type(output).__name__} with {', '.join(repr(field.name) for field in fields(output))}"
    if isinstance(output, tuple | list):
        return f"{len(output)} values (0 to {len(output) - 1})"
    return f"a tensor {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
