"""The manifest: the whole truth about a dissection. It holds no times, so that equal runs give equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from and_core.errors import ArtifactError, first_line
from and_core.records import Provenance
from and_core.store.files import SAFE_NAME, inside, write_atomic

FORMAT = 1
FILE = "manifest.json"
LARGEST = 1 << 28  # bytes of a manifest; one of 55,000 neurons has about a million


def _plain(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("leads outside the dissection")
    return path


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must be printable")
    return name


StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}(-[0-9a-f]{8,64})?$")]
StageKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}(-[0-9a-f]{8})?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ArtifactName = Annotated[str, StringConstraints(min_length=3, max_length=400), AfterValidator(_printable)]
DissectionName = Annotated[str, StringConstraints(pattern=rf"^{SAFE_NAME.pattern}$")]
FilePath = Annotated[
    str,
    StringConstraints(pattern=r"^artifacts/[a-z0-9_]+-[0-9a-f]{16}/[A-Za-z0-9_./-]+$", max_length=1000),
    AfterValidator(_plain),
]


class Strict(BaseModel):
    """Unknown fields are refused: a newer format must say so."""

    model_config = ConfigDict(extra="forbid")


class File(Strict):
    """One file of an artifact; `path` is relative to the dissection."""

    path: FilePath
    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Artifact(Strict):
    """One table, array or pack.

    Attributes
    ----------
    axes : list of str
        Name of each axis, outermost first; for a table ``["row"]``.
    units : dict
        Unit of the values (arrays: key ``value``) or of each column that has one.
    """

    stage: StageName
    kind: str
    files: list[File]
    shape: list[int]
    dtype: str
    axes: list[str]
    units: dict[str, str] = {}
    provenance: Provenance = "computed"


class StageRecord(Strict):
    """One finished stage: its key is a fingerprint of its parameters, version and inputs."""

    key: StageKey
    version: int
    parameters: dict[str, Any]
    inputs: dict[StageName, StageKey]
    notes: dict[str, Any] = {}


class Manifest(Strict):
    """Stages and artifacts of one dissection.

    Attributes
    ----------
    sha256 : str
        Hash of all the rest (:func:`content_hash`), as it was written; empty in dissections of before there was one.
    """

    format: int = FORMAT
    package: str = ""
    name: DissectionName
    config: dict[str, Any] = {}
    stages: dict[StageName, StageRecord] = {}
    artifacts: dict[ArtifactName, Artifact] = {}
    sha256: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        for name, artifact in self.artifacts.items():
            if name.split("/", 1)[0] != artifact.stage:
                raise ValueError(f"artifact {name!r} is listed as of the stage {artifact.stage!r}")
            folder = artifact.stage.split("-")[0]
            if any(not file.path.startswith(f"artifacts/{folder}-") for file in artifact.files):
                raise ValueError(f"artifact {name!r} lists files of another stage")
        self.order()
        return self

    def order(self) -> list[str]:
        """Return the stages, each after those that it reads.

        Raises
        ------
        ValueError
            Stages read each other in a circle.
        """
        try:
            return list(TopologicalSorter({name: record.inputs for name, record in self.stages.items()}).static_order())
        except CycleError as error:
            raise ValueError(f"stages read each other in a circle: {', '.join(map(str, error.args[1][:6]))}") from None

    def save(self, folder: Path) -> None:
        """Write atomically; keys sorted, so equal content is equal bytes."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        text = json.dumps(content | {"sha256": content_hash(content)}, indent=1, sort_keys=True, allow_nan=False)
        write_atomic(folder / FILE, text.encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read and check.

        Raises
        ------
        ArtifactError
            No manifest; a truncated, altered or foreign one; one that names what no manifest may; one of a newer
            format.
        """
        path = inside(folder, FILE)
        try:
            if path.stat().st_size > LARGEST or not path.is_file():
                raise ArtifactError(f"{path} is no manifest: not a file, or one of more than {LARGEST} bytes")
            raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
            if not isinstance(raw, dict):
                raise ArtifactError(f"{path} is not a valid manifest: it holds no object")
            written = raw.pop("sha256", "")
            version = raw.get("format", FORMAT)
            check_format(path, version)
            altered = bool(written) and written != content_hash(raw)
            manifest = cls(**(raw if altered else migrate(raw, version)), sha256=written)
            if altered:
                raise ArtifactError(
                    f"{path} is altered: its content is not what was written; make it again: and-dissect run "
                    "CONFIG.yaml --force"
                )
            return manifest
        except FileNotFoundError:
            raise ArtifactError(f"{folder} is no dissection: it has no {FILE}") from None
        except OSError as error:
            raise ArtifactError(f"{path} can't be read: {error.strerror}") from None
        except RecursionError:
            raise ArtifactError(f"{path} is not a valid manifest: it is nested too deeply") from None
        except ValidationError as error:
            raise ArtifactError(f"{path} is not a valid manifest: {explain_all(error)}") from None
        except (ValueError, TypeError, MemoryError) as error:  # no JSON, no UTF-8, a number of thousands of digits
            raise ArtifactError(f"{path} is truncated or altered: {first_line(error)[:200]}") from None


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Format -> how a manifest's content of that format becomes one of the next.

One entry for each format before :data:`FORMAT`.
"""


def check_format(path: Path, version: Any) -> None:
    """Raise where a manifest is of a format that this version can't read.

    Raises
    ------
    ArtifactError
        It is newer, or no number of a format at all.
    """
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        raise ArtifactError(
            f"{path} has format {version}: a newer version of Audio Network Dissection wrote it; this one reads up to "
            f"{FORMAT}"
        )
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{path} has format {str(version)[:40]!r}; formats are numbered from 1 to {FORMAT}")


def migrate(
    content: dict[str, Any],
    version: int,
    to: int = FORMAT,
    steps: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MIGRATIONS,
) -> dict[str, Any]:
    """Return a manifest's content brought from an older format to a newer one, step by step.

    It is written when a run next saves it.
    """
    for number in range(version, to):
        content = steps[number](content) | {"format": number + 1}
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def content_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content, whatever the spaces and the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def explain_all(error: ValidationError) -> str:
    """Return what is wrong with a manifest on one line: where, and why, at most three of them."""
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])[:120]!r}: {fault['msg'][:160]}" for fault in faults[:3]
    )
