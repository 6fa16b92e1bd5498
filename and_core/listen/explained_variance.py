"""Which neurons the dictionary can explain at all: one ridge regression of all activations on H over time, judged on
clips it never saw."""

from __future__ import annotations

import numpy as np
import torch

from and_core.errors import TargetError
from and_core.listen import dictionary
from and_core.listen.stft import Stft, log_magnitude, peak
from and_core.progress import Steps
from and_core.targets.base import Target
from and_core.targets.hooks import owned
from and_core.targets.points import reading

RIDGE = 1e-2  # of the mean variance of a component
STEPS = 60


class _Sums:
    """Sums that a regression needs: nothing grows with the clips."""

    def __init__(self, features: int, neurons: int) -> None:
        self.xx = np.zeros((features, features))
        self.xy = np.zeros((features, neurons))
        self.yy, self.y, self.n = np.zeros(neurons), np.zeros(neurons), 0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add rows of features (n, features) and of activations (n, neurons)."""
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += (y * y).sum(0)
        self.y += y.sum(0)
        self.n += len(x)


def explained_variance(
    target: Target, waves: np.ndarray, train: np.ndarray, test: np.ndarray, w: np.ndarray, stft: Stft, progress: Steps
) -> np.ndarray:
    """Return (R,) held-out R² of every dissected neuron, in the order of the layers; NaN for a neuron that never
    changes.

    Parameters
    ----------
    waves : (N, samples)
    train, test : (n,) int
        Clips to fit on and to judge on.
    w : (F, K)
        Dictionary.
    """
    layers = target.layers()
    total = sum(layer.size for layer in layers)
    fitted, judged = _Sums(w.shape[1] + 1, total), _Sums(w.shape[1] + 1, total)
    every = [
        (rows, sums)
        for clips, sums in ((train, fitted), (test, judged))
        for rows in np.array_split(clips, -(-len(clips) // 16))
    ]
    for done, (rows, sums) in enumerate(every, 1):
        batch = waves[rows]
        h = _components(batch, w, stft)
        columns, active = _over_time(target, batch, h.shape[2])
        x = _at_columns(h, columns, stft)
        sums.add(np.concatenate([x, np.ones((len(x), 1))], 1), active)
        progress(done, len(every))
    ridge = RIDGE * np.trace(fitted.xx[:-1, :-1]) / max(1, w.shape[1])
    penalty = np.eye(w.shape[1] + 1) * ridge
    penalty[-1, -1] = 0
    beta = np.linalg.solve(fitted.xx + penalty + 1e-9 * np.eye(len(penalty)), fitted.xy)
    left = judged.yy - 2 * (beta * judged.xy).sum(0) + np.einsum("kr,kj,jr->r", beta, judged.xx, beta)
    spread = judged.yy - judged.y**2 / judged.n
    return np.where(spread > 1e-9, 1 - left / np.maximum(spread, 1e-9), np.nan).astype(np.float32)


def _components(waves: np.ndarray, w: np.ndarray, stft: Stft) -> np.ndarray:
    """Return (B, K, T) H of some clips by non-negative factorisation, all frames together."""
    x = torch.from_numpy(waves)
    log = log_magnitude(stft.spectrum(x / peak(x))).numpy()
    flat = log.transpose(1, 0, 2).reshape(log.shape[1], -1)
    return dictionary.activations(flat, w, steps=STEPS).reshape(w.shape[1], len(waves), -1).transpose(1, 0, 2)


def _over_time(target: Target, waves: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return edges of the columns in seconds, and (B * columns, R) activations of all neurons, mean over frequency;
    pooled where a layer has no map.

    `most` columns at most: finer maps are averaged.
    """
    maps: dict[str, torch.Tensor] = {}
    pooled: dict[str, torch.Tensor] = {}

    def collect(name: str, activation: torch.Tensor) -> None:
        try:
            maps[name] = owned(target.to_map(activation, name).float().mean(2))
        except TargetError:
            pooled[name] = owned(target.pool(activation, name))

    points = target.hook_points()
    with reading(points, collect), torch.inference_mode():
        target.forward(target.features(list(waves)))
    columns = min(max((m.shape[2] for m in maps.values()), default=1), most)
    seconds = waves.shape[1] / target.sample_rate
    times, _ = target.map_edges(1, columns, seconds)
    heard = max(
        1, int(np.searchsorted(times[:-1], seconds - 1e-6))
    )  # columns that begin after the clip's end are padding, not sound
    parts = []
    for name in points:
        if name in maps:
            m = (
                maps[name]
                if maps[name].shape[2] == columns
                else torch.nn.functional.adaptive_avg_pool1d(maps[name], columns)
            )
            parts.append(m[:, :, :heard].transpose(1, 2))
        else:
            parts.append(pooled[name][:, None].expand(-1, heard, -1))
    return times[: heard + 1], torch.cat(parts, 2).reshape(-1, sum(p.shape[2] for p in parts)).double().numpy()


def _at_columns(h: np.ndarray, edges: np.ndarray, stft: Stft) -> np.ndarray:
    """Return (B * columns, K) mean of H over the frames of each column; between frames where a column holds none."""
    time = np.arange(h.shape[2]) * stft.hop / stft.rate
    weight = ((time[:, None] >= edges[:-1]) & (time[:, None] < edges[1:])).astype(float)
    centre = (edges[1:] + edges[:-1]) / 2
    for column in np.flatnonzero(weight.sum(0) == 0):
        weight[int(np.abs(time - centre[column]).argmin()), column] = 1
    weight /= weight.sum(0)
    return (h.astype(np.float64) @ weight).transpose(0, 2, 1).reshape(-1, h.shape[1])
