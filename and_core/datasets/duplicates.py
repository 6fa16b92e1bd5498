"""Near-duplicates among clips: one recording that is there more than once, encoded anew, cut or shifted.

Fingerprints' words are sorted once; clips that share a word are compared at the shift which the word gives. No pair
of clips is looked at that shares none: time and memory are linear in the clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from and_core.audio.fingerprints import HOP, RATE

LEAST_BITS = 20  # of a word that say something, for it to be looked up
NEIGHBOURS = 8  # clips that each is compared with among those of one word: a word that thousands share costs no more
MIDDLE = 1 << 15  # more frames than a clip has, so that a shift is packed as a positive number of 16 bits
SHIFTS = 3  # that are tried for a pair of clips, those that most words give
LEAST_COMPARED = 600  # bits: half a second of sound
MOST_ERRORS = 0.3  # share of bits that differ; .5 by chance. Copies: at most .06, unlike clips of ESC-10: from .41
COPY = 0.8  # share of the shorter clip that the other holds, from which it is a copy of it and not a part


@dataclass(frozen=True)
class Pair:
    """Two clips that hold the same sound.

    Attributes
    ----------
    a, b : int
        Numbers of the clips, a < b.
    shift : float
        Seconds from the start of `b` to where `a` starts in it.
    seconds : float
        Length of what both hold.
    agreement : float
        Share of the compared bits that are equal; .5 by chance.
    copy : bool
        Whether that is (nearly) all of the shorter clip.
    """

    a: int
    b: int
    shift: float
    seconds: float
    agreement: float
    copy: bool


def near_duplicates(prints: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Pair]:
    """Return pairs of clips that hold the same sound, in order of `a` and `b`.

    Of many copies of one clip, each is paired with some: :func:`groups_of` joins them.

    Parameters
    ----------
    prints : sequence of ((frames,) uint32, (frames,) uint32)
        Fingerprint of each clip, see :func:`and_core.audio.fingerprints.fingerprint`.
    """
    if not prints:
        return []
    starts = np.concatenate([[0], np.cumsum([len(words) for words, _ in prints])])
    words, informative = (np.concatenate([p[i] for p in prints]) for i in (0, 1))
    pairs = []
    for a, b, shifts in _candidates(words, informative, starts):
        trials = [
            _compared(prints[a], prints[b], shift) for shift in sorted({s + d for s in shifts for d in (-1, 0, 1)})
        ]
        enough = [trial for trial in trials if trial[1] >= LEAST_COMPARED and trial[0] <= MOST_ERRORS]
        if not enough:
            continue
        errors, _, frames, shift = min(enough)
        sounding = min(int((p[1] != 0).sum()) for p in (prints[a], prints[b]))
        pairs.append(Pair(a, b, shift * HOP / RATE, frames * HOP / RATE, 1 - errors, frames >= COPY * sounding))
    return pairs


def groups_of(pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the clips that pairs join, directly or by others: groups in order of their first clip."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for pair in pairs:
        first, second = sorted((root(pair.a), root(pair.b)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for i in sorted(parent):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _candidates(words: np.ndarray, informative: np.ndarray, starts: np.ndarray) -> list[tuple[int, int, list[int]]]:
    """Return pairs of clips that share a word, each with the shifts that most shared words give."""
    clip = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    at = np.flatnonzero(np.bitwise_count(informative) >= LEAST_BITS)
    keys = words[at].astype(np.uint64) << np.uint64(32) | clip[at].astype(np.uint64)
    _, first = np.unique(keys, return_index=True)  # a word that a clip repeats, as loops do, counts once
    at, word = at[first], words[at[first]]
    packed = []
    for step in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(word[step:] == word[:-step])
        a, b = at[same], at[same + step]  # clips ascend within a word
        shift = (b - starts[clip[b]]) - (a - starts[clip[a]])
        packed.append((clip[a] << 40 | clip[b] << 16 | (shift + MIDDLE)).astype(np.uint64))
    shared, votes = np.unique(np.concatenate(packed), return_counts=True)
    pair = shared >> np.uint64(16)
    order = np.lexsort((-votes, pair))  # the shifts of most words first
    shared, pair = shared[order], pair[order]
    first = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]])[: len(pair)])
    shifts = (shared & np.uint64(0xFFFF)).astype(np.int64) - MIDDLE
    return [
        (int(pair[i]) >> 24, int(pair[i]) & 0xFFFFFF, shifts[i : min(i + SHIFTS, stop)].tolist())
        for i, stop in zip(first, [*first[1:], len(pair)] if len(pair) else [], strict=True)
    ]


def _compared(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], shift: int
) -> tuple[float, int, int, int]:
    """Return the share of bits that differ, bits and sounding frames that were compared, and the shift."""
    start, stop = max(0, -shift), min(len(one[0]), len(other[0]) - shift)
    if stop <= start:
        return 1.0, 0, 0, shift
    both = one[1][start:stop] & other[1][start + shift : stop + shift]
    differ = (one[0][start:stop] ^ other[0][start + shift : stop + shift]) & both
    bits = int(np.bitwise_count(both).sum())
    return int(np.bitwise_count(differ).sum()) / max(bits, 1), bits, int((both != 0).sum()), shift
