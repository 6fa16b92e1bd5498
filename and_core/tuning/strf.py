"""Spectro-temporal receptive fields: ridge regression of a neuron's activation on the spectrogram before it.

Sums over clips are all that is kept, so memory does not grow with time: of every fold the products of the spectrogram
with itself and with the activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

BANDS = 25
LAG = 0.3  # seconds
FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # of the mean of the eigenvalues
FLOOR = 1e-6  # of power, under the logarithm
WINDOW = 0.032  # seconds
SURE = 0.95


@lru_cache(maxsize=4)
def mel_bank(rate: int, low: float = 50.0) -> np.ndarray:
    """Return (BANDS, bins) triangles, evenly spaced on the mel scale, of sum 1 each."""
    import librosa

    count = int(2 ** np.ceil(np.log2(WINDOW * rate)))
    bank: np.ndarray = librosa.filters.mel(sr=rate, n_fft=count, n_mels=BANDS, fmin=low, fmax=rate / 2)
    return bank / np.maximum(bank.sum(1, keepdims=True), 1e-12)


def band_centres(rate: int) -> np.ndarray:
    """Return (BANDS,) Hz at which each band peaks."""
    bank = mel_bank(rate)
    made: np.ndarray = bank.argmax(1) * rate / (2 * (bank.shape[1] - 1))
    return made


def log_mel(wave: np.ndarray, rate: int, edges: np.ndarray) -> np.ndarray:
    """Return (columns, BANDS) log mel power of a waveform, averaged within edges in seconds."""
    count = 2 * (mel_bank(rate).shape[1] - 1)
    hop = max(1, count // 4)
    padded = np.pad(wave, (count // 2, count // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, count)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(count), axis=1)) ** 2 / count
    bands = np.log(power @ mel_bank(rate).T + FLOOR)
    centres = np.arange(len(bands)) * hop / rate
    made = np.empty((len(edges) - 1, BANDS))
    for i in range(len(made)):
        inside = (centres >= edges[i]) & (centres < edges[i + 1])
        nearest = int(np.argmin(np.abs(centres - (edges[i] + edges[i + 1]) / 2)))
        made[i] = bands[inside].mean(0) if inside.any() else bands[nearest]
    return made


def lagged(bands: np.ndarray, lags: int) -> np.ndarray:
    """Return (T, lags x BANDS) the spectrogram at each time and before it; what lies before the beginning is that of
    the beginning.

    Examples
    --------
    >>> lagged(np.array([[1.0], [2.0], [3.0]]), 2).tolist()
    [[1.0, 1.0], [2.0, 1.0], [3.0, 2.0]]
    """
    rows = np.arange(len(bands))
    return np.concatenate([bands[np.maximum(rows - lag, 0)] for lag in range(lags)], 1)


class Sums:
    """Sums over clips, by fold, from which ridge regressions are solved.

    Parameters
    ----------
    features : int
        D, columns of the spectrogram with its lags.
    neurons : int
        R.
    """

    def __init__(self, features: int, neurons: int) -> None:
        self.count = np.zeros(FOLDS)
        self.x, self.y = np.zeros((FOLDS, features)), np.zeros((FOLDS, neurons))
        self.xx, self.yy = np.zeros((FOLDS, features, features)), np.zeros((FOLDS, neurons))
        self.xy = np.zeros((FOLDS, features, neurons), np.float32)

    def add(self, clip: int, x: np.ndarray, y: np.ndarray) -> None:
        """Take in a clip: spectrogram (T, D) and activations (T, R)."""
        fold = clip % FOLDS
        y64 = y.astype(np.float64)
        self.count[fold] += len(x)
        self.x[fold] += x.sum(0)
        self.y[fold] += y64.sum(0)
        self.xx[fold] += x.T @ x
        self.yy[fold] += np.einsum("tr,tr->r", y64, y64)
        self.xy[fold] += (x.astype(np.float32).T @ y.astype(np.float32)).astype(np.float32)


@dataclass(frozen=True)
class Fields:
    """Receptive fields.

    Attributes
    ----------
    weights : (R, D) float32
        In standard deviations of the neuron for one of the spectrogram's band.
    r2, low : (R,) float
        Share of the activation's variance on clips that were not fitted, and the lower end of its interval over folds.
    penalty : (R,) float
    """

    weights: np.ndarray
    r2: np.ndarray
    low: np.ndarray
    penalty: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """(R,) bool: fields that foretell anything, by their interval."""
        made: np.ndarray = self.low > 0
        return made


def solve(sums: Sums, units: slice = slice(None)) -> Fields:
    """Return ridge regressions from sums over clips; the penalty is the one that foretells held-out clips best."""
    folds = [f for f in range(FOLDS) if sums.count[f] > 0]
    every = _moments(sums, folds, units)
    width = np.sqrt(np.maximum(np.diag(every[1]), 1e-12))
    deviation = np.sqrt(np.maximum(every[3], 1e-12))
    scores = np.empty((len(PENALTIES), len(folds), len(deviation)))
    for i, held in enumerate(folds):
        fit, test = _moments(sums, [f for f in folds if f != held], units), _moments(sums, [held], units)
        xx, xy = fit[1] / np.outer(width, width), fit[2] / width[:, None]
        values, vectors = np.linalg.eigh(xx)
        turned = vectors.T @ xy
        test_xx = vectors.T @ (test[1] / np.outer(width, width)) @ vectors
        test_xy = vectors.T @ (test[2] / width[:, None])
        offset = (test[4] - fit[4]) / width @ vectors  # means differ between what was fitted and what is foretold
        gap = test[5] - fit[5]
        for p, penalty in enumerate(PENALTIES):
            w = turned / (np.maximum(values, 0) + penalty * values.mean())[:, None]
            bias = gap - offset @ w
            error = test[3] - 2 * np.einsum("dr,dr->r", w, test_xy) + np.einsum("dr,dr->r", w, test_xx @ w) + bias**2
            scores[p, i] = 1 - error / np.maximum(test[3], 1e-12)
    mean = scores.mean(1)
    best = mean.argmax(0)
    columns = np.arange(len(best))
    chosen = scores[best, :, columns]  # (R, folds)
    spread = chosen.std(1, ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else np.full(len(best), np.inf)
    low = chosen.mean(1) - student.ppf((1 + SURE) / 2, max(1, len(folds) - 1)) * spread
    values, vectors = np.linalg.eigh(every[1] / np.outer(width, width))
    turned = vectors.T @ (every[2] / width[:, None])
    shrunk = turned / (np.maximum(values, 0)[:, None] + np.array(PENALTIES)[best] * values.mean())
    weights = (vectors @ shrunk) / deviation
    return Fields(weights.T.astype(np.float32), mean[best, columns], low, np.array(PENALTIES)[best])


def _moments(sums: Sums, folds: list[int], units: slice) -> tuple[np.ndarray, ...]:
    """Return count, covariances (D, D) and (D, R), variances (R,), means (D,) and (R,) over some folds."""
    count = sums.count[folds].sum()
    x, y = sums.x[folds].sum(0) / count, sums.y[folds][:, units].sum(0) / count
    xx = sums.xx[folds].sum(0) / count - np.outer(x, x)
    xy = sums.xy[folds][:, :, units].sum(0, dtype=np.float64) / count - np.outer(x, y)
    yy = sums.yy[folds][:, units].sum(0) / count - y**2
    return count, xx, xy, np.maximum(yy, 0), x, y
