"""Writing a stage: chunks in a partial folder that survives a crash, then one move and one manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from and_core.errors import ArtifactError, BusyError
from and_core.records import Provenance
from and_core.store.chunks import mark_chunk, read_mark
from and_core.store.files import inside, plain_file, remove, sha256_file, sync, sync_tree, write_atomic
from and_core.store.manifest import Artifact, File, Manifest, StageRecord
from and_core.store.seal import seal_of, seal_stages, sweep_seals

ARTIFACTS = "artifacts"
PARTIAL = ".partial"
SEAL = "made-here"
LOCK = ".lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the dissection for writing; the lock goes with the process, however it ends.

    Raises
    ------
    BusyError
        Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = inside(folder, LOCK)
    if lock.is_symlink():
        raise ArtifactError(f"{lock} is a link, which no lock is; remove it")
    try:
        with FileLock(str(lock), timeout=0):
            yield
    except Timeout:
        raise BusyError(
            f"another run is writing {folder.name!r}; wait for it to end, or give this run another name"
        ) from None


class StageWriter:
    """Where one stage puts its results.

    Parameters
    ----------
    folder : Path
        The dissection.
    stage, key : str
        Name and fingerprint; the partial folder carries both, so a changed parameter never goes on with old chunks.
    name : str, optional
        Name in the manifest, where it is not the stage's: of one of several results of a kind, ``kept-KEY``.
    """

    def __init__(self, folder: Path, stage: str, key: str, name: str | None = None) -> None:
        self.folder, self.stage, self.key = folder, stage, key
        self.name = name or stage
        self.partial = inside(folder, PARTIAL, f"{stage}-{key}")
        self.out = self.partial / "out"
        self.chunks = self.partial / "chunks"
        for stale in inside(folder, PARTIAL).glob(f"{stage}-*"):
            if stale != self.partial or not self._made_here():
                remove(folder, stale)
        self.out.mkdir(parents=True, exist_ok=True)
        self.chunks.mkdir(exist_ok=True)
        write_atomic(self.partial / SEAL, self._seal())
        self.artifacts: dict[str, Artifact] = {}
        self.notes: dict[str, Any] = {}
        self.provenance: Provenance = "computed"

    def _seal(self) -> bytes:
        return seal_of(f"unfinished {self.stage}-{self.key}").encode()

    def _made_here(self) -> bool:
        """Return whether this installation began the chunks that lie here, and no link leads from them to elsewhere."""
        try:
            linked = any(path.is_symlink() for path in self.partial.rglob("*"))
            return not linked and plain_file(self.partial / SEAL).read_bytes() == self._seal()
        except OSError:
            return False

    def done(self, chunk: int) -> bool:
        """Return whether a chunk was finished, by this run or by one before it, and its files are what was written."""
        return read_mark(self.chunks / f"{chunk:06d}")[0]

    def mark(self, chunk: int, paths: Iterable[Path]) -> None:
        """Declare a chunk finished; its files, below `out`, are flushed to disk first."""
        mark_chunk(self.chunks / f"{chunk:06d}", paths)

    def noted(self, chunk: int) -> Any:
        """Return what a finished chunk had to say besides its files."""
        return read_mark(self.chunks / f"{chunk:06d}")[1]

    def chunked(self, count: int, compute: Callable[[int], dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        """Yield arrays of chunk 0..count-1, each computed once and kept on disk until the stage ends.

        One that can't be read is computed again.
        """
        for index in range(count):
            path = self.chunks / f"{index:06d}.npz"
            if not self.done(index):
                arrays = compute(index)
                with open(path, "wb") as handle:
                    np.savez(handle, **arrays)  # type: ignore[arg-type]
                self.mark(index, [path])
            with np.load(path, allow_pickle=False) as loaded:
                yield dict(loaded)

    def table(self, name: str, table: pa.Table, units: dict[str, str] | None = None) -> None:
        """Write a Parquet table."""
        path = self.out / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        self._add(name, "table", [path], [table.num_rows, table.num_columns], "table", ["row", "column"], units or {})

    def array(self, name: str, array: np.ndarray, axes: list[str], unit: str = "1") -> None:
        """Write an array as .npy, readable by memory map."""
        path = self.out / f"{name}.npy"
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)
        self._add(name, "array", [path], list(array.shape), str(array.dtype), axes, {"value": unit})

    def json(self, name: str, value: Any) -> None:
        """Write a small JSON document."""
        path = self.out / f"{name}.json"
        path.write_bytes((json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
        self._add(name, "json", [path], [], "json", [], {})

    def files(
        self, name: str, kind: str, paths: list[Path], shape: list[int], dtype: str, axes: list[str], unit: str = "1"
    ) -> None:
        """Register files already written below `out` as one artifact (a Zarr group, a pack)."""
        self._add(name, kind, paths, shape, dtype, axes, {"value": unit})

    def _add(
        self,
        name: str,
        kind: str,
        paths: list[Path],
        shape: list[int],
        dtype: str,
        axes: list[str],
        units: dict[str, str],
    ) -> None:
        final = Path(ARTIFACTS) / f"{self.stage}-{self.key}"
        files = [
            File(path=str(final / p.relative_to(self.out)), sha256=sha256_file(p), size=p.stat().st_size) for p in paths
        ]
        self.artifacts[f"{self.name}/{name}"] = Artifact(
            stage=self.name,
            kind=kind,
            files=files,
            shape=shape,
            dtype=dtype,
            axes=axes,
            units=units,
            provenance=self.provenance,
        )

    def commit(self, manifest: Manifest, record: StageRecord) -> None:
        """Move the results into place and put them, and only them, into the manifest."""
        sync_tree(self.out)
        shutil.rmtree(self.chunks)  # first: marks must never outlive the results that they stand for
        final = inside(self.folder, ARTIFACTS, f"{self.stage}-{self.key}")
        if final.exists():  # made again under the same key: first nobody may rely on the old files
            if self.name in manifest.stages:
                adopt(manifest, self.name, None, {})
                manifest.save(self.folder)
            remove(self.folder, final)
        final.parent.mkdir(exist_ok=True)
        os.replace(self.out, final)
        sync(final.parent)
        adopt(manifest, self.name, record, self.artifacts)
        seal_stages(self.folder, manifest, [self.name])  # before the manifest: a seal without its stage harms nothing
        manifest.save(self.folder)
        sweep(self.folder, manifest)


def adopt(manifest: Manifest, stage: str, record: StageRecord | None, artifacts: dict[str, Artifact]) -> None:
    """Replace a stage's entry and artifacts in a manifest, or take them out."""
    for old in [name for name, artifact in manifest.artifacts.items() if artifact.stage == stage]:
        del manifest.artifacts[old]
    manifest.artifacts.update(artifacts)
    manifest.stages.pop(stage, None)
    if record is not None:
        manifest.stages[stage] = record


def link_stage(folder: Path, other: Path, manifest: Manifest, theirs: Manifest, stage: str) -> None:
    """Take a finished stage over from another dissection by hard links (copies across file systems)."""
    artifacts = {name: a for name, a in theirs.artifacts.items() if a.stage == stage}
    if not intact(other, theirs, stage):
        raise ArtifactError(f"the stage {stage!r} of {other.name!r} is altered; not taken over")
    for file in (f for a in artifacts.values() for f in a.files):
        goal = inside(folder, file.path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.unlink(missing_ok=True)
        try:
            os.link(other / file.path, goal, follow_symlinks=False)
        except OSError:
            shutil.copyfile(other / file.path, goal)
    adopt(manifest, stage, theirs.stages[stage], artifacts)
    seal_stages(folder, manifest, [stage])
    manifest.save(folder)
    sweep(folder, manifest)


def sweep(folder: Path, manifest: Manifest) -> None:
    """Delete artifact folders that the manifest does not name, the leavings of finished stages, and files that a killed
    run was about to move into place."""
    for path in folder.glob(".*.tmp"):
        remove(folder, path)
    live = {Path(f.path).parts[1] for a in manifest.artifacts.values() for f in a.files}
    for path in inside(folder, ARTIFACTS).glob("*"):
        if path.name not in live:
            remove(folder, path)
    sweep_seals(folder, manifest)
    for stage, record in manifest.stages.items():
        remove(folder, folder / PARTIAL / f"{stage}-{record.key.split('-')[0]}")


def intact(folder: Path, manifest: Manifest, stage: str) -> bool:
    """Return whether every file of a finished stage is there, in the folder itself, with the bytes that the manifest
    lists."""
    files = [f for a in manifest.artifacts.values() if a.stage == stage for f in a.files]
    return all(_whole(inside(folder, f.path), f) for f in files)


def _whole(path: Path, file: File) -> bool:
    return (
        path.is_file()
        and not path.is_symlink()
        and path.stat().st_size == file.size
        and sha256_file(path) == file.sha256
    )
