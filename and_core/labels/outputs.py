"""What a network's outputs say of its classes: one of them, or several at once."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax


def probabilities(logits: np.ndarray, multi_label: bool = False) -> np.ndarray:
    """Return probabilities of the classes (..., C) in float64: softmax over them, or, where a clip may have several,
    the sigmoid of each.

    Examples
    --------
    >>> probabilities(np.array([0.0, 0.0])).tolist(), probabilities(np.array([0.0, 0.0]), multi_label=True).tolist()
    ([0.5, 0.5], [0.5, 0.5])
    """
    values = np.asarray(logits).astype(np.float64)
    return expit(values) if multi_label else softmax(values, axis=-1)


def accuracy_name(multi_label: bool) -> str:
    """Return what is measured on labelled clips: accuracy, or mean average precision where a clip may have several
    classes."""
    return "mean average precision" if multi_label else "accuracy"
