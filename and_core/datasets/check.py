"""Checks of a probing dataset by ear: which clips are the same recording, and whether a split runs through one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from and_core.audio.fingerprints import fingerprint
from and_core.datasets.base import ClipRef, Dataset
from and_core.datasets.duplicates import Pair, groups_of, near_duplicates
from and_core.datasets.prepare import leave_with_parent
from and_core.progress import Steps

PER_JOB = 32  # clips a worker process takes at once
Print = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SplitClips:
    """Clips of one recording that lie in several folds; `by` says how that is known: ``source`` or ``sound``."""

    by: str
    clips: tuple[int, ...]
    folds: tuple[int, ...]


@dataclass(frozen=True)
class SoundCheck:
    """What fingerprints tell of a data set.

    Attributes
    ----------
    names : tuple of str
        Of the clips, which the pairs number.
    pairs : tuple of Pair
        Clips that hold the same sound.
    split : tuple of SplitClips
        Recordings on both sides of a split into folds.
    unread : dict of str to str
        Clips that can't be read, and why.
    """

    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    split: tuple[SplitClips, ...]
    unread: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return plain values, clips by name."""
        return {
            "near_duplicates": [
                {
                    "a": self.names[p.a], "b": self.names[p.b], "kind": "copy" if p.copy else "part",
                    "shift_seconds": round(p.shift, 3), "seconds": round(p.seconds, 3),
                    "agreement": round(p.agreement, 4),
                }
                for p in self.pairs
            ],
            "groups": [[self.names[i] for i in group] for group in groups_of(self.pairs)],
            "on_both_sides": [
                {"by": s.by, "clips": [self.names[i] for i in s.clips], "folds": list(s.folds)} for s in self.split
            ],
            "unread": self.unread,
        }  # fmt: skip


def check_sound(dataset: Dataset[Any], workers: int, progress: Steps = lambda done, total: None) -> SoundCheck:
    """Decode every clip of a data set once, and compare their fingerprints.

    Time and memory are linear in the clips: each keeps 350 bytes a second.
    """
    refs = dataset.references()
    jobs = [(dataset, refs[i : i + PER_JOB]) for i in range(0, len(refs), PER_JOB)]
    prints: list[Print] = []
    unread: dict[str, str] = {}
    with _pool(workers if len(jobs) > 1 else 1) as mapped:
        for made, faults in mapped(_fingerprints, jobs):
            prints += made
            unread |= faults
            progress(len(prints), len(refs))
    pairs = near_duplicates(prints)
    folds, sources = [ref.fold for ref in refs], [ref.source for ref in refs]
    return SoundCheck(
        tuple(ref.name for ref in refs), tuple(pairs), tuple(on_both_sides(pairs, folds, sources)), unread
    )


def on_both_sides(
    pairs: Sequence[Pair], folds: Sequence[int | None], sources: Sequence[str | None]
) -> list[SplitClips]:
    """Return recordings that lie in several folds: those of one source, and near-duplicates."""
    by_source: dict[str, list[int]] = {}
    for i, source in enumerate(sources):
        if source is not None:
            by_source.setdefault(source, []).append(i)
    kinds = (("source", list(by_source.values())), ("sound", groups_of(pairs)))
    split = []
    for by, groups in kinds:
        for group in groups:
            sides = sorted({fold for i in group if (fold := folds[i]) is not None})
            if len(sides) > 1:
                split.append(SplitClips(by, tuple(group), tuple(sides)))
    return split


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` over worker processes, or over none."""
    if workers < 2:
        yield map
        return
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(
        workers, initializer=leave_with_parent, initargs=(os.getpid(),), env={"OMP_NUM_THREADS": "1"}
    ) as pool:
        yield pool.map


def _fingerprints(job: tuple[Dataset[Any], list[ClipRef]]) -> tuple[list[Print], dict[str, str]]:
    """Return the fingerprints of some clips, an empty one for a clip that can't be read, with the reason."""
    dataset, refs = job
    prints: list[Print] = []
    unread = {}
    for ref in refs:
        try:
            prints.append(fingerprint(*dataset.read(ref)))
        except Exception as error:  # noqa: BLE001 - one clip that a decoder chokes on must not end the check
            unread[ref.name] = str(error)
            prints.append((np.zeros(0, np.uint32), np.zeros(0, np.uint32)))
    return prints, unread
