"""Which sounds move a neuron: groups of the dictionary taken out of its clips, shared out by Shapley's values, with controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from and_core.listen import dictionary
from and_core.listen.front import Front, log_magnitude, peak, with_magnitude

ORDERS = 20
BLOB = (6, 4)  # bins and frames over which the control's random cells are smooth
SMALLEST = 0.02  # groups below this share of a clip's energy are put together: taking them out changes nothing that is heard
Activate = Callable[[np.ndarray], np.ndarray]
"""(B, samples) waveforms -> (B, R) activations of the neurons at hand."""


@dataclass(frozen=True)
class Parts:
    """A clip in groups of components.

    Attributes
    ----------
    members : list of list of int
        Components of each group.
    quiet : bool
        Whether the last group is all that is too quiet to be heard alone.
    masks : (G, F, T)
        Shares of the spectrogram; they sum to 1.
    energy : (G,)
        Share of the clip's energy.
    wave : (samples,)
    """

    members: list[list[int]]
    quiet: bool
    masks: np.ndarray
    energy: np.ndarray
    wave: np.ndarray


def parts_of(wave: np.ndarray, w: np.ndarray, joined: list[list[int]], front: Front) -> Parts:
    """A clip's groups by non-negative factorisation with W fixed: no network stands between the sound and its parts."""
    x = torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None]
    spectrum = front.spectrum(x / peak(x))
    log = log_magnitude(spectrum)[0].numpy()
    h = dictionary.activations(log, w)
    masks = dictionary.soft_masks(w, h, joined)
    power = np.expm1(log) ** 2
    energy = (masks * power).sum((1, 2)) / max(float(power.sum()), 1e-12)
    large = np.flatnonzero(energy >= SMALLEST)
    small = np.setdiff1d(np.arange(len(joined)), large)
    members = [joined[i] for i in large] + ([[k for i in small for k in joined[i]]] if len(small) else [])
    every = [masks[large], masks[small].sum(0, keepdims=True)] if len(small) else [masks[large]]
    shares = [energy[large], energy[small].sum(keepdims=True)] if len(small) else [energy[large]]
    return Parts(members, bool(len(small)), np.concatenate(every), np.concatenate(shares), np.asarray(wave, np.float32))


def without(parts: Parts, kept: np.ndarray, front: Front) -> np.ndarray:
    """(B, samples) the clip with only some of its groups; `kept` (B, G) bool. Nothing kept is silence."""
    with torch.inference_mode():
        x = torch.from_numpy(parts.wave)[None]
        scale = peak(x)
        spectrum = front.spectrum(x / scale)
        log = log_magnitude(spectrum)
        mask = torch.from_numpy(np.einsum("bg,gft->bft", kept.astype(np.float32), parts.masks))
        return (front.waves(with_magnitude(spectrum, log * mask), len(parts.wave)) * scale).numpy()


def shapley(value: Callable[[np.ndarray], np.ndarray], players: int, orders: int, seed: int) -> np.ndarray:
    """(players, R) Shapley values by random orders, each order and its reverse; for each order they sum exactly to value(all) - value(none).

    Parameters
    ----------
    value : callable
        Coalitions (B, players) bool -> (B, R). Equal coalitions are asked for once.
    """
    rng = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    for _ in range((orders + 1) // 2):
        one = rng.permutation(players)
        drawn += [one, one[::-1]]
    drawn = drawn[:orders]
    wanted: dict[bytes, np.ndarray] = {}
    for order in drawn:
        kept = np.zeros(players, bool)
        wanted.setdefault(kept.tobytes(), kept.copy())
        for player in order:
            kept[player] = True
            wanted.setdefault(kept.tobytes(), kept.copy())
    found = value(np.stack(list(wanted.values())))
    at = {key: found[i] for i, key in enumerate(wanted)}
    total = np.zeros((players, found.shape[1]))
    for order in drawn:
        kept = np.zeros(players, bool)
        before = at[kept.tobytes()]
        for player in order:
            kept[player] = True
            after = at[kept.tobytes()]
            total[player] += after - before
            before = after
    return total / len(drawn)


@dataclass(frozen=True)
class Moved:
    """What taking groups out of one clip does to neurons.

    Attributes
    ----------
    whole, nothing : (R,)
        Activations on the clip and on silence.
    values : (G, R)
        Shapley values: they sum to ``whole - nothing``.
    alone : (G, R)
        ``A(x) - A(x without G)``.
    control : (G, R)
        The same for random cells of the spectrogram that take as much energy with them, mean of the draws.
    """

    whole: np.ndarray
    nothing: np.ndarray
    values: np.ndarray
    alone: np.ndarray
    control: np.ndarray


def moved(parts: Parts, activate: Activate, front: Front, orders: int = ORDERS, draws: int = 3, seed: int = 0) -> Moved:
    """One clip, all neurons at once."""
    groups = len(parts.members)

    def value(kept: np.ndarray) -> np.ndarray:
        return np.concatenate([activate(without(parts, kept[i : i + 32], front)) for i in range(0, len(kept), 32)])

    coalitions = np.stack([np.ones(groups, bool), np.zeros(groups, bool), *(~np.eye(groups, dtype=bool))])
    ends = value(coalitions)
    total = max(float((parts.wave**2).sum()), 1e-12)
    gone = [1 - float((without(parts, row[None], front) ** 2).sum()) / total for row in coalitions[2:]]  # as it is rendered, not as masks count it
    spectrum = front.spectrum(torch.from_numpy(parts.wave)[None])
    power = (spectrum[0].abs() ** 2).numpy()
    cells = np.concatenate([_random_cells(parts, share, draws, seed + i, power) for i, share in enumerate(gone)])
    made = (front.waves(spectrum * torch.from_numpy(cells[i : i + 32]), len(parts.wave)).numpy() for i in range(0, len(cells), 32))
    random = np.concatenate([activate(waves) for waves in made])
    control = ends[0] - random.reshape(groups, draws, -1).mean(1)
    return Moved(ends[0], ends[1], shapley(value, groups, orders, seed), ends[0] - ends[2:], control)


def _random_cells(parts: Parts, share: float, draws: int, seed: int, power: np.ndarray) -> np.ndarray:
    """(draws, F, T) masks that keep everything but smooth random cells that carry `share` of the energy."""
    rng = np.random.default_rng(seed)
    found = np.ones((draws, power.size), np.float32)
    for mask in found:
        order = np.argsort(gaussian_filter(rng.standard_normal(power.shape), BLOB).ravel())
        carried = np.cumsum(power.ravel()[order])
        mask[order[: np.searchsorted(carried, np.clip(share, 0, 1) * carried[-1])]] = 0
    return found.reshape(draws, *power.shape)
