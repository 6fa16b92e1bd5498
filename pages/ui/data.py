"""The pages' door to the store: one reader per dissection, shared by all sessions,
renewed when its manifest changes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from and_core import Dissection, NeuronId, list_dissections, open_dissection
from and_core.errors import ArtifactError
from and_core.query.counterpart import counterparts
from and_core.query.search import Matches, Query, find_neurons, rank_neurons
from and_core.store.files import cache_root, safe_name
from and_core.store.manifest import FILE
from and_core.study.study import FOLDER, Study, list_studies, open_study

KEPT = 8  # readers


def dissection_names() -> list[str]:
    """Return names in the cache that a URL may carry, the embedded default first."""
    names = []
    for name in list_dissections():
        try:
            names.append(safe_name(name))
        except ArtifactError:
            continue
    return sorted(names, key=lambda name: (not name.startswith("demo"), name))


def get_dissection(name: str) -> Dissection:
    """Return the reader of a dissection.

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
    return _reader(str(cache_root()), name, stamp)


_open: dict[str, tuple[tuple[str, int], Dissection]] = {}


def _reader(root: str, name: str, stamp: int) -> Dissection:
    """Return one reader per dissection, made anew when the manifest has changed."""
    key = (root, stamp)
    if name not in _open or _open[name][0] != key:
        _open[name] = (key, open_dissection(name))
        while len(_open) > KEPT:
            _open.pop(next(iter(_open)))
    return _open[name][1]


@lru_cache(maxsize=32)
def found_neurons(dissection: Dissection, query: Query) -> tuple[np.ndarray, np.ndarray | None]:
    """Search results, kept while neurons are stepped through."""
    return find_neurons(dissection, query)


@lru_cache(maxsize=32)
def ranked_neurons(dissection: Dissection, query: Query) -> Matches:
    """Return search results, surest first, kept while they are stepped through."""
    return rank_neurons(dissection, query)


@lru_cache(maxsize=64)
def kept_counterparts(d: Dissection, neuron: NeuronId, other: Dissection) -> list[tuple[NeuronId, float]]:
    """Return a neuron's places in another network, kept while others are looked at."""
    return counterparts(d, neuron, other)


def study_names() -> list[str]:
    """Return human studies in the cache."""
    return list_studies()


def get_study(name: str) -> Study:
    """Return a human study, opened once while its database stays the same file.

    Raises
    ------
    StudyError
        No such study, or its database can't be opened.
    """
    return _study(
        str(cache_root()),
        name,
        (cache_root() / FOLDER / safe_name(name, "study")).stat().st_ino if name in list_studies() else 0,
    )


@lru_cache(maxsize=KEPT)
def _study(root: str, name: str, folder: int) -> Study:
    """Open a study.

    `folder` is the identity of the study's folder: a study that was deleted and made anew is another one.
    """
    return open_study(name)
