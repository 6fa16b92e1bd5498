"""The highest clips of each neuron, selected by whole numbers: ties go to the lowest clip, on any number of threads.

A float's bits are turned into an integer that sorts alike. Among many clips, a sample of them gives each neuron a bar
that a little more than the highest clips pass; one pass over the rows keeps those alone. A neuron whose bar let too few
or too many pass is selected from all its clips, so that the result is exact always.
"""

from __future__ import annotations

import math

import numpy as np

from and_core.dissect.similarity_kernels import compiled, over_blocks

KEYS_BYTES = 1 << 21  # of the packed activations that are selected from at once
SCREENED_FROM, SCREENED_SHARE = 512, 4  # clips, and clips for each of the highest, from which a bar pays
EVERY = 8  # clip that is in the sample
WIDEST, NARROWEST = 1024, 256  # neurons screened at once: rows are read in long stretches
LOWEST = np.int32(-2147483648)
NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)  # sorts behind every clip


def highest(activations: np.ndarray, k: int, threads: int) -> np.ndarray:
    """Return (R, k) int64 clips with the highest activations (N, R) float32, highest first, ties by the lowest clip.

    Linear in N: value and clip are packed into one integer, so that a selection and a sort of `k` whole numbers do it.
    """
    clips, neurons = activations.shape
    best = np.empty((neurons, k), np.int64)
    bits = activations.view(np.int32)
    if clips < max(SCREENED_FROM, SCREENED_SHARE * k) or k < 1:
        _select(bits, np.arange(neurons), best, threads)
        return best
    rank, room = _bar(k)
    size = min(max(NARROWEST, KEYS_BYTES // (8 * room)), WIDEST, max(64, -(-neurons // threads)))

    def block(start: int, stop: int) -> None:
        sample = np.empty((stop - start, -(-clips // EVERY)), np.int32)
        sample_values(bits, start, EVERY, sample)
        place = sample.shape[1] - rank
        sample.partition(place, axis=1)
        least = sample[:, place].copy()
        keys, count = np.full((stop - start, room), NOTHING), np.zeros(stop - start, np.int64)
        keep_passing(bits, start, least, count, keys)
        best[start:stop] = _first(keys, k)
        again = np.flatnonzero((count < k) | (count > room))
        if len(again):
            best[start + again] = _select(bits, start + again, np.empty((len(again), k), np.int64), 1)

    over_blocks(block, neurons, size, threads)
    return best


def _bar(k: int) -> tuple[int, int]:
    """Return the rank in the sample that the bar has, three deviations below that of the k-th highest clip, and how
    many clips of a neuron are kept at most."""
    share = k / EVERY
    rank = math.ceil(share + 3 * math.sqrt(share) + 1)
    return rank, math.ceil(EVERY * (rank + 3 * math.sqrt(rank)))


def _select(bits: np.ndarray, neurons: np.ndarray, best: np.ndarray, threads: int) -> np.ndarray:
    """Fill best (R, k) from all clips of some neurons, by their keys."""
    clips = len(bits)

    def block(start: int, stop: int) -> None:
        keys = np.empty((stop - start, clips), np.uint64)
        order_keys(bits, neurons[start:stop], keys)
        best[start:stop] = _first(keys, best.shape[1])

    over_blocks(block, len(neurons), max(1, min(64, KEYS_BYTES // (8 * clips))), threads)
    return best


def _first(keys: np.ndarray, k: int) -> np.ndarray:
    """Return the clips of the k least keys of each row; the rows are reordered."""
    if k < keys.shape[1]:
        keys.partition(k - 1, axis=1)
    top = keys[:, :k].copy()
    top.sort(axis=1)
    return (top & np.uint64(0xFFFFFFFF)).astype(np.int64)


@compiled("void(int32[:, ::1], int64[::1], uint64[:, ::1])")
def order_keys(x, neurons, keys):  # type: ignore[no-untyped-def]
    """Fill keys (B, N) that sort as some columns of the floats behind x (N, R) do, descending, then by row."""
    for i in range(x.shape[0]):
        for b in range(keys.shape[0]):
            bits = np.int64(x[i, neurons[b]])
            ascending = bits if bits >= 0 else np.int64(-2147483648) - bits  # -0 is 0
            keys[b, i] = np.uint64(((np.int64(2147483647) - ascending) << 32) | i)


@compiled("void(int32[:, ::1], int64, int64, int32[:, ::1])")
def sample_values(x, start, every, out):  # type: ignore[no-untyped-def]
    """Fill out (B, n) with integers that ascend as the floats behind every so many rows of x do."""
    for n in range(out.shape[1]):
        row = x[n * every, start : start + out.shape[0]]
        for b in range(out.shape[0]):
            bits = row[b]
            out[b, n] = bits if bits >= 0 else LOWEST - bits


@compiled("void(int32[:, ::1], int64, int32[::1], int64[::1], uint64[:, ::1])")
def keep_passing(x, start, least, count, keys):  # type: ignore[no-untyped-def]
    """Add the keys of clips that reach a neuron's bar, as many as there is room for, and count them all."""
    width, room = keys.shape
    value, passes, at = np.empty(width, np.int32), np.empty(width, np.uint8), np.empty(width + 1, np.int32)
    for i in range(x.shape[0]):
        row = x[i, start : start + width]
        for b in range(width):
            bits = row[b]
            ascending = bits if bits >= 0 else LOWEST - bits
            value[b] = ascending
            passes[b] = ascending >= least[b]
        n = 0
        for b in range(width):  # without a branch that nobody can foresee
            at[n] = b
            n += passes[b]
        for j in range(n):
            b = at[j]
            if count[b] < room:
                keys[b, count[b]] = np.uint64(((np.int64(2147483647) - np.int64(value[b])) << 32) | i)
            count[b] += 1
