"""What every target network offers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np

from and_core.errors import TargetError
from and_core.records import Layer
from and_core.registry import LaterSetting, Plugin, Registry, Settings

if TYPE_CHECKING:
    import torch

Pooling = Literal["cls", "mean", "max", "first", "reference"]
FrontEnd = Annotated[Literal["own", "torchaudio"], LaterSetting()]  # what computes filter banks


class TargetSettings(Settings):
    """`layers`: name patterns such as ``layer0_*``; `trained_folds`: folds of the probing dataset it was trained on."""

    pooling: Pooling = "cls"
    layers: tuple[str, ...] = ("*",)
    trained_folds: tuple[int, ...] = ()


T = TypeVar("T", bound=TargetSettings)


class Target(Plugin[T]):
    """A network whose linear layers are dissected. Everything below :meth:`load` may be called only after it."""

    Settings = TargetSettings

    from_python: bool = False  # the network is given from Python; no configuration can load it
    sample_rate: int = 16_000
    special_tokens: int = 0
    device: str = "cpu"

    def fingerprint(self) -> str:
        """Return the identity of the weights and of what is done with the sound before them. Needs no loading."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return one line for provenance: which network."""
        raise NotImplementedError

    def load(self, device: str) -> None:
        """Read the weights onto a device, in evaluation mode."""
        raise NotImplementedError

    def all_modules(self) -> dict[str, torch.nn.Module]:
        """Return layer name -> linear module, in the order in which they run; ``fc`` is the classifier."""
        raise NotImplementedError

    @property
    def classes(self) -> list[str] | None:
        """Names of the classifier's units, None where it has none."""
        raise NotImplementedError

    def features(self, waves: list[np.ndarray]) -> Any:
        """Return network input (what :meth:`forward` takes), batch first, from waveforms (samples,) at
        :attr:`sample_rate`. Safe to call from a thread."""
        raise NotImplementedError

    def forward(self, features: Any) -> torch.Tensor:
        """Return logits (B, classes)."""
        raise NotImplementedError

    @property
    def network(self) -> torch.nn.Module:
        """The loaded network as a module, with all its weights.

        Raises
        ------
        TargetError
            This kind of target has none to give.
        """
        raise TargetError(f"a target of kind {self.kind!r} does not give its network as a module")

    def map_modules(self) -> dict[str, torch.nn.Module]:
        """Return hidden modules whose outputs are maps over time, in the order in which they run.

        Empty where there are none.
        """
        return {}

    def to_map(self, output: Any, name: str) -> torch.Tensor:
        """Return output of a map module or of a dissected layer, by its name -> (B, channels, rows of frequency from
        low to high, columns of time).

        Raises
        ------
        TargetError
            It is no map: one vector a clip.
        """
        raise TargetError(f"a target of kind {self.kind!r} has no maps over time")

    def map_edges(self, rows: int, columns: int, seconds: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Return where the cells of a map lie in the sound: edges in seconds (columns + 1,) and in Hz (rows + 1,), None
        where frequency is not known."""
        return np.linspace(0, seconds, columns + 1), None

    def heard_seconds(self, seconds: float) -> float:
        """Return seconds of a sound of this length that reach the network: some networks cut what is longer than they
        take."""
        return seconds

    def features_with_grad(self, waves: torch.Tensor) -> Any:
        """Return network input from (B, samples) waveforms of one length, with gradients to the waveforms.

        Raises
        ------
        TargetError
            This target's front end has no gradients.
        """
        raise TargetError(
            f"the front end of a target of kind {self.kind!r} has no gradients, so no mask decoder can be trained "
            "through it"
        )

    def save(self, folder: Path) -> None:
        """Write the network as it stands, in the target's own format; the folder is a `checkpoint` of the same kind.

        Raises
        ------
        TargetError
            This kind of network can't be written.
        """
        raise TargetError(f"a target of kind {self.kind!r} can't be written")

    def saved_settings(self, folder: Path) -> dict[str, Any] | None:
        """Return the settings under which what :meth:`save` wrote is loaded.

        None where no configuration can load it.
        """
        changed = {"checkpoint": str(folder), "revision": None}
        return {name: value for name, value in changed.items() if name in type(self.settings).model_fields}

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return modules of the chosen layers.

        Raises
        ------
        TargetError
            A pattern matches no layer; the message names those there are.
        """
        every = self.all_modules()
        patterns = self.settings.layers
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise TargetError(f"target.layers={pattern!r} matches no layer; there are: {', '.join(every)}")
        return {name: module for name, module in every.items() if any(fnmatchcase(name, p) for p in patterns)}

    def layers(self) -> list[Layer]:
        """Return records of the chosen layers, offsets counted through."""
        records, offset = [], 0
        for name, module in self.modules().items():
            size = int(module.out_features)  # type: ignore[arg-type]
            records.append(layer_record(name, size, offset))
            offset += size
        return records

    def pool(self, output: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool (B, tokens, R) of a layer to (B, R); (B, R) stays.

        Special tokens come first and count only for ``cls`` and ``reference``.
        """
        if output.ndim == 2:
            return output
        how = self.settings.pooling
        if how in ("cls", "reference"):
            return output[:, 0]
        patches = output[:, self.special_tokens :]
        if how == "first":
            return patches[:, 0]
        return patches.mean(1) if how == "mean" else patches.amax(1)


def layer_record(name: str, size: int, offset: int) -> Layer:
    """Return a layer's record from a name of the paper's form ``layer0_attention_output``."""
    head, _, kind = name.partition("_")
    known: Any = (
        kind
        if kind in ("attention_output", "intermediate", "output", "fc1", "fc2")
        else "fc"
        if name == "fc"
        else "other"
    )
    block = int(head[5:]) if head.startswith("layer") and head[5:].isdigit() else None
    return Layer(name=name, kind=known, block=block, size=size, offset=offset)


TARGETS: Registry[Target[Any]] = Registry("target", "and_core.targets")


def pick_device(wanted: str) -> str:
    """Return a device: ``auto`` becomes ``cuda`` where there is one, else ``cpu``; anything else is checked.

    Raises
    ------
    TargetError
        The device is unknown or not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"activations.device={wanted!r} can't be used: {str(error).splitlines()[0]}") from None
    return wanted
