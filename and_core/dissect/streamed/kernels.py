"""Loops over a block of activations, compiled by numba; neurons are taken in tiles, so that sums stay in the cache."""

from __future__ import annotations

import numpy as np

from and_core.dissect.similarity_kernels import compiled

TILE = 1024  # neurons
ROWS = "float32[:, ::1], int64[:, ::1], int64[:, ::1]"  # keys, clips, sources


@compiled("void(float32[::1], int64[::1], int64[::1], float32, int64, int64)")
def insert(keys, clips, sources, key, clip, source):  # type: ignore[no-untyped-def]
    """Insert a clip into a row (K,) in the order of key, descending, then of clip; the last falls out.

    A source that is 0 or more counts once, by its best clip.
    """
    last = len(keys) - 1
    if source >= 0:
        for j in range(len(keys)):
            if sources[j] == source and clips[j] >= 0:
                if key < keys[j] or (key == keys[j] and clip > clips[j]):
                    return
                last = j
                break
    if key < keys[last] or (key == keys[last] and clips[last] >= 0 and clip > clips[last]):
        return
    j = last
    while j > 0 and (clips[j - 1] < 0 or key > keys[j - 1] or (key == keys[j - 1] and clip < clips[j - 1])):
        keys[j], clips[j], sources[j] = keys[j - 1], clips[j - 1], sources[j - 1]
        j -= 1
    keys[j], clips[j], sources[j] = key, clip, source


@compiled(f"void(float32[:, ::1], int64[::1], int64[::1], float32, int64, int64, {ROWS})")
def take_in(u, clips, sources, sign, start, stop, keys, into_clips, into_sources):  # type: ignore[no-untyped-def]
    """Take a block (n, R) into the rows (R, K) of some neurons, each with the key ``sign * u``."""
    worst = keys[start:stop, -1].copy()
    for i in range(u.shape[0]):
        for r in range(start, stop):
            key = sign * u[i, r]
            if key >= worst[r - start]:
                insert(keys[r], into_clips[r], into_sources[r], key, clips[i], sources[i])
                worst[r - start] = keys[r, -1]


@compiled(
    "void(float32[:, ::1], int64[:, ::1], int64[:, ::1], int64, int64, float32[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def take_in_rows(keys, clips, sources, start, stop, into, into_clips, into_sources):  # type: ignore[no-untyped-def]
    """Take rows (R, K) of some neurons into others."""
    for r in range(start, stop):
        for k in range(keys.shape[1]):
            if clips[r, k] >= 0:
                insert(into[r], into_clips[r], into_sources[r], keys[r, k], clips[r, k], sources[r, k])


@compiled("void(float32[:, ::1], int64, int64, float64[:, ::1], float32[::1], float32[::1])")
def central_sums(u, start, stop, out, low, high):  # type: ignore[no-untyped-def]
    """Fill columns of out (4, R) with the mean and the sums of the second to fourth power of what differs from it, and
    take in the least and the greatest."""
    n, width = u.shape[0], stop - start
    total = np.zeros((4, width))
    for i in range(n):
        for r in range(width):
            x = u[i, start + r]
            total[0, r] += x
            low[start + r] = min(low[start + r], x)
            high[start + r] = max(high[start + r], x)
    for r in range(width):
        total[0, r] /= n
    for i in range(n):
        for r in range(width):
            d = u[i, start + r] - total[0, r]
            total[1, r] += d * d
            total[2, r] += d * d * d
            total[3, r] += d * d * d * d
    out[:, start:stop] = total


@compiled("void(float32[:, ::1], int64, int64, float32[::1], float32[::1], int64[:, ::1])")
def count_bins(u, start, stop, low, high, counts):  # type: ignore[no-untyped-def]
    """Add a block to counts (R, bins + 2) of some neurons: below, bins of equal width from low to high, above."""
    bins = counts.shape[1] - 2
    for i in range(u.shape[0]):
        for r in range(start, stop):
            x = u[i, r]
            if x < low[r]:
                counts[r, 0] += 1
            elif x > high[r]:
                counts[r, bins + 1] += 1
            else:
                width = high[r] - low[r]
                place = np.int64((x - low[r]) / width * bins) if width > 0 else 0
                counts[r, 1 + min(place, bins - 1)] += 1


@compiled("void(float32[:, ::1], int64[::1], int64[::1], int64, int64, float64[:, ::1])")
def add_classes(u, rows, classes, start, stop, sums):  # type: ignore[no-untyped-def]
    """Add some neurons of rows of a block to sums (C, R), in the order of pairs of a row and a class."""
    for i in range(rows.shape[0]):
        for r in range(start, stop):
            sums[classes[i], r] += u[rows[i], r]
