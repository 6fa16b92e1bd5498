"""Look-up of plug-ins by name: those of the package, and those that installed packages offer as entry points."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from and_core.errors import ConfigError, first_line, one_of

OWN = (
    "Nothing on record is acted on: give a configuration of your own (--config FILE), or say that this one may "
    "(--as-recorded)"
)
SHOWN = 120  # characters of a wrong value in a message
SECRET = re.compile(r"key|token|secret|passw|auth|credential", re.IGNORECASE)


@dataclass(frozen=True)
class PathMark:
    """How a setting names a file or a folder; relative paths in a configuration count from the configuration's own
    folder.

    Attributes
    ----------
    always : bool
        It is always a path. Otherwise it may be a name (``demo``, a hub id), and is a path where there is such a file.
    separator : bool
        A value without slash or dot is never a path, even where there is a file of that name.
    identifies : bool
        The path counts among the settings by which results are told apart. Otherwise it is left out: two places of one
        file are one input, and `fingerprint` of the plug-in tells what is in it.
    """

    always: bool = True
    separator: bool = False
    identifies: bool = False


@dataclass(frozen=True)
class LaterSetting:
    """Marks a setting that came later: at its default results are those of before, so it tells results apart only where
    it differs."""


FilePath = Annotated[Path, PathMark()]
"""Setting that is a file or folder."""
FileOrName = Annotated[str, PathMark(always=False)]
"""Setting that is a file or folder, or a name: of a checkpoint that is bundled or on a hub."""


class Settings(BaseModel):
    """Base of a plug-in's settings: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def reaches(self) -> list[str]:
        """Return what the plug-in would start, open or read outside this process and its files: nothing, where it does
        not say otherwise."""
        return []

    @classmethod
    def absolute(cls, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return settings as given, with relative paths counted from a folder."""
        return absolute_paths(cls, raw, base)


class PluginConfig(BaseModel):
    """A chosen plug-in: its `kind`, and settings that the plug-in checks itself."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str


S = TypeVar("S", bound=Settings)


class Plugin(Generic[S]):
    """Base of everything a user may choose by name. `kind` is the name in a configuration.

    A plug-in names the class of its settings once: ``class Mine(Captioner[MySettings])``; `settings` has that type.

    Attributes
    ----------
    settings : Settings
        Checked.
    recorded : bool
        Whether its settings come from a dissection. What somebody else has written down opens no address: models of a
        hub are then taken from this machine alone.
    """

    kind: str = ""
    recorded: bool = False
    Settings: type[Settings] = Settings

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in getattr(cls, "__orig_bases__", ()):
            for given in get_args(base):
                if isinstance(given, type) and issubclass(given, BaseModel):
                    cls.Settings = given  # type: ignore[assignment]

    def __init__(self, settings: S) -> None:
        self.settings = settings

    @property
    def loading(self) -> dict[str, Any]:
        """How `from_pretrained` is called: code that comes with a model is never run."""
        revision = {"revision": self.settings.revision} if hasattr(self.settings, "revision") else {}
        return {**revision, "trust_remote_code": False, "local_files_only": self.recorded}

    def identifying_settings(self) -> dict[str, Any]:
        """Return kind and settings, defaults filled in, by which results are told apart.

        Paths are left out (:class:`PathMark`).
        """
        return {"kind": self.kind, **identifying(type(self.settings), self.settings.model_dump(mode="json"))}


P = TypeVar("P", bound=Plugin[Any])


class Registry(Generic[P]):
    """Plug-ins of one sort: modules of a package that register classes, and entry points of installed packages.

    Parameters
    ----------
    section : str
        The key in a configuration, used in messages: ``dataset``.
    package : str
        Dotted name of the package whose modules hold the plug-ins.
    group : str, optional
        Group of the entry points; by default the package's name. Each names a plug-in's class: ``mine =
        "my_package:Mine"``, where ``mine`` is the class's `kind`.
    """

    def __init__(self, section: str, package: str, group: str | None = None) -> None:
        self.section = section
        self.package = package
        self.group = group or package
        self._classes: dict[str, type[P]] = {}

    def register(self, cls: type[P]) -> type[P]:
        """Take a class in; to be used as its decorator."""
        if not cls.kind or cls.kind in self._classes:
            raise ValueError(f"{self.section} plug-in {cls.__name__} has no kind of its own: {cls.kind!r}")
        self._classes[cls.kind] = cls
        return cls

    def names(self) -> list[str]:
        """Return every kind, sorted: those of the package, and those that installed packages offer."""
        self._import_package()
        return sorted(self._classes.keys() | self._offered().keys())

    def get(self, kind: str) -> type[P]:
        """Return the class of a kind.

        Raises
        ------
        ConfigError
            Nothing of that name (the message lists what there is), or an installed package offers one that can't be
            used.
        """
        self._import_package()
        if kind not in self._classes:
            offered = self._offered().get(kind)
            if offered is None:
                raise one_of(f"{self.section}.kind", kind, self.names())
            self._classes[kind] = self._load(offered)
        return self._classes[kind]

    def create(self, config: PluginConfig, recorded: bool = False) -> P:
        """Return a plug-in from its part of the configuration, its settings checked.

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
            raise ConfigError(
                f"{self.section}: as the dissection has it on record, this {', and '.join(reaches)}. {OWN}"
            )
        made = cls(settings)
        made.recorded = recorded
        return made

    def reaches(self, config: PluginConfig) -> list[str]:
        """Return what a plug-in would start, open or read outside this process and its files."""
        return self._checked(config)[1].reaches()

    def absolute(self, raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """Return a plug-in's part of a configuration with relative paths counted from a folder.

        An unknown kind is left to be refused later.
        """
        kind = raw.get("kind")
        if not isinstance(kind, str) or kind not in self.names():
            return dict(raw)
        settings = {name: value for name, value in raw.items() if name != "kind"}
        return {"kind": kind, **self.get(kind).Settings.absolute(settings, base)}

    def given_settings(self, config: PluginConfig) -> dict[str, Any]:
        """Return the settings of a plug-in within a plug-in as they are given, without paths that identify nothing."""
        return identifying(self.get(config.kind).Settings, config.model_dump(mode="json"))

    def _checked(self, config: PluginConfig) -> tuple[type[P], Settings]:
        cls = self.get(config.kind)
        try:
            return cls, cls.Settings(**config.model_dump(exclude={"kind"}))
        except ValidationError as error:
            raise ConfigError(explain(error, self.section)) from None

    def _import_package(self) -> None:
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")

    def _offered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _load(self, point: EntryPoint) -> type[P]:
        where = (
            f"{self.section}.kind={point.name!r}, offered by "
            f"{point.dist.name if point.dist else 'an installed package'} as {point.value}"
        )
        try:
            cls = point.load()
        except Exception as error:
            raise ConfigError(f"{where}, can't be imported: {first_line(error)}") from error
        if not (isinstance(cls, type) and issubclass(cls, Plugin)):
            raise ConfigError(f"{where}, is no class of a plug-in")
        if cls.kind != point.name:
            raise ConfigError(f"{where}, calls itself {cls.kind!r}; the entry point and `kind` must be one name")
        return cls  # type: ignore[return-value]


# -- paths among settings ----------------------------------------------------------------------------------------------


def path_marks(model: type[BaseModel]) -> dict[str, PathMark]:
    """Return the settings of a model that name files, by their types.

    Examples
    --------
    >>> class Mine(Settings):
    ...     weights: FilePath | None = None
    ...     units: int = 8
    >>> list(path_marks(Mine))
    ['weights']
    """
    marks = {}
    for name, field in model.model_fields.items():
        mark = next((m for m in field.metadata if isinstance(m, PathMark)), None) or _mark(field.annotation)
        if mark is not None:
            marks[name] = mark
    return marks


def _mark(annotation: Any) -> PathMark | None:
    """Return the mark inside a type such as ``FilePath | None``."""
    if get_origin(annotation) is Annotated:
        return next((m for m in annotation.__metadata__ if isinstance(m, PathMark)), None)
    return next((mark for part in get_args(annotation) if (mark := _mark(part)) is not None), None)


def absolute_paths(model: type[BaseModel], raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return a model's raw values with relative paths counted from a folder. Links are not followed: the interpreter of
    a virtual
    environment is one."""
    marks = path_marks(model)
    return {name: _absolute(value, marks[name], base) if name in marks else value for name, value in raw.items()}


def _absolute(value: Any, mark: PathMark, base: Path) -> Any:
    if not isinstance(value, str) or not value:
        return value
    path = os.path.abspath(base / Path(value).expanduser())
    named = mark.separator and not ("/" in value or "." in value)
    return path if mark.always or (os.path.exists(path) and not named) else value


def without_later(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's values without later settings at their defaults, see :class:`LaterSetting`."""
    fields = model.model_fields.items()
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in fields
        if any(isinstance(m, LaterSetting) for m in field.metadata)
    }
    return {
        name: value for name, value in values.items() if name not in defaults or _plain(value) != _plain(defaults[name])
    }


def _plain(value: Any) -> Any:
    """Return a tuple as the list that JSON makes of it."""
    return list(value) if isinstance(value, tuple) else value


def identifying(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's values without the paths that identify nothing, and without later settings at their defaults."""
    marks = path_marks(model)
    kept = {name: value for name, value in values.items() if name not in marks or marks[name].identifies}
    return without_later(model, kept)


# -- messages ----------------------------------------------------------------------------------------------------------


def explain(error: ValidationError, where: str = "") -> str:
    """Return one line per fault: which setting, what it was, what is allowed."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join(str(part) for part in ((where,) if where else ()) + fault["loc"])
        lines.append(f"{path}={_shown(path, fault.get('input'))}: {fault['msg']}")
    return "; ".join(lines)


def _shown(path: str, value: Any) -> str:
    """Return a setting's value for a message: short, and not where it may be a secret."""
    last = path.rpartition(".")[2]
    secret = SECRET.search(last) and last != "api_key_env"
    if secret or (isinstance(value, str) and "://" in value and re.search(r"[?@#]", value)):
        return "(not shown)"
    return text if len(text := repr(value)) <= SHOWN else f"{text[:SHOWN]}..."
