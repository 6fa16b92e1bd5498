"""How faithful what is heard is to what the network does: the metrics of L2I and of the field, from probabilities and
masks.

Notation, one softmax throughout: p is the probability of the predicted class c on the clip, o on what is kept, q on
what is left.
"""

from __future__ import annotations

import numpy as np

FLOOR = 1e-12
RESYNTHESIS = 1e-4  # of probability: what a round trip through the STFT alone may change


def average_increase(p: np.ndarray, o: np.ndarray) -> float:
    """Return AI, the percentage of clips whose class is more probable on what is kept. A gain within resynthesis error
    is none.

    Examples
    --------
    The class becomes more probable on one of two clips:

    >>> average_increase(np.array([0.5, 0.9]), np.array([0.7, 0.6]))
    50.0
    """
    return float(100 * np.mean(o > p + RESYNTHESIS))


def average_drop(p: np.ndarray, o: np.ndarray) -> float:
    """Return AD, the mean loss of probability on what is kept, in percent of p."""
    return float(100 * np.mean(np.maximum(0, p - o) / np.maximum(p, FLOOR)))


def average_gain(p: np.ndarray, o: np.ndarray) -> float:
    """Return AG, the mean gain of probability on what is kept, in percent of what there was to gain."""
    room = 1 - p
    return float(100 * np.mean(np.where(room > 1e-6, np.maximum(0, o - p) / np.maximum(room, 1e-6), 0.0)))


def faithfulness(p: np.ndarray, q: np.ndarray) -> float:
    """Return FF, the mean loss of probability when what is kept is taken out."""
    return float(np.mean(p - q))


def input_fidelity(kept: np.ndarray, predicted: np.ndarray) -> float:
    """Return Fid-In, the share of clips whose predicted class is still the first on what is kept; `kept` (N, C)."""
    return float(np.mean(kept.argmax(1) == predicted))


def sparseness(mask: np.ndarray) -> float:
    """Return SPS, the Gini index of |mask|, 0 where all cells weigh alike, near 1 where one carries all.

    Examples
    --------
    >>> sparseness(np.ones(4)), sparseness(np.array([0.0, 0.0, 0.0, 1.0]))
    (0.0, 0.75)
    """
    a = np.sort(np.abs(mask).ravel().astype(np.float64))
    total = a.sum()
    if total == 0:
        return 0.0
    n = len(a)
    return float((2 * np.arange(1, n + 1) - n - 1) @ a / (n * total))


def complexity(mask: np.ndarray) -> tuple[float, float]:
    """Return COMP, the entropy of |mask| / sum |mask| in nats, and as a share of the largest there can be (ln n)."""
    a = np.abs(mask).ravel().astype(np.float64)
    total = a.sum()
    if total == 0 or a.size < 2:
        return 0.0, 0.0
    a = a[a > 0] / total
    entropy = float(-(a * np.log(a)).sum())
    return entropy, entropy / float(np.log(mask.size))


def fidelity(f: np.ndarray, g: np.ndarray, k: int) -> float:
    """Return top-k fidelity: percentage of clips whose first class by f is among the first k by g.

    Both (N, C) logits.
    """
    first = f.argmax(1)
    return float(100 * np.mean((np.argsort(-g, axis=1, kind="stable")[:, :k] == first[:, None]).any(1)))


def si_sdr(estimate: np.ndarray, wanted: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019) of two waveforms (samples,)."""
    estimate, wanted = estimate.astype(np.float64) - estimate.mean(), wanted.astype(np.float64) - wanted.mean()
    scale = (estimate @ wanted) / max(wanted @ wanted, FLOOR)
    aim = scale * wanted
    return float(10 * np.log10(max(aim @ aim, FLOOR) / max(((estimate - aim) ** 2).sum(), FLOOR)))


def multi_label(decided: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return agreement with decisions that may be several a clip: AUPRC over classes (macro) and over all (micro), and
    the best F1.

    Parameters
    ----------
    decided : (N, C) bool
        What f decides.
    scores : (N, C)
        g's probabilities.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    shown = decided.any(0)
    precision, recall, _ = precision_recall_curve(decided.ravel(), scores.ravel())
    return {
        "auprc_macro": float(average_precision_score(decided[:, shown], scores[:, shown], average="macro"))
        if shown.any()
        else float("nan"),
        "auprc_micro": float(average_precision_score(decided.ravel(), scores.ravel())) if shown.any() else float("nan"),
        "max_f1": float(np.max(2 * precision * recall / np.maximum(precision + recall, FLOOR))),
    }
