"""Small file primitives: hash, write atomically, check a name."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_data_path

from and_core.errors import ANDError, ArtifactError

WEIGHTS = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".gguf",
    ".json",
)  # files of a checkpoint that decide what it computes
LFS_POINTER = "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"
NOT_WHOLE = "is no safetensors file, or was cut short"
LARGEST_TEXT = 1 << 28  # bytes of a table or text that is read whole
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def cache_root() -> Path:
    """Return where dissections live: ``AND_CACHE``; else ``cache/`` of a checkout.

    Else the platform's folder for a user's data.
    """
    if os.environ.get("AND_CACHE"):
        return Path(os.environ["AND_CACHE"]).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "cache" if (checkout / "pyproject.toml").exists() else user_folder() / "cache"


def user_folder() -> Path:
    """Return the platform's folder for what this package keeps for a user (on Linux ``~/.local/share/and-dissect``)."""
    return user_data_path("and-dissect", appauthor=False)


def safe_name(name: str, what: str = "name") -> str:
    """Return `name`, if it can be a folder's name without leading anywhere else.

    Raises
    ------
    ArtifactError
        For anything with a separator, NUL, markup, ``..`` and the like.

    Examples
    --------
    >>> safe_name("demo-ast")
    'demo-ast'
    >>> safe_name("../etc")
    Traceback (most recent call last):
    and_core.errors.ArtifactError: name='../etc' is not allowed; use letters, digits, '.', '_' and '-'
    """
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name) or ".." in name:
        raise ArtifactError(f"{what}={str(name)[:80]!r} is not allowed; use letters, digits, '.', '_' and '-'")
    return name


def plain_file(path: Path) -> Path:
    """Return the path of a table or text that is about to be read whole, if it is a regular file of at most
    :data:`LARGEST_TEXT` bytes.

    Raises
    ------
    OSError
        It is not there, no regular file (a pipe may never end), or too large.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    if status.st_size > LARGEST_TEXT:
        raise OSError(errno.EFBIG, f"more than {LARGEST_TEXT} bytes", str(path))
    return path


def sha256_file(path: Path) -> str:
    """Return hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_files(paths: Iterable[Path]) -> str:
    """Return one hash of several files of a folder: their names and their bytes, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        digest.update(bytes.fromhex(sha256_file(path)))
    return digest.hexdigest()


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path, its links followed, is a folder's own or lies below it."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a ring of links, a NUL
        return False


def inside(folder: Path, *parts: str | Path) -> Path:
    """Return a path below a dissection's folder, the one way to any of its files.

    Parameters
    ----------
    folder : Path
        The dissection; it may be reached through a link itself.
    parts : str or Path
        Names below it, which need not exist.

    Raises
    ------
    ArtifactError
        The path leaves the folder: it is absolute, has ``..`` in it, or goes through a link to elsewhere.
    """
    path = Path(folder, *parts)
    if ".." in path.parts[len(folder.parts) :] or not lies_in(path, folder):
        raise ArtifactError(
            f"{str(path)[:200]!r} leads outside the dissection {folder.name!r}; nothing there is read, written or "
            "deleted"
        )
    return path


def remove(folder: Path, path: Path) -> None:
    """Delete a file, a link (what it leads to stays) or a tree below a dissection's folder; nothing where there is
    nothing.

    Raises
    ------
    ArtifactError
        The path leaves the folder.
    """
    path = inside(folder, path.parent) / path.name
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def write_atomic(path: Path, data: bytes, durable: bool = True) -> None:
    """Write beside, flush to disk, move into place: readers see the old file or the new one, never half of one.

    Parameters
    ----------
    durable : bool
        Whether it must outlast a loss of power; nothing is flushed otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as handle:  # never through a link that lies there
            handle.write(data)
            handle.flush()
            if durable:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and `folder` itself, to disk."""
    for path in (*sorted(folder.rglob("*")), folder):
        sync(path)


def is_lfs_pointer(head: bytes) -> bool:
    """Return whether a file that begins so is a Git LFS pointer."""
    return head.startswith(b"version https://git-lfs")


def weights_fault(path: Path) -> str | None:
    """Say what stands in a checkpoint's file in place of what its ending promises: a Git LFS pointer, a web page, a
    pickle, half a file; None if nothing."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(512)
    if size == 0:
        return "is empty"
    if is_lfs_pointer(head):
        return f"is {LFS_POINTER}"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return "is a web page (HTML or XML), not the file itself; download it again"
    if path.suffix == ".safetensors":
        length = int.from_bytes(head[:8], "little")
        if head[8:9] != b"{" or length + 8 > size:
            pickled = head[:2] == b"PK" or head[:1] == b"\x80"
            return (
                "is a pickle (PyTorch's older format) under another name; files that can run code are never loaded"
                if pickled
                else NOT_WHOLE
            )
    return None


def check_weights(place: Path, what: str, error: type[ANDError]) -> None:
    """Raise `error`, beginning with `what`, where a checkpoint's file, or one in its folder, is not what its ending
    promises."""
    files = [place] if place.is_file() else sorted((*place.glob("*"), *place.glob("*/*"))) if place.is_dir() else []
    files = [path for path in files if path.suffix in WEIGHTS and path.is_file()]
    for path in files:
        fault = weights_fault(path)
        if fault is not None:
            raise error(f"{what}: {path.name} {fault}")
