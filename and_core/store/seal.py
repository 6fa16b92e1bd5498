"""Seals: which results were made by this installation, told by a key that never leaves it.

A hash says that a file is what its manifest lists; it says nothing about who wrote the manifest. A seal does: it is
made from a stage's record and files with a key that lies in the user's own folder, outside every cache.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from and_core.errors import ArtifactError
from and_core.store.files import inside, plain_file, user_folder, write_atomic
from and_core.store.manifest import Manifest

HOME = "AND_HOME"  # names the folder of the key, in place of the system's own for a user's data
KEY, SEALS = "key", ".seals.json"
LENGTH = 32  # bytes of a key


def key_path() -> Path:
    """Return where the key of this installation lies: in ``AND_HOME``, else among the user's data."""
    given = os.environ.get(HOME)
    return (Path(given).expanduser() if given else user_folder()) / KEY


def installation_key() -> bytes:
    """Return the key of this installation; made by chance when it is first asked for."""
    return _key(key_path())


@lru_cache(maxsize=8)
def _key(path: Path) -> bytes:
    made = secrets.token_bytes(LENGTH)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # for this user's eyes alone
        with open(descriptor, "wb") as handle:
            handle.write(made)
        try:
            with suppress(FileExistsError):  # another process was quicker
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except OSError as error:
        if not path.is_file():
            print(
                f"the key of this installation can't be kept in {path.parent} ({error.strerror}); set {HOME} to a "
                "folder of yours",
                file=sys.stderr,
            )
            return made  # of this process alone: what it makes will count as made elsewhere
    key = path.read_bytes()
    if len(key) != LENGTH:
        raise ArtifactError(
            f"{path} is no key of an installation: it has {len(key)} bytes, {LENGTH} expected; remove it to have one "
            "made"
        )
    return key


def seal_of(text: str) -> str:
    """Return the seal of a text: HMAC-SHA256 with the key of this installation."""
    return hmac.new(installation_key(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def stage_seal(manifest: Manifest, stage: str) -> str:
    """Return the seal of a finished stage: of its record and of the hashes of its files."""
    artifacts = {
        name: artifact.model_dump(mode="json")
        for name, artifact in manifest.artifacts.items()
        if artifact.stage == stage
    }
    content = [stage, manifest.stages[stage].model_dump(mode="json"), artifacts]
    return seal_of(json.dumps(content, sort_keys=True, separators=(",", ":")))


def is_sealed(folder: Path, manifest: Manifest, stage: str) -> bool:
    """Return whether a finished stage was made by this installation."""
    return stage_seal(manifest, stage) in _read(folder)


def sealed(folder: Path, manifest: Manifest) -> set[str]:
    """Return the stages of a dissection that were made by this installation."""
    seals = _read(folder)
    return {stage for stage in manifest.stages if stage_seal(manifest, stage) in seals}


def seal_stages(folder: Path, manifest: Manifest, stages: Iterable[str]) -> None:
    """Declare stages of a manifest, which is about to be saved, to be made by this installation.

    What was made here from results of somebody else's is theirs in part: it gets no seal.
    """
    kept = _read(folder)
    made: set[str] = set()
    for stage in stages:
        if all(
            name in manifest.stages and stage_seal(manifest, name) in kept | made
            for name in manifest.stages[stage].inputs
        ):
            made.add(stage_seal(manifest, stage))
    if not made <= kept:
        _write(folder, kept | made)


def sweep_seals(folder: Path, manifest: Manifest) -> None:
    """Forget the seals of results that are no longer there; call after the manifest is saved."""
    kept = _read(folder)
    live = kept & {stage_seal(manifest, stage) for stage in manifest.stages}
    if live != kept:
        _write(folder, live)


def _write(folder: Path, seals: set[str]) -> None:
    write_atomic(folder / SEALS, json.dumps(sorted(seals), indent=0).encode() + b"\n")


def _read(folder: Path) -> set[str]:
    try:
        seals: Any = json.loads(plain_file(inside(folder, SEALS)).read_bytes())
        return {seal for seal in seals if isinstance(seal, str)}
    except (OSError, ValueError, TypeError, RecursionError):
        return set()
