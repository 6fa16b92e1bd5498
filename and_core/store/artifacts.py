"""The artifacts of one dissection: every file checked against its hash when it is first read. Never imports torch."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from and_core.errors import ANDError, ArtifactError, NotComputed, first_line
from and_core.store.files import inside, sha256_file
from and_core.store.manifest import FILE, Artifact, Manifest
from and_core.store.versions import STAGE_VERSIONS

HEADER = 10_000  # bytes of a .npy's own header that are parsed
VIEWS = "views"  # folder of dissections that explain the same neurons from some of the clips


def layer_artifact(layer: str) -> str:
    """Return the name of a layer's activations among the artifacts of its stage: no document can be called so, whatever
    the layer is called."""
    return f"layer:{layer}"


class Artifacts:
    """Tables, arrays and documents by name, as the manifest lists them."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.load(self.folder)
        self._checked: dict[str, tuple[int, int]] = {}
        self._tables: dict[str, pa.Table] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._documents: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the dissection: its folder's, by which it is opened."""
        return self.folder.name

    def has(self, stage: str) -> bool:
        """Return whether a stage is finished, by this version of the package, and made from what its input stages hold
        now."""
        return self._fresh.get(stage, False)

    @cached_property
    def _fresh(self) -> dict[str, bool]:
        stages = self.manifest.stages
        fresh: dict[str, bool] = {}
        for name in self.manifest.order():  # those that it reads come first
            record = stages.get(name)
            current = record is not None and record.version == STAGE_VERSIONS.get(name.partition("-")[0])
            fresh[name] = current and all(
                fresh[other] and stages[other].key == key for other, key in (record.inputs if record else {}).items()
            )
        return fresh

    def require(self, stage: str) -> None:
        """Raise :class:`NotComputed`, with the command to run, where a stage is not finished."""
        if not self.has(stage):
            state = "is out of date" if stage in self.manifest.stages else "has not been run yet"
            raise NotComputed(f"the stage {stage!r} of {self.name!r} {state}; run: and-dissect run CONFIG.yaml")

    def notes(self, stage: str) -> dict[str, Any]:
        """Return what a stage noted about itself (counts, versions, warnings)."""
        self.require(stage)
        return self.manifest.stages[stage].notes

    def artifact(self, name: str) -> Artifact:
        """Return the manifest entry of an artifact, e.g. ``neurons/top_clips``."""
        stage = name.split("/", 1)[0]
        self.require(stage)
        if name not in self.manifest.artifacts:
            raise ArtifactError(f"{self.name!r} has no artifact {name!r}")
        if not self.manifest.artifacts[name].files:
            raise ArtifactError(f"artifact {name!r} of {self.name!r} has no file")
        return self.manifest.artifacts[name]

    def paths(self, name: str) -> list[Path]:
        """Return checked paths of an artifact's files."""
        return [self._check(name, i) for i in range(len(self.artifact(name).files))]

    def _check(self, name: str, index: int) -> Path:
        files = self.artifact(name).files
        if not 0 <= index < len(files):
            raise ArtifactError(f"artifact {name!r} of {self.name!r} has {len(files)} files, none of number {index}")
        file = files[index]
        if (unchanged := self._unchanged(file.path)) is not None:
            return unchanged
        path = inside(self.folder, file.path)
        try:
            status = path.stat()
        except OSError:
            raise ArtifactError(f"artifact {name!r} is missing: {file.path}; {self._again(name)}") from None
        if status.st_size != file.size or not path.is_file():
            raise ArtifactError(
                f"artifact {name!r} is truncated or altered: {file.path} has {status.st_size} bytes, {file.size} "
                f"expected; {self._again(name)}"
            )
        seen = (status.st_size, status.st_mtime_ns)
        if self._checked.get(file.path) != seen:
            with reading(name):
                whole = sha256_file(path) == file.sha256
            if not whole:
                raise ArtifactError(
                    f"artifact {name!r} is altered: the hash of {file.path} is not the manifest's; {self._again(name)}"
                )
            self._checked[file.path] = seen
        return path

    def _unchanged(self, name: str) -> Path | None:
        """Return the path of a file that was checked and is as it was then, itself and no link; else None.

        A layer of many clips lies in many files, and is read in many blocks: where each way there was looked at each
        time, that grew with the square of the clips.
        """
        seen = self._checked.get(name)
        if seen is None:
            return None
        path = self.folder / name
        try:
            now = path.lstat()
        except OSError:
            return None
        same = stat.S_ISREG(now.st_mode) and (now.st_size, now.st_mtime_ns) == seen
        return path if same else None

    def _again(self, name: str) -> str:
        """Return the command that makes an artifact again."""
        kept = name.startswith("kept-")
        return (
            "forget this kept run and keep it again"
            if kept
            else f"to make it again, run the configuration of {self.name!r}: and-dissect run CONFIG.yaml"
        )

    def table(self, name: str) -> pa.Table:
        """Return a table, kept in memory after the first read."""
        if name not in self._tables:
            path = self.paths(name)[0]
            with reading(name):
                self._tables[name] = pq.read_table(path)
        return self._tables[name]

    def array(self, name: str) -> np.ndarray:
        """Return an array, memory-mapped and read-only."""
        if name not in self._arrays:
            path = self.paths(name)[0]
            with reading(name):
                self._arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=HEADER)
        return self._arrays[name]

    def zarr_array(self, name: str) -> Any:
        """Return a Zarr array, opened for reading.

        Raises
        ------
        ArtifactError
            Its folder holds other files than the manifest lists, or it can't be read.
        """
        import zarr

        paths = self.paths(name)
        with reading(name):
            root = next(path.parent for path in paths if path.name == "zarr.json")
            if {path for path in root.rglob("*") if not path.is_dir()} != set(paths):
                raise ArtifactError(
                    f"artifact {name!r} is altered: its folder holds other files than the manifest lists"
                )
            return zarr.open_array(str(root), mode="r")

    def document(self, name: str) -> Any:
        """Return a JSON document, kept in memory after the first read; not to be changed by the caller."""
        if name not in self._documents:
            path = self.paths(name)[0]
            with reading(name):
                self._documents[name] = json.loads(path.read_text(encoding="utf-8"))
        return self._documents[name]

    def validate(self) -> Iterator[tuple[str, str]]:
        """Check every file of every artifact.

        Yields (artifact, fault) for each that is off, and for files nobody lists.
        """
        self._checked.clear()
        listed = set()
        for name, artifact in self.manifest.artifacts.items():
            for index, file in enumerate(artifact.files):
                listed.add(file.path)
                try:
                    self._check(name, index)
                except ArtifactError as error:
                    yield name, str(error)
        for path in sorted(inside(self.folder, "artifacts").rglob("*")):
            relative = str(path.relative_to(self.folder))
            if not path.is_dir() and relative not in listed:
                yield relative, "not in the manifest"
        for path in sorted(self.folder.glob(f"{VIEWS}/*/{FILE}")):
            view = path.parent.name
            try:
                inside(self.folder, path)
                yield from ((f"{VIEWS}/{view}/{name}", fault) for name, fault in Artifacts(path.parent).validate())
            except ArtifactError as error:
                yield f"{VIEWS}/{view}", str(error)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Say whatever goes wrong in reading a file as the artifact's fault: it goes away meanwhile (a run has just
    replaced it), or holds what it must not."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"artifact {name!r} could not be read; if a run is writing this dissection, look again in a moment: {error}"
        ) from None
    except ANDError:
        raise
    except Exception as error:  # noqa: BLE001 - numpy, pyarrow, zarr and json each have errors of their own for what they can't read
        raise ArtifactError(
            f"artifact {name!r} is not what it should be: {type(error).__name__}: {first_line(error)}"
        ) from None
