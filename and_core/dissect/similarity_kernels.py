"""Loops of the similarity functions, compiled by numba: each row of a result is summed by one thread in one order.

Threads take blocks of rows (:func:`over_blocks`), so results are the same on any number of them. Kernels release the
interpreter and have one signature each, so that processes which fill numba's cache at once write the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

WIDTH = 512  # concepts of which sums stay in the first-level cache
GROUP = 32  # factors of one product: each is at least 1e-7, so that 1e-224 is the least
SORTED_BYTES = 1 << 20  # of the ranks that are sorted at once, so that they stay in the second-level cache
COLUMNS, SMALL = 256, 1 << 20  # neurons a thread, and elements below which one thread does it sooner


def compiled(*signatures: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function now, or load it from numba's cache; where no folder for it can be written, it is compiled in
    each process."""

    def make(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
        try:
            return numba.njit(list(signatures), cache=True, **options)(function)
        except (RuntimeError, OSError):  # no place that numba knows is writable, or the disk is full
            return numba.njit(list(signatures), **options)(function)

    return make


def over_blocks(work: Callable[[int, int], None], count: int, size: int, threads: int) -> None:
    """Call ``work(start, stop)`` for blocks of `size` rows, several threads at once."""
    starts = range(0, count, size)
    if threads < 2 or len(starts) < 2:
        for start in starts:
            work(start, min(start + size, count))
        return
    with ThreadPoolExecutor(min(threads, len(starts))) as pool:
        list(pool.map(lambda start: work(start, min(start + size, count)), starts))


def sums(table: np.ndarray, best: np.ndarray, threads: int) -> np.ndarray:
    """Return (R, M) float32 sum of the rows `best` (R, K) of a table (N, M)."""
    out = np.empty((len(best), table.shape[1]), np.float32)
    over_blocks(lambda a, b: sum_rows(table, best[a:b], out[a:b]), len(best), 64, threads)
    return out


def log_products(q: np.ndarray, best: np.ndarray, member: np.ndarray, threads: int) -> np.ndarray:
    """Return (R, M) float32 sum over r of ``log(1 + member_r (q - 1) + 1e-7)`` at the clips `best` (R, K).

    Factors are multiplied in groups of :data:`GROUP`, so that one logarithm serves a group.
    """
    out = np.empty((len(best), q.shape[1]), np.float32)
    slope, rest = member.astype(np.float32), (1 - member + 1e-7).astype(np.float32)
    groups = -(-best.shape[1] // GROUP)

    def block(start: int, stop: int) -> None:
        products = np.empty((stop - start, groups, q.shape[1]))
        multiply_rows(q, best[start:stop], slope, rest, products)
        np.log(products, out=products)
        out[start:stop] = products.sum(1)

    over_blocks(block, len(best), max(1, SORTED_BYTES // (8 * groups * q.shape[1])), threads)
    return out


def log_mean_exp(x: np.ndarray) -> np.ndarray:
    """Return (M,) float32 log of the mean over rows of ``exp(x)``."""
    most = x.max(0)
    total = np.zeros(x.shape[1])
    terms = np.empty((min(len(x), 64), x.shape[1]), np.float32)
    for start in range(0, len(x), 64):
        rows = terms[: min(64, len(x) - start)]
        np.subtract(x[start : start + 64], most, out=rows)
        np.exp(rows, out=rows)
        add_rows(rows, total)
    return (most + np.log(total / len(x))).astype(np.float32)


def rank_errors(
    features: np.ndarray, best: np.ndarray, tops: np.ndarray, p: float, by_rank: bool, threads: int
) -> np.ndarray:
    """Return (R, M) float32 ``mean_i |t_i - asc[j_i]|^p`` of `rank_reorder`.

    Parameters
    ----------
    features : (N, M) float32
    best : (R, n) int64
        Top clips of each neuron.
    tops : (R, n) float32
        Their activations, descending.
    by_rank : bool
        j is the rank of the feature, not the argsort.
    """
    (neurons, n), concepts = best.shape, features.shape[1]
    dense = dense_ranks(features, threads)
    bits = max(1, int(n - 1).bit_length())
    kind = np.uint32 if (len(features) << bits) <= 1 << 32 else np.uint64
    out = np.empty((neurons, concepts), np.float32)
    rows = max(1, min(neurons, 64, SORTED_BYTES // (np.dtype(kind).itemsize * n)))
    columns = max(1, SORTED_BYTES // (np.dtype(kind).itemsize * n * rows))
    across = -(-concepts // columns)

    def block(number: int, _: int) -> None:
        r, m = number // across * rows, number % across * columns
        mine, ranks = best[r : r + rows], dense[m : m + columns]
        keys = np.empty((len(ranks), len(mine), n), kind)
        gather_ranks(ranks, mine, bits, keys)
        keys.sort(axis=2)  # NumPy sorts integers with vector instructions
        misfit(keys, (1 << bits) - 1, tops[r : r + rows], p, by_rank, out[r : r + rows, m : m + columns])

    over_blocks(block, -(-neurons // rows) * across, 1, threads)
    return out


def dense_ranks(features: np.ndarray, threads: int) -> np.ndarray:
    """Return (M, N) uint32 rank of each clip under each concept; equal features share a rank."""
    clips, concepts = features.shape
    dense = np.empty((concepts, clips), np.uint32)

    def block(start: int, stop: int) -> None:
        columns = np.ascontiguousarray(features[:, start:stop].T)
        for m, column in enumerate(columns, start):
            order = np.argsort(column)
            value = column[order]
            rank = np.zeros(clips, np.uint32)
            np.cumsum(value[1:] != value[:-1], out=rank[1:])
            dense[m, order] = rank

    over_blocks(block, concepts, 64, threads)
    return dense


def spreads(tops: np.ndarray, p: float, threads: int) -> np.ndarray:
    """Return (R,) float32 ``mean_ik |t_i - t_k|^p`` of values in descending order (R, n)."""
    out = np.empty(len(tops), np.float32)
    over_blocks(lambda a, b: pair_means(tops[a:b], p, out[a:b]), len(tops), 64, threads)
    return out


def add_products(columns: np.ndarray, others: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Add to out (R, C) the product of each row of columns (R, n) with the rows `others` (R, C) names."""
    over_blocks(lambda a, b: add_row_products(columns, a, b, others, out), len(columns), 256, threads)


def squares(x: np.ndarray, threads: int) -> np.ndarray:
    """Return (R,) float64 sum of squares of each column of (N, R)."""
    total = np.empty(x.shape[1])
    size = COLUMNS if x.size > SMALL else max(1, x.shape[1])
    over_blocks(lambda a, b: square_columns(x, a, b, total), x.shape[1], size, threads)
    return total


def cubes(x: np.ndarray, start: int, out: np.ndarray, threads: int) -> np.ndarray:
    """Fill out (N, B) float32 with cubes of centred columns from `start` on; (B,) float64 sums of their squares."""
    stop = start + out.shape[1]
    total = np.empty(out.shape[1])
    size = COLUMNS if out.size > SMALL else max(1, stop - start)
    over_blocks(lambda a, b: cube_columns(x, start, a, b, out, total), stop - start, size, threads)
    return total


@compiled("void(float32[:, ::1], int64[:, ::1], float32[:, ::1])")
def sum_rows(table, best, out):  # type: ignore[no-untyped-def]
    """Fill out (B, M) with the sum of rows best (B, K) of a table (N, M)."""
    total = np.empty(WIDTH)
    for r in range(best.shape[0]):
        for start in range(0, table.shape[1], WIDTH):
            width = min(WIDTH, table.shape[1] - start)
            total[:width] = 0
            k, count = 0, best.shape[1]
            while k + 4 <= count:  # four rows at a time: sums are read and written once for them
                a, b = table[best[r, k], start : start + width], table[best[r, k + 1], start : start + width]
                c, d = table[best[r, k + 2], start : start + width], table[best[r, k + 3], start : start + width]
                for m in range(width):
                    total[m] += (np.float64(a[m]) + b[m]) + (np.float64(c[m]) + d[m])
                k += 4
            while k < count:
                row = table[best[r, k], start : start + width]
                for m in range(width):
                    total[m] += row[m]
                k += 1
            for m in range(width):
                out[r, start + m] = total[m]


@compiled("void(float32[:, ::1], int64[:, ::1], float32[::1], float32[::1], float64[:, :, ::1])")
def multiply_rows(q, best, slope, rest, products):  # type: ignore[no-untyped-def]
    """Fill products (B, G, M) of ``rest_k + slope_k q`` over groups of clips best (B, K)."""
    count = best.shape[1]
    for r in range(best.shape[0]):
        for start in range(0, q.shape[1], WIDTH):
            width = min(WIDTH, q.shape[1] - start)
            for g in range(products.shape[1]):
                product = products[r, g, start : start + width]
                product[:] = 1
                k, stop = g * GROUP, min(count, (g + 1) * GROUP)
                while k + 4 <= stop:
                    a, b = q[best[r, k], start : start + width], q[best[r, k + 1], start : start + width]
                    c, d = q[best[r, k + 2], start : start + width], q[best[r, k + 3], start : start + width]
                    s0, s1, s2, s3 = slope[k], slope[k + 1], slope[k + 2], slope[k + 3]
                    t0, t1, t2, t3 = rest[k], rest[k + 1], rest[k + 2], rest[k + 3]
                    for m in range(width):
                        product[m] *= ((t0 + s0 * a[m]) * (t1 + s1 * b[m])) * ((t2 + s2 * c[m]) * (t3 + s3 * d[m]))
                    k += 4
                while k < stop:
                    a = q[best[r, k], start : start + width]
                    for m in range(width):
                        product[m] *= rest[k] + slope[k] * a[m]
                    k += 1


@compiled(
    "void(uint32[:, ::1], int64[:, ::1], int64, uint32[:, :, ::1])",
    "void(uint32[:, ::1], int64[:, ::1], int64, uint64[:, :, ::1])",
)
def gather_ranks(dense, best, bits, keys):  # type: ignore[no-untyped-def]
    """Fill keys (M, B, n): rank of each top clip, then its place, in one integer."""
    for m in range(dense.shape[0]):
        row = dense[m]
        for r in range(best.shape[0]):
            chosen, out = best[r], keys[m, r]
            for i in range(best.shape[1]):
                out[i] = (np.uint64(row[chosen[i]]) << np.uint64(bits)) | np.uint64(i)


@compiled(
    "void(uint32[:, :, ::1], int64, float32[:, ::1], float64, boolean, float32[:, :])",
    "void(uint64[:, :, ::1], int64, float32[:, ::1], float64, boolean, float32[:, :])",
)
def misfit(keys, mask, tops, p, by_rank, out):  # type: ignore[no-untyped-def]
    """Fill out (B, M) with the mean power of what lies between top activations and those that the order gives."""
    n = tops.shape[1]
    for m in range(keys.shape[0]):
        for r in range(keys.shape[1]):
            key, t, total = keys[m, r], tops[r], 0.0
            if p == 3.0 and not by_rank:
                for i in range(n):
                    d = abs(t[i] - t[n - 1 - np.int64(key[i] & mask)])
                    total += d * d * d
            else:
                for i in range(n):
                    j = np.int64(key[i] & mask)
                    d = abs(t[j] - t[n - 1 - i]) if by_rank else abs(t[i] - t[n - 1 - j])
                    total += d * d * d if p == 3.0 else d**p
            out[r, m] = total / n


@compiled("void(float32[:, ::1], float64, float32[::1])")
def pair_means(tops, p, out):  # type: ignore[no-untyped-def]
    """Fill out (B,) with the mean over all pairs of |difference|^p of each row, which descends."""
    n = tops.shape[1]
    for r in range(tops.shape[0]):
        t, total = tops[r], 0.0
        for i in range(n):
            one, part = t[i], np.float32(0)
            for k in range(i + 1, n):
                d = one - t[k]
                part += d * d * d if p == 3.0 else np.float32(d**p)
            total += part
        out[r] = 2 * total / (n * n)


@compiled("void(float32[:, ::1], int64, int64, float64[::1])")
def square_columns(x, start, stop, squares):  # type: ignore[no-untyped-def]
    """Fill some of `squares` (R,) with the sum of squares of each column of x (N, R)."""
    total = np.zeros(stop - start)
    even = x.shape[0] - x.shape[0] % 2
    for i in range(0, even, 2):
        a, b = x[i, start:stop], x[i + 1, start:stop]
        for r in range(stop - start):
            total[r] += np.float64(a[r]) * a[r] + np.float64(b[r]) * b[r]
    for i in range(even, x.shape[0]):
        a = x[i, start:stop]
        for r in range(stop - start):
            total[r] += np.float64(a[r]) * a[r]
    squares[start:stop] = total


@compiled("void(float32[:, ::1], int64, int64, int64, float32[:, ::1], float64[::1])")
def cube_columns(x, first, start, stop, out, squares):  # type: ignore[no-untyped-def]
    """Fill columns of out (N, B) with the cubes of centred ones of x, from `first` on, and `squares` (B,) with sums."""
    mean = np.zeros(stop - start)
    total = np.zeros(stop - start)
    count, left, right = x.shape[0], first + start, first + stop
    whole = count - count % 4
    for i in range(0, whole, 4):  # four rows at a time: sums are read and written once for them
        a, b, c, d = x[i, left:right], x[i + 1, left:right], x[i + 2, left:right], x[i + 3, left:right]
        for r in range(stop - start):
            mean[r] += (np.float64(a[r]) + b[r]) + (np.float64(c[r]) + d[r])
    for i in range(whole, count):
        a = x[i, left:right]
        for r in range(stop - start):
            mean[r] += a[r]
    centre = (mean / count).astype(np.float32)
    even = count - count % 2
    for i in range(0, even, 2):
        a, b, a3, b3 = x[i, left:right], x[i + 1, left:right], out[i, start:stop], out[i + 1, start:stop]
        for r in range(stop - start):
            p, q = a[r] - centre[r], b[r] - centre[r]
            p, q = p * p * p, q * q * q
            a3[r], b3[r] = p, q
            total[r] += np.float64(p) * p + np.float64(q) * q
    for i in range(even, count):
        a, a3 = x[i, left:right], out[i, start:stop]
        for r in range(stop - start):
            p = a[r] - centre[r]
            p = p * p * p
            a3[r] = p
            total[r] += np.float64(p) * p
    squares[start:stop] = total


@compiled("void(float32[:, ::1], float64[::1])")
def add_rows(x, total):  # type: ignore[no-untyped-def]
    """Add the rows of x (B, M) to total (M,)."""
    for i in range(x.shape[0]):
        for m in range(x.shape[1]):
            total[m] += x[i, m]


@compiled("void(float32[:, ::1], float32[::1], float32[::1])")
def scale(x, rows, columns):  # type: ignore[no-untyped-def]
    """Multiply x (R, M) by a number for each row and one for each column."""
    for r in range(x.shape[0]):
        for m in range(x.shape[1]):
            x[r, m] *= rows[r] * columns[m]


@compiled("void(float32[:, ::1], int64, int64, int64[:, ::1], float64[:, ::1])")
def add_row_products(columns, start, stop, others, out):  # type: ignore[no-untyped-def]
    """Add to rows of out (R, C) products of rows of columns (R, n)."""
    for r in range(start, stop):
        one = columns[r]
        for c in range(others.shape[1]):
            other, total = columns[others[r, c]], np.float32(0)
            for i in range(columns.shape[1]):
                total += one[i] * other[i]
            out[r, c] += total
