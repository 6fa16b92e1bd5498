"""Dissections that can stand side by side in a table: of the same clips and the same concept set."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from and_core.errors import ANDError
from and_core.store.dissection import Dissection, list_dissections
from and_core.store.manifest import FILE


def comparable(d: Dissection, stage: str = "last_layer") -> list[Dissection]:
    """Return the dissections of a cache that share clips and concept set with `d` and have a stage, itself among them,
    by name."""
    dissections = []
    for name in list_dissections(d.folder.parent):
        try:
            other = (
                d
                if name == d.name
                else _neighbour(d.folder.parent / name, (d.folder.parent / name / FILE).stat().st_mtime_ns)
            )
            if other.has(stage) and _common(other) == _common(d):
                dissections.append(other)
        except (ANDError, OSError):
            continue  # a damaged neighbour has no place in a table, and its own page says what ails it
    return dissections


@lru_cache(maxsize=16)
def _neighbour(folder: Path, stamp: int) -> Dissection:
    """Return a reader that is kept until the manifest changes: a page asks for its neighbours at every step."""
    return Dissection(folder)


def _common(d: Dissection) -> tuple[str, Any, bool]:
    d.require("clips")
    planted = (
        d.manifest.config.get("target", {}).get("kind") == "planted"
    )  # no network of its own: it stands with its like alone
    return d.manifest.stages["clips"].key, d.concept_set, planted
