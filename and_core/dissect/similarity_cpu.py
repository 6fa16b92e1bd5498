"""The similarity functions on a processor: what :mod:`and_core.dissect.similarity` says of each, with compiled loops.

Beside the inputs and the result, memory holds at most as much again. All take float32 arrays whose rows are contiguous.
"""

from __future__ import annotations

import numpy as np
import torch

from and_core.dissect import similarity_kernels as kernels
from and_core.dissect.top_kernels import highest

ROWS, CUBED = 64, 256  # neurons finished, and cubed, at once: what is cubed stays in the second-level cache


def cos(activations: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Multiply, then divide by the norms."""
    threads = torch.get_num_threads()
    scores = np.empty((activations.shape[1], features.shape[1]), np.float32)
    squares, others = kernels.squares(activations, threads), kernels.squares(features, threads)
    _by_norms(activations, features, squares, others, 1e-12, scores)
    return scores


def cos_cubed(activations: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Multiply cubes of centred columns, then divide by their norms."""
    threads = torch.get_num_threads()
    p = np.empty_like(features)
    p_squares = kernels.cubes(features, 0, p, threads)
    scores = np.empty((activations.shape[1], features.shape[1]), np.float32)
    cubed = np.empty((len(activations), min(CUBED, len(scores))), np.float32)
    for start in range(0, len(scores), CUBED):
        rows = scores[start : start + CUBED]
        t = cubed if len(rows) == cubed.shape[1] else np.empty((len(activations), len(rows)), np.float32)
        t_squares = kernels.cubes(activations, start, t, threads)
        _by_norms(t, p, t_squares, p_squares, 1e-3, rows)
    return scores


def rank_reorder(
    activations: np.ndarray, features: np.ndarray, n: int, p: float, scale_p: float, variant: str
) -> np.ndarray:
    """Sort the features of the top `n` clips by rank and place packed into one integer."""
    threads = torch.get_num_threads()
    best = highest(activations, n, threads)
    tops = np.take_along_axis(activations.T, best, 1)
    spread = kernels.spreads(tops, p, threads)[:, None]
    scores = kernels.rank_errors(features, best, tops, p, variant == "rank", threads)

    def finish(start: int, stop: int) -> None:
        weight = kernels.sums(features, best[start:stop], 1) / n
        rows, base = scores[start:stop], spread[start:stop]
        with np.errstate(divide="ignore", invalid="ignore"):
            rows /= -base
            rows /= np.maximum(weight, 0) ** scale_p
        rows[~(base[:, 0] > 0)] = 0
        rows[~(weight > 0)] = -np.inf

    kernels.over_blocks(finish, len(scores), ROWS, threads)
    return scores


def wpmi(activations: np.ndarray, features: np.ndarray, top_k: int, a: float, lam: float) -> np.ndarray:
    """Sum the rows of one table of logarithms."""
    threads = torch.get_num_threads()
    best = highest(activations, min(top_k, len(activations)), threads)
    table = _softmax(features, a)
    table += np.float32(1e-7)
    return minus_prior(kernels.sums(np.log(table, out=table), best, threads), lam)


def soft_wpmi(
    activations: np.ndarray, features: np.ndarray, top_k: int, a: float, lam: float, p_start: float, p_end: float
) -> np.ndarray:
    """Multiply what is summed as logarithms, many factors for each."""
    threads, top_k = torch.get_num_threads(), min(top_k, len(features))
    best = highest(activations, top_k, threads)
    member = p_start - (p_start - p_end) * np.arange(top_k) / top_k
    return minus_prior(kernels.log_products(_softmax(features, a), best, member, threads), lam)


def _by_norms(
    t: np.ndarray, p: np.ndarray, t_squares: np.ndarray, p_squares: np.ndarray, floor: float, out: np.ndarray
) -> None:
    torch.mm(torch.from_numpy(t).T, torch.from_numpy(p), out=torch.from_numpy(out))
    inverse_t, inverse_p = ((1 / np.maximum(np.sqrt(x), floor)).astype(np.float32) for x in (t_squares, p_squares))
    kernels.scale(out, inverse_t, inverse_p)


def _softmax(features: np.ndarray, scale: float) -> np.ndarray:
    made: np.ndarray = torch.softmax(scale * torch.from_numpy(features), 1).numpy()
    return made


def minus_prior(log_p: np.ndarray, lam: float) -> np.ndarray:
    """Subtract `lam` times the log of the mean over neurons of ``exp(log_p)`` (R, M), in place."""
    log_p -= np.float32(lam) * kernels.log_mean_exp(log_p)
    return log_p
