"""Every error that this package raises on purpose.

All are :class:`ANDError`; each message names what was wrong and what is allowed.
"""

from __future__ import annotations


class ANDError(Exception):
    """Base of the errors a user can act on."""


class ConfigError(ANDError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(ANDError):
    """Probing data (a clip, a table, a caption file) can't be used."""


class TargetError(ANDError):
    """A target network can't be loaded, or has no such layer."""


class PermissionNeeded(ANDError):
    """Loading a network would run code that a dissection has on record; nobody has said that it may.

    Attributes
    ----------
    dissection : str
        Its name.
    """

    def __init__(self, message: str, dissection: str) -> None:
        super().__init__(message)
        self.dissection = dissection


class ArtifactError(ANDError):
    """An artifact of a dissection is missing, truncated or altered."""


class NotComputed(ANDError):
    """A stage has not been run yet; the message holds the command that runs it."""


class BusyError(ANDError):
    """Another process is writing the same dissection."""


class StudyError(ANDError):
    """A human study can't be set up, opened or read."""


class AnswerRefused(StudyError):
    """What a rater's page sent is no answer to the item: of the wrong form, out of range, or given before the clips
    were heard."""


class AnswerConflict(StudyError):
    """The item has been answered meanwhile, in another tab or on another machine."""


class StorageError(StudyError):
    """The study's database is locked, full, gone or damaged; nothing was written."""


class MissingExtra(ANDError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed; install it with: pip install "
            f"'audio-network-dissection[{extra}]'"
        )


def one_of(name: str, value: object, allowed: object, error: type[ANDError] = ConfigError) -> ANDError:
    """Return error for a value outside a list of allowed ones."""
    names = ", ".join(str(item) for item in allowed)  # type: ignore[attr-defined]
    return error(f"{name}={value!r} is not known; allowed: {names}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
