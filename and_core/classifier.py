"""A network whose classes say what is in a clip, for whatever listens through it: a captioner, a text-audio encoder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from and_core.config import REGISTRIES
from and_core.errors import ConfigError
from and_core.registry import PluginConfig, Settings

_LOADED: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()  # by fingerprint and device


class ClassifierSettings(Settings):
    """`target`: the network, as in the section `target`; `device` that it runs on."""

    target: dict[str, Any]
    device: str = "auto"

    def reaches(self) -> list[str]:
        """Return what loading the network does."""
        return _targets().reaches(PluginConfig(**self.target))

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return the network's paths."""
        made = super().absolute(raw, base)
        target = made.get("target")
        return {**made, "target": _targets().absolute(target, base)} if isinstance(target, dict) else made


class ClassifierNetwork:
    """Gives the logits of one clip at a time. What names the same network on the same device shares one loaded network.

    Parameters
    ----------
    settings : ClassifierSettings
    section : str
        Of the configuration that names it, for messages: ``captions``.
    recorded : bool
        The settings come from a dissection, not from the user.
    """

    def __init__(self, settings: ClassifierSettings, section: str, recorded: bool = False) -> None:
        self._config = PluginConfig(**settings.target)
        self._device, self._section = settings.device, section
        self._target = _targets().create(self._config, recorded)

    def fingerprint(self) -> str:
        """Return the identity of the network. Needs no loading."""
        return str(self._target.fingerprint())

    def describe(self) -> str:
        """Return one line for provenance: which network."""
        return str(self._target.describe())

    def identifying_settings(self) -> dict[str, Any]:
        """Return the network's settings that change what it says."""
        return _targets().given_settings(self._config)

    @cached_property
    def loaded(self) -> Any:
        """The target network with its weights.

        Raises
        ------
        ConfigError
            It has no classes.
        """
        device = resolve_name("and_core.targets.base:pick_device")(self._device)
        key = (f"{self._config.model_dump_json()}{self.fingerprint()}", device)
        target = _LOADED.get(key)
        if target is None:
            target = self._target
            target.load(device)
            _LOADED[key] = target
        if not target.classes:
            raise ConfigError(f"{self._section}.target: {target.describe()} has no classes to name")
        return target

    @property
    def classes(self) -> list[str]:
        """Names of its classes, in the order of the logits."""
        return list(self.loaded.classes)

    @property
    def sample_rate(self) -> int:
        """Rate that it takes waveforms at, in Hz."""
        return int(self.loaded.sample_rate)

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several of its classes at once."""
        return bool(self.loaded.multi_label)

    def logits(self, wave: np.ndarray) -> np.ndarray:
        """Return (C,) float32 logits of a mono waveform (samples,) at :attr:`sample_rate`; no other clip counts.

        Raises
        ------
        ValueError
            They are not finite.
        """
        import torch

        target = self.loaded
        with torch.inference_mode():
            found = target.forward(target.features([wave]))[0].float().cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError("NaN or infinite logits")
        return found


def _targets() -> Any:
    return resolve_name(REGISTRIES["target"])
