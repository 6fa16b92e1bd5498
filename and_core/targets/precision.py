"""Mixed precision where it is exact enough, decided by trying it on the first batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from and_core.targets.hooks import Capture

if TYPE_CHECKING:
    from and_core.targets.base import Target

EXACT_ENOUGH = 0.999  # correlation over clips with float32 that all but 1 % of the neurons of every layer must reach
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(precision: str, device: str) -> AbstractContextManager[object]:
    """Return context in which a forward pass runs at a precision."""
    return nullcontext() if precision == "float32" else torch.autocast(device.split(":")[0], DTYPES[precision])


def choose_precision(target: Target, features: Any, wanted: str, device: str) -> str:
    """Return the precision to run at: as configured.

    For ``auto``, float32 on a CPU and float16 on a GPU if the first batch agrees.
    """
    if wanted != "auto":
        return wanted
    if not device.startswith("cuda"):
        return "float32"
    return "float16" if agreement(target, features, "float16", device) >= EXACT_ENOUGH else "float32"


def agreement(target: Target, features: Any, precision: str, device: str) -> float:
    """Return how well activations at `precision` follow those at float32 on one batch: the least layer's first
    percentile over neurons."""
    outputs = []
    with Capture(target.hook_points(), target.pool) as capture:
        for kind in ("float32", precision):
            with autocast(kind, device):
                capture.run(lambda: target.forward(features))
            outputs.append(dict(capture.outputs))
    return min(_ranking_kept(exact, outputs[1][name]) for name, exact in outputs[0].items())


def _ranking_kept(exact: torch.Tensor, other: torch.Tensor) -> float:
    """Return the first percentile, over neurons, of the correlation over clips; -1 where a value is not finite."""
    if not torch.isfinite(other).all():
        return -1.0
    a, b = exact - exact.mean(0), other - other.mean(0)
    norms = a.norm(dim=0) * b.norm(dim=0)
    alive = norms > 0
    if not alive.any():
        return 1.0
    return float(((a * b).sum(0)[alive] / norms[alive]).quantile(0.01))
