"""The five similarity functions of module A (AND section 3, after CLIP-Dissect), vectorised over neurons and concepts.

Each takes activations (N, R) and concept features (N, M), float32 NumPy arrays or tensors on any device, and returns
scores (R, M) of the same kind; larger is better. Neurons given together share the prior of `wpmi` and `soft_wpmi`: give
a layer whole, or in parts to :func:`score_in_parts`. What stands here in tensors runs on a GPU;
on a processor :mod:`and_core.dissect.similarity_cpu` does the same with compiled loops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from and_core.errors import ConfigError

Scores = Callable[..., Any]
TOP_ALONE = ("wpmi", "soft_wpmi")  # these read a neuron's top clips, and nothing of the others
BLOCK = 4_000_000  # elements of the largest temporary of one block
SIMILARITIES: dict[str, Scores] = {}
OF_TENSORS: dict[str, Scores] = {}  # the same without checks, as a GPU runs them


def _similarity(function: Scores) -> Scores:
    """Check shapes, accept NumPy or tensors, return the same kind, and register under the function's name."""

    @functools.wraps(function)
    def checked(activations: Any, features: Any, **options: Any) -> Any:
        if activations.ndim != 2 or features.ndim != 2 or len(activations) != len(features):
            raise ConfigError(
                f"activations {tuple(activations.shape)} and concept features {tuple(features.shape)} must be (N, R) "
                "and (N, M) with the same N"
            )
        given = not isinstance(activations, np.ndarray)
        if given and activations.device.type != "cpu":
            return function(activations.float(), features.to(activations.device).float(), **options)
        t, p = (
            np.ascontiguousarray(x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x, np.float32)
            for x in (activations, features)
        )
        scores = _on_cpu(function, t, p, options)
        return torch.from_numpy(scores) if given else scores

    OF_TENSORS[function.__name__] = function
    SIMILARITIES[function.__name__] = checked
    return checked


def _on_cpu(function: Scores, t: np.ndarray, p: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    from and_core.dissect import similarity_cpu  # compiled: a second to load

    every = {**(function.__kwdefaults__ or {}), **options}
    if function.__name__ == "rank_reorder":
        every["n"] = _top_count(len(t), every.pop("top_fraction"), every["variant"])
    scores: np.ndarray = getattr(similarity_cpu, function.__name__)(t, p, **every)
    return scores


@_similarity
def cos(activations: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return ``T^T P`` with columns of unit norm.

    Examples
    --------
    One neuron that fires on the first of two clips, two concepts:

    >>> import numpy as np
    >>> (100 * cos(np.array([[1.0], [0.0]]), np.array([[0.8, 0.1], [0.6, 0.9]]))).round().astype(int).tolist()
    [[80, 11]]
    """
    return _unit(activations).T @ _unit(features)


@_similarity
def cos_cubed(activations: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return columns centred, cubed elementwise, then as `cos`; norms are floored at 1e-3."""
    return _unit((activations - activations.mean(0)) ** 3, 1e-3).T @ _unit((features - features.mean(0)) ** 3, 1e-3)


@_similarity
def rank_reorder(
    activations: torch.Tensor,
    features: torch.Tensor,
    *,
    top_fraction: float = 0.05,
    p: float = 3.0,
    scale_p: float = 0.5,
    variant: str = "argsort",
) -> torch.Tensor:
    """Return ``-(e / B) / mean(Q)^scale_p`` over the neuron's top clips.

    With t the top ``n = floor(top_fraction N)`` activations, descending, Q the features of those clips and asc = t
    reversed: ``e = mean_i |t_i - asc[j_i]|^p`` with j the ascending argsort of Q[:, m] (``variant='argsort'``, the
    reference) or its ranks (``'rank'``, CLIP-Dissect's text), and ``B = mean_ik |t_i - t_k|^p``, the expectation over
    random orders.

    Raises
    ------
    ConfigError
        Too few clips (n = 0), or an unknown variant.
    """
    clips, neurons = activations.shape
    n = _top_count(clips, top_fraction, variant)
    best = top_clips_on_device(activations, n)
    t = activations.T.gather(1, best)
    base = torch.cat(
        [((row[:, :, None] - row[:, None, :]).abs() ** p).mean((1, 2)) for row in t.split(max(1, BLOCK // n**2))]
    )
    concepts = features.shape[1]
    order = features.T.contiguous()
    dense = torch.stack([torch.unique(row, return_inverse=True)[1] for row in order])  # equal features share a rank
    scores = torch.empty(neurons, concepts, device=activations.device)
    size = max(1, BLOCK // (concepts * n))

    def block(start: int) -> None:
        chosen = best[start : start + size]
        tops = t[start : start + size]
        j = _argsort_small(dense[:, chosen.reshape(-1)].reshape(concepts, len(chosen), n))
        ascending = tops.flip(1)
        if variant == "argsort":
            moved = torch.gather(ascending.expand(concepts, -1, -1), 2, j)
            error = (tops - moved).abs()
        else:
            moved = torch.gather(tops.expand(concepts, -1, -1), 2, j)
            error = (moved - ascending).abs()
        error = (error * error * error if p == 3 else error**p).mean(2).T
        weight = features[chosen].mean(1)
        spread = base[start : start + size, None]
        value = -(error / spread) / weight.clamp_min(0) ** scale_p
        value = torch.where(spread > 0, value, torch.zeros_like(value))
        scores[start : start + size] = torch.where(weight > 0, value, torch.full_like(value, -torch.inf))

    for start in range(0, neurons, size):
        block(start)
    return scores


@_similarity
def wpmi(
    activations: torch.Tensor, features: torch.Tensor, *, top_k: int = 28, a: float = 2.0, lam: float = 0.6
) -> torch.Tensor:
    """Return pointwise mutual information: ``sum over top clips of log softmax_m(a P)`` minus ``lam`` times the log
    prior over neurons."""
    best = top_clips_on_device(activations, min(top_k, len(activations)))
    q = torch.softmax(a * features, 1)
    return _minus_prior(torch.nn.functional.embedding_bag(best, torch.log(q + 1e-7), mode="sum"), lam)


@_similarity
def soft_wpmi(
    activations: torch.Tensor,
    features: torch.Tensor,
    *,
    top_k: int = 100,
    a: float = 10.0,
    lam: float = 1.0,
    p_start: float = 0.998,
    p_end: float = 0.97,
) -> torch.Tensor:
    """Return as `wpmi`, the r-th top clip counting with membership ``p_start - (p_start - p_end) r / top_k``: sum of
    ``log(1 + p_r (Q - 1))``."""
    clips = len(features)
    top_k = min(top_k, clips)
    best = top_clips_on_device(activations, top_k)
    q = torch.softmax(a * features, 1)
    member = p_start - (p_start - p_end) * torch.arange(top_k, device=q.device) / top_k
    rows = best + torch.arange(top_k, device=q.device) * clips  # row of (rank, clip) in the table below
    width = max(1, 250_000_000 // (top_k * clips))
    parts = []
    for columns in q.split(width, 1):
        table = torch.log1p(member[:, None, None] * (columns - 1) + 1e-7).reshape(top_k * clips, -1)
        parts.append(torch.nn.functional.embedding_bag(rows, table, mode="sum"))
    return _minus_prior(torch.cat(parts, 1), lam)


def top_clips(activations: torch.Tensor, k: int) -> torch.Tensor:
    """Return the K clips with the highest activation of each neuron, (R, k), highest first; ties go to the lowest clip
    index.

    Examples
    --------
    >>> top_clips(torch.tensor([[1.0], [3.0], [3.0]]), 2).tolist()
    [[1, 2]]
    """
    if activations.device.type == "cpu":
        from and_core.dissect import top_kernels  # compiled: a second to load

        x = np.ascontiguousarray(activations.detach().numpy(), np.float32)
        return torch.from_numpy(top_kernels.highest(x, min(k, len(x)), torch.get_num_threads()))
    return top_clips_on_device(activations, k)


def top_clips_on_device(activations: torch.Tensor, k: int) -> torch.Tensor:
    """Return what :func:`top_clips` does, in tensors on any device, by blocks of neurons."""
    size = max(1, BLOCK // len(activations))
    parts = []
    for columns in activations.split(size, 1):
        rows = columns.T.contiguous()
        best = rows.topk(min(k + 1, rows.shape[1]), dim=1)
        tied = (best.values[:, 1:] == best.values[:, :-1]).any(1)  # only there does the order need a stable sort
        order = best.indices[:, :k].clone()
        order[tied] = rows[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
        parts.append(order)
    return torch.cat(parts)


def score_in_parts(
    name: str, parts: Iterable[np.ndarray], features: np.ndarray, device: str = "cpu", **options: Any
) -> np.ndarray:
    """Return scores (R, M) of neurons that are given in parts, each (N, R'), so that memory holds one; they share one
    prior all the same.

    On a device other than the processor, each part is scored there, in tensors.
    """
    lam = options.get("lam", (OF_TENSORS[name].__kwdefaults__ or {}).get("lam"))
    given = options if lam is None else {**options, "lam": 0.0}
    if device == "cpu":
        scores = np.concatenate([SIMILARITIES[name](part, features, **given) for part in parts])
    else:
        scores = np.concatenate(list(_on_device(OF_TENSORS[name], parts, features, device, given)))
    if lam is not None:
        from and_core.dissect.similarity_cpu import minus_prior

        minus_prior(scores, lam)
    return scores


def _on_device(
    function: Scores, parts: Iterable[np.ndarray], features: np.ndarray, device: str, options: dict[str, Any]
) -> Iterator[np.ndarray]:
    """Yield scores of each part, made on a device."""
    p = torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(device)
    for part in parts:
        yield function(torch.from_numpy(np.ascontiguousarray(part, np.float32)).to(device), p, **options).cpu().numpy()


def score_as_reference(
    name: str, activations: np.ndarray, features: np.ndarray, clips: np.ndarray | None = None, **options: Any
) -> np.ndarray:
    """Return scores (R, M) as the authors' implementation makes them: one neuron at a time, so that the prior is the
    neuron itself.

    With it `soft_wpmi` is 0 everywhere and `wpmi` has no prior (AND's Table 7 shows the former). For hidden layers that
    implementation looks at a neuron's top clips only: give them as `clips` (R, K); None means all clips, as for the
    last layer.
    """
    rows = []
    for r in range(activations.shape[1]):
        seen = slice(None) if clips is None else clips[r]
        rows.append(SIMILARITIES[name](activations[seen, r : r + 1], features[seen], **options))
    return np.concatenate(rows)


def _top_count(clips: int, top_fraction: float, variant: str) -> int:
    n = int(top_fraction * clips)
    if n < 1:
        raise ConfigError(
            f"rank_reorder needs at least {int(np.ceil(1 / top_fraction))} clips for top_fraction={top_fraction}; "
            f"there are {clips}"
        )
    if variant not in ("argsort", "rank"):
        raise ConfigError(f"variant={variant!r} is not known; allowed: argsort, rank")
    return n


def _unit(x: torch.Tensor, floor: float = 1e-12) -> torch.Tensor:
    return x / x.norm(dim=0).clamp_min(floor)


def _minus_prior(log_p: torch.Tensor, lam: float) -> torch.Tensor:
    prior = torch.logsumexp(log_p, 0) - float(np.log(len(log_p)))
    return log_p - lam * prior


def _argsort_small(ranks: torch.Tensor) -> torch.Tensor:
    """Return stable argsort of short rows of whole numbers: rank and position packed into one integer, so that a plain
    sort does it."""
    n = ranks.shape[-1]
    bits = max(1, int(n - 1).bit_length())
    packed = (ranks << bits) | torch.arange(n, device=ranks.device)
    return packed.sort(dim=-1).values & ((1 << bits) - 1)
