"""Any `torch.nn.Module`, given from Python."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from and_core.errors import TargetError
from and_core.targets.base import TARGETS
from and_core.targets.named import NamedTarget, NamedTargetSettings, equal_lengths

Prepare = Callable[[np.ndarray], torch.Tensor]


class ModuleSettings(NamedTargetSettings):
    """`title` for provenance; `rate` in Hz; `classifier`: dotted name of the layer with one unit a class."""

    title: str
    rate: int = 16_000
    classifier: str | None = None


@TARGETS.register
class Module(NamedTarget[ModuleSettings]):
    """A network of one's own: configure ``{kind: module, title: ...}``, :meth:`bind` the network, and give it to
    :func:`and_core.pipeline.run`."""

    kind = "module"
    from_python = True

    def bind(self, network: nn.Module, prepare: Prepare, classes: list[str] | None = None) -> Module:
        """Give the network.

        Parameters
        ----------
        network : torch.nn.Module
            Called with (B, ...), gives logits (B, C), or token states (B, T, D) where there is no classifier.
        prepare : callable
            (B, samples) float32 waveforms of one length -> what the network is called with, batch first.
        classes : list of str, optional
            Names of the classifier's units.

        Raises
        ------
        TargetError
            `classifier` names no layer, or its units are not as many as the classes.
        """
        s = self.settings
        self._net, self._prepare, self._names, self.sample_rate = network, prepare, classes, s.rate
        if s.classifier is not None:
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
                raise TargetError(
                    f"target.classifier={s.classifier!r} has {units} units; {len(classes)} classes are given"
                )
            self._classifier = s.classifier
        return self

    def _bound(self) -> nn.Module:
        if not hasattr(self, "_net"):
            raise TargetError(
                "target.kind='module' needs a network from Python: run(config, "
                "target=TARGETS.create(config.target).bind(network, prepare))"
            )
        return self._net

    def fingerprint(self) -> str:
        """Hash of the weights, of the network's outline, of the class names, and of what `prepare` makes of a second of
        noise."""
        net = self._bound()
        noise = (np.random.default_rng(0).standard_normal((1, self.sample_rate)) * 0.1).astype(np.float32)
        digest = hashlib.sha256(repr((repr(net), self._names)).encode("utf-8", "backslashreplace"))
        digest.update(self._prepare(noise).detach().cpu().numpy().tobytes())
        for name, tensor in net.state_dict().items():
            digest.update(name.encode("utf-8", "backslashreplace"))
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Return one line for provenance."""
        return str(self.settings.title)

    def load(self, device: str) -> None:
        """Put the network into evaluation mode, on the device, and try it."""
        self._bound().eval().to(device)
        self.device = device
        self.listen()

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``: the state dict, to be read back with `safetensors.torch.load_model` into the
        same network."""
        from safetensors.torch import save_model

        save_model(self._bound(), str(folder / "model.safetensors"))

    def saved_settings(self, folder: Path) -> None:
        """Return None: the network is given from Python."""

    @property
    def classes(self) -> list[str] | None:
        """As given."""
        return self._names

    def features(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Return input of each run of equally long clips."""
        return [self._prepare(np.stack(run).astype(np.float32)) for run in equal_lengths(waves)]

    def forward(self, features: list[torch.Tensor]) -> Any:
        """Call the network on a copy of the input, which it may change in place."""
        return self.passes((len(x), lambda x=x: self._net(x.to(self.device, copy=True))) for x in features)  # type: ignore[misc]
