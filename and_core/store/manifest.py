"""The manifest: the whole truth about a dissection. It holds no times, so that equal runs give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, field_validator

from and_core.errors import ArtifactError
from and_core.records import Provenance
from and_core.store.files import write_atomic

FORMAT = 1
FILE = "manifest.json"


class Strict(BaseModel):
    """Unknown fields are refused: a newer format must say so."""

    model_config = ConfigDict(extra="forbid")


class File(Strict):
    """One file of an artifact; `path` is relative to the dissection."""

    path: Annotated[str, StringConstraints(pattern=r"^artifacts/[A-Za-z0-9_]+-[0-9a-f]{16}/[A-Za-z0-9_./-]+$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: int

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        if ".." in value.split("/"):
            raise ValueError("leads outside the dissection")
        return value


class Artifact(Strict):
    """One table, array or pack.

    Attributes
    ----------
    axes : list of str
        Name of each axis, outermost first; for a table ``["row"]``.
    units : dict
        Unit of the values (arrays: key ``value``) or of each column that has one.
    """

    stage: str
    kind: str
    files: list[File]
    shape: list[int]
    dtype: str
    axes: list[str]
    units: dict[str, str] = {}
    provenance: Provenance = "computed"


class StageRecord(Strict):
    """One finished stage: its key is a fingerprint of its parameters, version and inputs."""

    key: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    notes: dict[str, Any] = {}


class Manifest(Strict):
    """Stages and artifacts of one dissection."""

    format: int = FORMAT
    package: str = ""
    name: str
    config: dict[str, Any] = {}
    stages: dict[str, StageRecord] = {}
    artifacts: dict[str, Artifact] = {}

    def save(self, folder: Path) -> None:
        """Write atomically; keys sorted, so equal content is equal bytes."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
        write_atomic(folder / FILE, text.encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read and check.

        Raises
        ------
        ArtifactError
            No manifest, a truncated or foreign one, or one of a newer format.
        """
        path = folder / FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactError(f"{folder} is no dissection: it has no {FILE}") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path} is truncated or altered: {error}") from None
        if isinstance(raw, dict) and raw.get("format", FORMAT) != FORMAT:
            raise ArtifactError(f"{path} has format {raw['format']!r}; this version reads format {FORMAT}")
        try:
            return cls(**raw)
        except (ValidationError, TypeError) as error:
            raise ArtifactError(f"{path} is not a valid manifest: {error}") from None
