"""The similarity functions that read a neuron's top clips alone, from top clips that are known already."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from and_core.dissect import similarity_kernels as kernels
from and_core.dissect.similarity import OF_TENSORS
from and_core.dissect.similarity_cpu import minus_prior


def score_top(name: str, best: np.ndarray, features: np.ndarray, has_features: np.ndarray) -> np.ndarray:
    """Return scores (R, M) of neurons by their top clips; equal to what the function gives of all activations.

    Parameters
    ----------
    name : str
        ``wpmi`` or ``soft_wpmi``.
    best : (R, K) int
        Top clips of each neuron, highest first, -1 for none; as many as the function reads.
    features : (N, M) float32
        Concept features of every clip that is named.
    has_features : (N,) bool
        Clips without a caption have none; the next highest take their place, and nothing that of the last.
    """
    options: dict[str, Any] = OF_TENSORS[name].__kwdefaults__ or {}
    threads, last = torch.get_num_threads(), len(features)
    there = (best >= 0) & has_features[np.maximum(best, 0)]
    order = np.argsort(~there, axis=1, kind="stable")
    moved = np.take_along_axis(np.where(there, best, last), order, 1)
    top = moved[:, : min(options["top_k"], int(there.sum(1).max(initial=1)))].astype(np.int64)
    q = torch.softmax(options["a"] * torch.from_numpy(features), 1).numpy()
    q = np.concatenate([q, np.ones((1, features.shape[1]), np.float32)])  # what stands for no clip
    top = np.ascontiguousarray(top)
    if name == "wpmi":
        q += np.float32(1e-7)
        return minus_prior(kernels.sums(np.log(q, out=q), top, threads), options["lam"])
    start, end = options["p_start"], options["p_end"]
    member = start - (start - end) * np.arange(top.shape[1]) / top.shape[1]
    return minus_prior(kernels.log_products(q, top, member, threads), options["lam"])
