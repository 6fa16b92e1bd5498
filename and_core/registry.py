"""Look-up of named plug-ins: every module of a package may register classes; nobody lists them twice."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from and_core.config import PluginConfig, explain
from and_core.errors import ConfigError, one_of


class Settings(BaseModel):
    """Base of a plug-in's settings: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Plugin:
    """Base of everything a user may choose by name. `kind` is the name in a configuration."""

    kind: str = ""

    class Settings(Settings):
        """No settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


P = TypeVar("P", bound=Plugin)


class Registry(Generic[P]):
    """Plug-ins of one sort, found by importing the modules of `package`.

    Parameters
    ----------
    section : str
        The key in a configuration, used in messages: ``dataset``.
    package : str
        Dotted name of the package whose modules hold the plug-ins.
    """

    def __init__(self, section: str, package: str) -> None:
        self.section = section
        self.package = package
        self._classes: dict[str, type[P]] = {}

    def register(self, cls: type[P]) -> type[P]:
        """Class decorator."""
        if not cls.kind or cls.kind in self._classes:
            raise ValueError(f"{self.section} plug-in {cls.__name__} has no kind of its own: {cls.kind!r}")
        self._classes[cls.kind] = cls
        return cls

    def names(self) -> list[str]:
        """Every registered kind, sorted."""
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return sorted(self._classes)

    def get(self, kind: str) -> type[P]:
        """The class registered as `kind`.

        Raises
        ------
        ConfigError
            Nothing of that name; the message lists what there is.
        """
        if kind not in self.names():
            raise one_of(f"{self.section}.kind", kind, self.names())
        return self._classes[kind]

    def create(self, config: PluginConfig) -> P:
        """A plug-in from its part of the configuration, its settings checked."""
        cls = self.get(config.kind)
        values = config.model_dump(exclude={"kind"})
        try:
            settings = cls.Settings(**values)
        except ValidationError as error:
            raise ConfigError(explain(error, self.section)) from None
        return cls(settings)
