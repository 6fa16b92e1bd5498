"""Any `torch.nn.Module`, given from Python."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from and_core.errors import TargetError
from and_core.targets.base import TARGETS
from and_core.targets.bound import BoundSettings, BoundTarget, Prepare


class ModuleSettings(BoundSettings):
    """`title` for provenance; `rate` in Hz; `classifier`: dotted name of the layer with one unit a class."""

    title: str


@TARGETS.register
class Module(BoundTarget[ModuleSettings]):
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
        self.give(network, prepare, classes, self.settings.rate)
        return self

    def bound(self) -> nn.Module:
        """Return the network that :meth:`bind` was given."""
        if not hasattr(self, "_net"):
            raise TargetError(
                "target.kind='module' needs a network from Python: run(config, "
                "target=TARGETS.create(config.target).bind(network, prepare))"
            )
        return self._net

    def describe(self) -> str:
        """Return one line for provenance."""
        return str(self.settings.title)

    def saved_settings(self, folder: Path) -> None:
        """Return None: the network is given from Python."""
