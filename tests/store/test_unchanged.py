"""A checked file is taken as it is while its size and time are the same and it is no link."""

from __future__ import annotations

import os
from pathlib import Path

from and_core.store.artifacts import Artifacts


def test_a_file_that_was_checked_is_looked_at_anew_once_it_differs(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    reader = object.__new__(Artifacts)
    status = file.stat()
    reader.folder, reader._checked = tmp_path, {}
    assert reader._unchanged("a") is None  # never checked
    reader._checked["a"] = (status.st_size, status.st_mtime_ns)
    assert reader._unchanged("a") == file
    file.write_bytes(b"two")
    os.utime(file, ns=(0, status.st_mtime_ns + 1))
    assert reader._unchanged("a") is None  # written since
    os.utime(file, ns=(0, status.st_mtime_ns))
    assert reader._unchanged("a") == file
    file.rename(tmp_path / "b")
    assert reader._unchanged("a") is None  # gone
    file.symlink_to(tmp_path / "b")
    assert reader._unchanged("a") is None  # a link, whose way is looked at
