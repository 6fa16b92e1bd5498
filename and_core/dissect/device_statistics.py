"""Statistics of neurons as :mod:`and_core.dissect.statistics` takes them, in tensors on the target's device.

The same values within float32; extreme clips and counts are the same. Give blocks of neurons that fit its memory.
"""

from __future__ import annotations

import numpy as np
import torch

from and_core.config import MAX_K
from and_core.dissect.similarity import top_clips_on_device
from and_core.dissect.statistics import once_a_source, ranked_count


def extreme(u: torch.Tensor, sources: np.ndarray | None = None, k: int = MAX_K) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` highest clips of each neuron, (R, k) int32, and their activations, (R, k) float32, from (N, R)."""
    best = top_clips_on_device(u, ranked_count(len(u), sources, k))
    values = u.T.gather(1, best)
    return once_a_source(best.cpu().numpy().T, values.cpu().numpy().T, sources, k)


def moments(u: torch.Tensor) -> dict[str, np.ndarray]:
    """Return the mean, standard deviation, skewness, excess kurtosis, minimum and maximum of each column, and whether
    it is dead."""
    low, high = u.amin(0), u.amax(0)
    dead = (high - low) <= 1e-6 * u.abs().amax(0).clamp_min(1e-12)
    x = u.double()
    mean = x.mean(0)
    x = x - mean
    second, third, fourth = ((x**power).mean(0) for power in (2, 3, 4))
    known = torch.where(dead | (second == 0), torch.ones_like(second), second)
    skew, kurtosis = third / known**1.5, fourth / known**2 - 3
    made = {
        "mean": mean,
        "std": second.sqrt(),
        "skewness": torch.where(dead, 0.0, skew),
        "kurtosis": torch.where(dead, 0.0, kurtosis),
        "minimum": low.double(),
        "maximum": high.double(),
        "dead": dead,
    }
    return {name: value.cpu().numpy() for name, value in made.items()}


def histograms(u: torch.Tensor, bins: int) -> np.ndarray:
    """Return (R, bins) int32 counts over each neuron's own range."""
    low, high = u.amin(0), u.amax(0)
    width = torch.where(high > low, high - low, torch.ones_like(low))
    index = ((u - low) / width * bins).long().clamp_max(bins - 1)
    flat = index + torch.arange(u.shape[1], device=u.device) * bins
    counts = torch.bincount(flat.reshape(-1), minlength=u.shape[1] * bins)
    return counts.reshape(-1, bins).cpu().numpy().astype(np.int32)


def class_means(u: torch.Tensor, label_mask: np.ndarray) -> np.ndarray:
    """Return (R, classes) float32 mean activation of each class; NaN where no clip has it."""
    member = torch.from_numpy(label_mask.astype(np.float32)).to(u.device)
    count = member.sum(0)
    means: np.ndarray = (u.T @ member / torch.where(count > 0, count, torch.nan)).cpu().numpy()
    return means
