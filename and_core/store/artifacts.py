"""The artifacts of one dissection: every file checked against its hash when it is first read. Never imports torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from and_core.errors import ArtifactError, NotComputed
from and_core.store.files import sha256_file
from and_core.store.manifest import FILE, Artifact, Manifest
from and_core.store.versions import STAGE_VERSIONS

VIEWS = "views"  # folder of dissections that explain the same neurons from some of the clips


def layer_artifact(layer: str) -> str:
    """Return the name of a layer's activations among the artifacts of its stage: no document can be called so, whatever the layer is called."""
    return f"layer:{layer}"


class Artifacts:
    """Tables, arrays and documents by name, as the manifest lists them."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.load(self.folder)
        self._checked: dict[str, tuple[int, int]] = {}
        self._fresh: dict[str, bool] = {}
        self._tables: dict[str, pa.Table] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._documents: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the dissection: its folder's, by which it is opened."""
        return self.folder.name

    def has(self, stage: str) -> bool:
        """Whether a stage is finished, by this version of the package, and made from what its input stages hold now."""
        if stage not in self._fresh:
            record, stages = self.manifest.stages.get(stage), self.manifest.stages
            inputs = record.inputs.items() if record else ()
            current = record is not None and record.version == STAGE_VERSIONS.get(stage.partition("-")[0])
            self._fresh[stage] = current and all(name in stages and stages[name].key == key and self.has(name) for name, key in inputs)
        return self._fresh[stage]

    def require(self, stage: str) -> None:
        """Raise :class:`NotComputed`, with the command to run, where a stage is not finished."""
        if not self.has(stage):
            state = "is out of date" if stage in self.manifest.stages else "has not been run yet"
            raise NotComputed(f"the stage {stage!r} of {self.name!r} {state}; run: and-dissect run CONFIG.yaml")

    def notes(self, stage: str) -> dict[str, Any]:
        """What a stage noted about itself (counts, versions, warnings)."""
        self.require(stage)
        return self.manifest.stages[stage].notes

    def artifact(self, name: str) -> Artifact:
        """Manifest entry of an artifact, e.g. ``neurons/top_clips``."""
        stage = name.split("/", 1)[0]
        self.require(stage)
        if name not in self.manifest.artifacts:
            raise ArtifactError(f"{self.name!r} has no artifact {name!r}")
        return self.manifest.artifacts[name]

    def paths(self, name: str) -> list[Path]:
        """Checked paths of an artifact's files."""
        return [self._check(name, i) for i in range(len(self.artifact(name).files))]

    def _check(self, name: str, index: int) -> Path:
        file = self.artifact(name).files[index]
        path = (self.folder / file.path).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ArtifactError(f"artifact {name!r} points outside the dissection: {file.path!r}")
        try:
            stat = path.stat()
        except OSError:
            raise ArtifactError(f"artifact {name!r} is missing: {file.path}") from None
        if stat.st_size != file.size:
            raise ArtifactError(f"artifact {name!r} is truncated or altered: {file.path} has {stat.st_size} bytes, {file.size} expected")
        seen = (stat.st_size, stat.st_mtime_ns)
        if self._checked.get(file.path) != seen:
            with reading(name):
                whole = sha256_file(path) == file.sha256
            if not whole:
                raise ArtifactError(f"artifact {name!r} is altered: the hash of {file.path} is not the manifest's")
            self._checked[file.path] = seen
        return path

    def table(self, name: str) -> pa.Table:
        """A table, kept in memory after the first read."""
        if name not in self._tables:
            path = self.paths(name)[0]
            with reading(name):
                self._tables[name] = pq.read_table(path)
        return self._tables[name]

    def array(self, name: str) -> np.ndarray:
        """An array, memory-mapped and read-only."""
        if name not in self._arrays:
            path = self.paths(name)[0]
            with reading(name):
                self._arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._arrays[name]

    def document(self, name: str) -> Any:
        """A JSON document, kept in memory after the first read; not to be changed by the caller."""
        if name not in self._documents:
            path = self.paths(name)[0]
            with reading(name):
                self._documents[name] = json.loads(path.read_text(encoding="utf-8"))
        return self._documents[name]

    def validate(self) -> Iterator[tuple[str, str]]:
        """Check every file of every artifact; yields (artifact, fault) for each that is off, and for files nobody lists."""
        self._checked.clear()
        listed = set()
        for name, artifact in self.manifest.artifacts.items():
            for index, file in enumerate(artifact.files):
                listed.add(file.path)
                try:
                    self._check(name, index)
                except ArtifactError as error:
                    yield name, str(error)
        for path in sorted((self.folder / "artifacts").rglob("*")):
            relative = str(path.relative_to(self.folder))
            if path.is_file() and relative not in listed:
                yield relative, "not in the manifest"
        for path in sorted((self.folder / VIEWS).glob(f"*/{FILE}")):
            view = path.parent.name
            try:
                yield from ((f"{VIEWS}/{view}/{name}", fault) for name, fault in Artifacts(path.parent).validate())
            except ArtifactError as error:
                yield f"{VIEWS}/{view}", str(error)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """A file that goes away while it is read (a run has just replaced it) is an artifact's fault, said as one."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"artifact {name!r} could not be read; if a run is writing this dissection, look again in a moment: {error}") from None
