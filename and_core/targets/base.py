"""What every target network offers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from and_core.errors import TargetError
from and_core.records import Layer
from and_core.registry import LaterSetting, Plugin, Registry, Settings
from and_core.targets.pooling import Pooling, check_pooling, chosen_pooling, pool_tokens

if TYPE_CHECKING:
    import torch

    from and_core.targets.finding import ModuleCall
    from and_core.targets.points import HookPoint

FrontEnd = Annotated[Literal["own", "torchaudio"], LaterSetting()]  # what computes filter banks


class TargetSettings(Settings):
    """`pooling`: how a layer's values over time become one a clip, or pattern -> how, the first that matches.

    `layers`: name patterns such as ``layer0_*`` of the layers with weights; `hook_points`: patterns of further places
    (``encoder.layers.3``, ``*.norm``, ``NAME:heads``, ``NAME:PART`` of a tuple or dict, ``NAME#2`` of the second call).
    `heads`: pattern of a linear layer -> attention heads side by side in its input, where the network does not say.
    `unit_axes`: pattern of a hook point -> axis of its units, where it is not found rightly.
    `multi_label`: whether a clip may have several classes (sigmoid); none: as the checkpoint says, else no.
    `trained_folds`: folds of the probing dataset it was trained on.
    """

    pooling: Pooling = "cls"
    layers: tuple[str, ...] = ("*",)
    hook_points: Annotated[tuple[str, ...], LaterSetting()] = ()
    heads: Annotated[dict[str, Annotated[int, Field(ge=1)]], LaterSetting()] = Field(default_factory=dict)
    unit_axes: Annotated[dict[str, int], LaterSetting()] = Field(default_factory=dict)
    multi_label: Annotated[bool | None, LaterSetting()] = None
    trained_folds: tuple[int, ...] = ()


T = TypeVar("T", bound=TargetSettings)


class Target(Plugin[T]):
    """A network whose layers are dissected. Everything below :meth:`load` may be called only after it."""

    Settings = TargetSettings

    from_python: bool = False  # the network is given from Python; no configuration can load it
    sample_rate: int = 16_000
    special_tokens: int = 0
    device: str = "cpu"
    poolings: tuple[str, ...] = ("cls", "mean", "max", "first", "reference")  # ways that make sense, beside topN
    default_pooling: str = "mean"  # of layers that no pattern of `pooling` names
    checkpoint_multi_label: bool = False  # what the checkpoint says, see `multi_label`
    _one: list[ModuleCall] | None = None  # calls of a pass over one clip, where it was tried on loading
    _calls: list[ModuleCall] | None = None
    _points: dict[str, HookPoint] | None = None
    _tried: float = 1.0  # seconds of noise that the network takes

    def __init__(self, settings: T) -> None:
        super().__init__(settings)
        check_pooling(settings.pooling, self.poolings)

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

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several classes at once: outputs are judged by a sigmoid, not by a softmax."""
        own = self.settings.multi_label
        return self.checkpoint_multi_label if own is None else own

    def map_points(self) -> dict[str, HookPoint]:
        """Return hidden places whose values are maps over time, in the order in which they run.

        Empty where there are none.
        """
        return {}

    def to_map(self, activation: torch.Tensor, name: str) -> torch.Tensor:
        """Return values (B, ..., units) of a map point or of a dissected layer, by its name -> (B, units, rows of
        frequency from low to high, columns of time).

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

    def calls(self) -> list[ModuleCall]:
        """Return what runs in a forward pass over noise, in order, with the tensors that depend on the sound; tried
        once."""
        if self._calls is None:
            from and_core.targets.finding import of_sound

            one = self.record(1)[0] if self._one is None else self._one
            self._calls = of_sound(one, self.record(2)[0])
        return self._calls

    def record(self, clips: int) -> tuple[list[ModuleCall], Any]:
        """Return what runs in a pass over clips of the same noise, in order, and its result."""
        from and_core.targets.finding import record_calls

        waves = [noise(self._tried, self.sample_rate)] * clips
        return record_calls(self.network, lambda: self.forward(self.features(waves)))

    def weighted_points(self) -> dict[str, HookPoint]:
        """Return hook points of the chosen layers with weights.

        Raises
        ------
        TargetError
            A pattern of `layers` matches none; the message names those there are.
        """
        from and_core.targets.points import point_of

        every = self.all_modules()
        patterns = self.settings.layers
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in every):
                raise TargetError(f"target.layers={pattern!r} matches no layer; there are: {', '.join(every)}")
        chosen = {name: module for name, module in every.items() if any(fnmatchcase(name, p) for p in patterns)}
        return {name: point_of(name, module) for name, module in chosen.items()}

    def hook_points(self) -> dict[str, HookPoint]:
        """Return where the chosen layers are read, in the order in which they run: layer name -> hook point.

        Raises
        ------
        TargetError
            A pattern of `layers` or `hook_points` matches nothing; the message names what there is.
        """
        if self._points is None:
            self._points = self._find_points()
        return self._points

    def _find_points(self) -> dict[str, HookPoint]:
        points = self.weighted_points()
        s = self.settings
        if not s.hook_points:
            if not points:
                raise TargetError("target.layers chooses no layer, and target.hook_points nothing beside them")
            return points
        from and_core.targets.finding import choose_points, further_points, in_running_order

        every = further_points(
            self.network,
            self.calls(),
            unit_axes=s.unit_axes,
            heads=s.heads,
            token_axis=getattr(s, "token_axis", 1),
        )
        there = {(id(point.module), point.part) for point in points.values()}
        for name, point in choose_points(every, s.hook_points).items():
            if point.heads or point.call is not None or (id(point.module), point.part) not in there:
                if name in points:
                    raise TargetError(f"two layers are called {name!r}; leave one out with target.layers")
                points[name] = point
        ordered = in_running_order(list(points.values()), self.calls())
        return {point.name: point for point in sorted(ordered, key=lambda point: point.name == "fc")}

    def layers(self) -> list[Layer]:
        """Return records of the chosen layers, offsets counted through."""
        records, offset = [], 0
        for name, point in self.hook_points().items():
            records.append(layer_record(name, point.size, offset))
            offset += point.size
        return records

    def pooling_of(self, layer: str) -> str:
        """Return how a layer is pooled over time."""
        return chosen_pooling(self.settings.pooling, layer, self.default_pooling)

    def pool(self, activation: torch.Tensor, layer: str) -> torch.Tensor:
        """Pool values (B, ..., units) of a layer to (B, units); (B, units) stays.

        Special tokens come first and count only for ``cls`` and ``reference``.
        """
        if activation.ndim == 2:
            return activation
        tokens = activation.flatten(1, -2)
        special = self.special_tokens if activation.ndim == 3 and tokens.shape[1] > self.special_tokens else 0
        return pool_tokens(tokens, self.pooling_of(layer), special)


def noise(seconds: float, rate: int) -> np.ndarray:
    """Return quiet noise (samples,), the same each time."""
    return (np.random.default_rng(0).standard_normal(round(seconds * rate)) * 0.1).astype(np.float32)


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
