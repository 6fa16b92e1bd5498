"""Mixed precision where it is exact enough, decided by trying it on the first batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch

from and_core.targets.capture import Capture

if TYPE_CHECKING:
    from and_core.targets.base import Target

EXACT_ENOUGH = 0.999  # least correlation, over clips and neurons of any layer, with float32
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(precision: str, device: str) -> AbstractContextManager[object]:
    """Context in which a forward pass runs at a precision."""
    return nullcontext() if precision == "float32" else torch.autocast(device.split(":")[0], DTYPES[precision])


def choose_precision(target: Target, features: torch.Tensor, wanted: str, device: str) -> str:
    """The precision to run at: as configured; for ``auto``, float32 on a CPU and float16 on a GPU if the first batch agrees."""
    if wanted != "auto":
        return wanted
    if not device.startswith("cuda"):
        return "float32"
    return "float16" if agreement(target, features, "float16", device) >= EXACT_ENOUGH else "float32"


def agreement(target: Target, features: torch.Tensor, precision: str, device: str) -> float:
    """Least correlation over layers between activations at `precision` and at float32, on one batch."""
    outputs = []
    with Capture(target.modules(), target.pool) as capture:
        for kind in ("float32", precision):
            with autocast(kind, device):
                capture.run(lambda: target.forward(features))
            outputs.append(dict(capture.outputs))
    found = []
    for name, exact in outputs[0].items():
        pair = torch.stack([exact.flatten(), outputs[1][name].flatten()])
        found.append(float(torch.corrcoef(pair)[0, 1]) if torch.isfinite(pair).all() else -1.0)
    return min(found)
