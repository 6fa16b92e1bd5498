"""Any `torch.nn.Module`, built by a function that a configuration names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, field_validator
from torch import nn

from and_core.errors import TargetError, first_line
from and_core.registry import FilePath
from and_core.targets.base import TARGETS
from and_core.targets.bound import BoundSettings, BoundTarget, Prepare


class BuiltNetwork(NamedTuple):
    """What a factory returns; a plain tuple of the same order will do.

    Attributes
    ----------
    network : torch.nn.Module
        Called with what `prepare` gives, returns logits (B, C), or token states (B, T, D) without a classifier.
    prepare : callable
        (B, samples) float32 waveforms of one length -> tensor, batch first.
    classes : list of str, optional
        Names of the classifier's units.
    frames : callable, optional
        (columns of a map, seconds of the clip) -> edges of the columns in seconds (columns + 1,); by default they
        divide the clip evenly.
    """

    network: nn.Module
    prepare: Prepare
    classes: list[str] | None = None
    frames: Callable[[int, float], np.ndarray] | None = None


class PythonSettings(BoundSettings):
    """`factory`: ``package.module:function``, or ``file.py:function``, the file beside the configuration.

    It is called with `settings`. `weights`: safetensors that are read into the network after that. `title` for
    provenance, by default the factory's name.
    """

    factory: str
    settings: dict[str, Any] = Field(default_factory=dict)
    weights: FilePath | None = None
    title: str | None = None

    @field_validator("factory")
    @classmethod
    def _has_a_function(cls, factory: str) -> str:
        place, _, function = factory.rpartition(":")
        if not place or not function.isidentifier():
            raise ValueError('allowed: "package.module:function" or "file.py:function"')
        return factory

    def reaches(self) -> list[str]:
        """Return that code is run, and which."""
        return [f"runs the code of {self.factory}"]

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return settings with a factory's file and the weights counted from a folder."""
        made = super().absolute(raw, base)
        place, _, function = str(made.get("factory", "")).rpartition(":")
        if place.endswith(".py"):
            made["factory"] = f"{os.path.abspath(base / Path(place).expanduser())}:{function}"
        return made


@TARGETS.register
class PythonTarget(BoundTarget[PythonSettings]):
    """A network that a function builds: ``{kind: python, factory: "nets.py:build"}``.

    The function is called when the network is first needed; opening a dissection needs none.
    """

    kind = "python"
    _frames: Callable[[int, float], np.ndarray] | None = None

    def identifying_settings(self) -> dict[str, Any]:
        """Return settings without the factory's place: :meth:`fingerprint` tells what it builds."""
        return {name: value for name, value in super().identifying_settings().items() if name != "factory"}

    def describe(self) -> str:
        """Return one line for provenance."""
        return self.settings.title or f"network of {Path(self.settings.factory).name}"

    def bound(self) -> nn.Module:
        """Return the network, built once.

        Raises
        ------
        TargetError
            The factory is not there, needs a package that is not installed, raises, or returns something else than a
            network and what prepares sound for it; or the weights do not fit.
        """
        if not hasattr(self, "_net"):
            built = self._built()
            self.give(built.network, built.prepare, built.classes, self.settings.rate)
            self._frames = built.frames
            if self.settings.weights is not None:
                self._read_weights(self.settings.weights)
        return self._net

    def _built(self) -> BuiltNetwork:
        where = f"target.factory={self.settings.factory!r}"
        function = _function(self.settings.factory, where)
        try:
            given = function(**self.settings.settings)
        except ImportError as error:
            raise TargetError(f"{where} needs what is not installed: {first_line(error)}") from error
        except Exception as error:
            raise TargetError(f"{where} raises {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(given, tuple) or not 2 <= len(given) <= 4:
            raise TargetError(
                f"{where} returns {type(given).__name__}; allowed: (network, prepare), with classes and frames after "
                "them"
            )
        built = BuiltNetwork(*given)
        if not isinstance(built.network, nn.Module):
            raise TargetError(f"{where}: network is {type(built.network).__name__}; a torch.nn.Module is expected")
        for name, value in (("prepare", built.prepare), ("frames", built.frames or len)):
            if not callable(value):
                raise TargetError(f"{where}: {name} is {type(value).__name__}; a function is expected")
        if built.classes is None:
            return built
        classes = list(built.classes)
        wrong = next((c for c in classes if not isinstance(c, str) or classes.count(c) > 1), None)
        if wrong is not None or not classes:
            raise TargetError(f"{where}: classes must be names, each once; {wrong!r} is not")
        return built._replace(classes=classes)

    def _read_weights(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        try:
            load_model(self._net, str(path))
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:400]  # torch names the keys from the second line on
            raise TargetError(f"target.weights={str(path)!r} do not fit the network: {reason}") from error

    def load(self, device: str) -> None:
        """Build the network, put it on the device in evaluation mode, and try it."""
        self.bound()
        super().load(device)

    def saved_settings(self, folder: Path) -> dict[str, Any]:
        """Return the same factory with the written weights."""
        return {"weights": str(folder / "model.safetensors")}

    def map_edges(self, rows: int, columns: int, seconds: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Return where the columns of a map lie: as the factory says, else evenly."""
        if self._frames is None:
            return super().map_edges(rows, columns, seconds)
        edges = np.asarray(self._frames(columns, seconds), float)
        if edges.shape != (columns + 1,) or not (np.diff(edges) > 0).all():
            raise TargetError(
                f"target.factory={self.settings.factory!r}: frames({columns}, {seconds:g}) gives no {columns + 1} "
                "growing edges in seconds"
            )
        return edges, None


def _function(factory: str, where: str) -> Callable[..., Any]:
    place, _, name = factory.rpartition(":")
    module = _module_of(place, where)
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise TargetError(f"{where}: {place} has no function {name!r}; there are: {', '.join(there) or 'none'}")
    return function


def _module_of(place: str, where: str) -> ModuleType:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place)
        name = f"and_factory_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None
            sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[name])
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]
    except ImportError as error:
        raise TargetError(f"{where} can't be imported: {first_line(error)}") from error
    except OSError as error:
        raise TargetError(f"{where}: the file can't be read: {error.strerror}") from None
    except Exception as error:
        raise TargetError(f"{where} can't be imported: {type(error).__name__}: {first_line(error)}") from error
