"""The pages' door to the store: one reader per dissection, shared by all sessions, renewed when its manifest changes."""

from __future__ import annotations

from functools import lru_cache

from and_core import Dissection, list_dissections, open_dissection
from and_core.errors import ArtifactError
from and_core.store.files import cache_root, safe_name
from and_core.store.manifest import FILE


def dissection_names() -> list[str]:
    """Names in the cache that a URL may carry."""
    found = []
    for name in list_dissections():
        try:
            found.append(safe_name(name))
        except ArtifactError:
            continue
    return found


def get_dissection(name: str) -> Dissection:
    """The reader of a dissection.

    Raises
    ------
    ArtifactError
        No such dissection, a name that is not allowed, or a damaged manifest.
    """
    path = cache_root() / safe_name(name, "dissection") / FILE
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        raise ArtifactError(f"there is no dissection {name!r}") from None
    return _open(str(cache_root()), name, stamp)


@lru_cache(maxsize=8)
def _open(root: str, name: str, stamp: int) -> Dissection:
    return open_dissection(name)
