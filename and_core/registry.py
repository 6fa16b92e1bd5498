"""Look-up of named plug-ins: every module of a package may register classes; nobody lists them twice."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from and_core.config import PluginConfig, explain
from and_core.errors import ConfigError, one_of

OWN = "Nothing on record is acted on: give a configuration of your own (--config FILE), or say that this one may (--as-recorded)"


class Settings(BaseModel):
    """Base of a plug-in's settings: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def reaches(self) -> list[str]:
        """What the plug-in would start, open or read outside this process and its files: nothing, where it does not say otherwise."""
        return []


class Plugin:
    """Base of everything a user may choose by name. `kind` is the name in a configuration.

    Attributes
    ----------
    recorded : bool
        Whether its settings come from a dissection. What somebody else has written down opens no address: models of a hub are then
        taken from this machine alone.
    """

    kind: str = ""
    recorded: bool = False

    class Settings(Settings):
        """No settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def loading(self) -> dict[str, Any]:
        """How `from_pretrained` is called: code that comes with a model is never run."""
        revision = {"revision": self.settings.revision} if hasattr(self.settings, "revision") else {}
        return {**revision, "trust_remote_code": False, "local_files_only": self.recorded}


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

    def create(self, config: PluginConfig, recorded: bool = False) -> P:
        """A plug-in from its part of the configuration, its settings checked.

        Parameters
        ----------
        recorded : bool
            The configuration comes from a dissection, not from the user.

        Raises
        ------
        ConfigError
            A setting is wrong; or a recorded configuration would start a program, open an address or read a variable.
        """
        cls, settings = self._checked(config)
        if recorded and (reaches := settings.reaches()):
            raise ConfigError(f"{self.section}: as the dissection has it on record, this {', and '.join(reaches)}. {OWN}")
        made = cls(settings)  # type: ignore[arg-type]
        made.recorded = recorded
        return made

    def reaches(self, config: PluginConfig) -> list[str]:
        """What a plug-in would start, open or read outside this process and its files."""
        return self._checked(config)[1].reaches()

    def _checked(self, config: PluginConfig) -> tuple[type[P], Settings]:
        cls = self.get(config.kind)
        try:
            return cls, cls.Settings(**config.model_dump(exclude={"kind"}))
        except ValidationError as error:
            raise ConfigError(explain(error, self.section)) from None
