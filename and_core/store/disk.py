"""What dissections take on disk, of their own and shared with others, and how one is removed."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from and_core.errors import ArtifactError
from and_core.store.dissection import list_dissections
from and_core.store.files import inside, safe_name
from and_core.store.manifest import FILE
from and_core.store.writer import writing


@dataclass(frozen=True)
class DiskUse:
    """Bytes that a dissection takes.

    Attributes
    ----------
    own : int
        In files that nothing else links to: what its removal frees.
    shared : int
        In files that are hard links to those of other dissections, which stay when this one goes.
    """

    own: int
    shared: int

    @property
    def total(self) -> int:
        """Bytes of all its files, each counted once."""
        return self.own + self.shared


def disk_use(folder: Path) -> DiskUse:
    """Return what a dissection takes on disk, its views included; links that lead elsewhere are not followed."""
    links: Counter[tuple[int, int]] = Counter()
    status: dict[tuple[int, int], os.stat_result] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                entry = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:  # a run has just replaced it
                continue
            links[entry.st_dev, entry.st_ino] += 1
            status[entry.st_dev, entry.st_ino] = entry
    own = sum(one.st_size for inode, one in status.items() if one.st_nlink <= links[inode])
    return DiskUse(own, sum(one.st_size for one in status.values()) - own)


def other_use(root: Path) -> dict[str, int]:
    """Return name -> bytes of what lies in a cache beside its dissections: answers of language models, studies, kept
    sounds."""
    dissections = set(list_dissections(root))
    others = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name not in dissections and not path.is_symlink():
            others[path.name] = disk_use(path).total if path.is_dir() else path.stat().st_size
    return {name: size for name, size in others.items() if size}


def remove_dissection(root: Path, name: str) -> DiskUse:
    """Delete a dissection of a cache; parts that others share stay with them.

    Returns
    -------
    DiskUse
        What it took: `own` has been freed.

    Raises
    ------
    ArtifactError
        There is no dissection of that name in the cache, or it is a link to elsewhere.
    BusyError
        A run is writing it.
    """
    folder = root / safe_name(name, "dissection")
    if folder.is_symlink():
        raise ArtifactError(f"{folder} is a link; remove the link itself, or the dissection where it lies")
    if not (folder / FILE).is_file():
        raise ArtifactError(f"no dissection at {folder}; there are: {', '.join(list_dissections(root)) or 'none'}")
    with writing(folder):
        use = disk_use(folder)
        inside(folder, FILE).unlink()  # first: what is half deleted is no dissection
        shutil.rmtree(folder)
    return use
