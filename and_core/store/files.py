"""Small file primitives: hash, write atomically, check a name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from and_core.errors import ANDError, ArtifactError

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json")  # files of a checkpoint that decide what it computes
NOT_WHOLE = "is no safetensors file, or was cut short"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def cache_root() -> Path:
    """Where dissections live: ``AND_CACHE``, else ``cache/`` beside the package in a checkout, else in the working folder."""
    if os.environ.get("AND_CACHE"):
        return Path(os.environ["AND_CACHE"]).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "cache" if (checkout / "pyproject.toml").exists() else Path.cwd() / "cache"


def safe_name(name: str, what: str = "name") -> str:
    """`name`, if it can be a folder's name without leading anywhere else.

    Raises
    ------
    ArtifactError
        For anything with a separator, NUL, markup, ``..`` and the like.
    """
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name) or ".." in name:
        raise ArtifactError(f"{what}={str(name)[:80]!r} is not allowed; use letters, digits, '.', '_' and '-'")
    return name


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_files(paths: Iterable[Path]) -> str:
    """One hash of several files of a folder: their names and their bytes, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(bytes.fromhex(sha256_file(path)))
    return digest.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside, flush to disk, move into place: readers see the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_tree(folder: Path) -> None:
    """Flush every file below `folder` to disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def weights_fault(path: Path) -> str | None:
    """Say what stands in a checkpoint's file in place of what its ending promises: a Git LFS pointer, a web page, a pickle, half a file; None if nothing."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(512)
    if size == 0:
        return "is empty"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; fetch it with: git lfs pull"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return "is a web page (HTML or XML), not the file itself; download it again"
    if path.suffix == ".safetensors":
        length = int.from_bytes(head[:8], "little")
        if head[8:9] != b"{" or length + 8 > size:
            pickled = head[:2] == b"PK" or head[:1] == b"\x80"
            return "is a pickle (PyTorch's older format) under another name; files that can run code are never loaded" if pickled else NOT_WHOLE
    return None


def check_weights(place: Path, what: str, error: type[ANDError]) -> None:
    """Raise `error`, beginning with `what`, where a checkpoint's file, or one in its folder, is not what its ending promises."""
    files = [place] if place.is_file() else sorted((*place.glob("*"), *place.glob("*/*"))) if place.is_dir() else []
    files = [path for path in files if path.suffix in WEIGHTS and path.is_file()]
    for path in files:
        fault = weights_fault(path)
        if fault is not None:
            raise error(f"{what}: {path.name} {fault}")
