"""Products of matrices on the target's device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


def product_on(device: str) -> Product:
    """Return what multiplies two matrices: NumPy on a processor; elsewhere float32 there, the result brought back."""
    if device == "cpu":
        return np.matmul
    return lambda one, other: multiply_on(device, one, other)


def multiply_on(device: str, one: np.ndarray, other: np.ndarray, kind: type[np.floating] = np.float32) -> np.ndarray:
    """Return the product of two matrices, in numbers of a kind, taken on a device that has room for both."""
    import torch

    a, b = (torch.from_numpy(np.ascontiguousarray(x, kind)).to(device) for x in (one, other))
    made: np.ndarray = (a @ b).cpu().numpy()
    return made
