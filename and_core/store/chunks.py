"""Marks of finished chunks: what a chunk has written, by hash, so that neither a crash nor a loss of power passes for a
result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from and_core.store.files import plain_file, sha256_file, sync, write_atomic


def mark_chunk(mark: Path, paths: Iterable[Path] = (), content: Any = None) -> None:
    """Flush the files of a chunk to disk, then write its mark, which holds their hashes.

    Parameters
    ----------
    mark : Path
        The mark, ``chunks/000000`` in the folder of an unfinished stage.
    paths : iterable of Path
        Files of the chunk, below the same folder.
    content : JSON value
        What else the chunk has to say.
    """
    base = mark.parent.parent
    hashes = {}
    for path in paths:
        sync(path)
        hashes[os.path.relpath(path, base)] = sha256_file(path)
    write_atomic(mark, json.dumps({"files": hashes, "content": content}).encode())


def read_mark(mark: Path) -> tuple[bool, Any]:
    """Return whether a chunk is finished and every file of it is what was written, and what it had to say."""
    try:
        noted = json.loads(plain_file(mark).read_bytes())
        base = mark.parent.parent
        whole = all(sha256_file(base / name) == digest for name, digest in noted["files"].items())
        return whole, noted["content"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no mark, half a mark, a file that is gone
        return False, None
