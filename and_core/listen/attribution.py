"""Attribute a neuron's activation to groups of the dictionary's sounds, by Shapley's values over its clips, with
controls.

torch is loaded when the first clip is taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.audio.media import clip_wave
from and_core.listen.decision import dissection_listener
from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.targets.loaded import network_lock, shared_target

if TYPE_CHECKING:
    from and_core.listen.stft import Stft
    from and_core.targets.base import Target

ORDERS = 20
MEANS = ("high", "random", "alone", "control", "own", "others")  # of what moves a neuron, over clips
BLOB = (6, 4)  # bins and frames over which the control's random cells are smooth
SMALLEST = (
    0.02  # groups below this share of a clip's energy are put together: taking them out changes nothing that is heard
)
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


def split_into_groups(wave: np.ndarray, w: np.ndarray, joined: list[list[int]], stft: Stft) -> Parts:
    """Return a clip's groups by non-negative factorisation with W fixed: no network stands between the sound and its
    parts."""
    import torch

    from and_core.listen import dictionary
    from and_core.listen.stft import log_magnitude, peak

    x = torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None]
    spectrum = stft.spectrum(x / peak(x))
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


def keep_groups(parts: Parts, kept: np.ndarray, stft: Stft) -> np.ndarray:
    """Return the clip with only some of its groups, (B, samples); `kept` (B, G) bool. Nothing kept is silence."""
    import torch

    from and_core.listen.stft import log_magnitude, peak, with_magnitude

    with torch.inference_mode():
        x = torch.from_numpy(parts.wave)[None]
        scale = peak(x)
        spectrum = stft.spectrum(x / scale)
        log = log_magnitude(spectrum)
        mask = torch.from_numpy(np.einsum("bg,gft->bft", kept.astype(np.float32), parts.masks))
        return (stft.waves(with_magnitude(spectrum, log * mask), len(parts.wave)) * scale).numpy()


def shapley(value: Callable[[np.ndarray], np.ndarray], players: int, orders: int, seed: int) -> np.ndarray:
    """Return (players, R) Shapley values by random orders, each order and its reverse; for each order they sum exactly
    to value(all) - value(none).

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
    worth = value(np.stack(list(wanted.values())))
    at = {key: worth[i] for i, key in enumerate(wanted)}
    total = np.zeros((players, worth.shape[1]))
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
class Attribution:
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


def attribute(
    parts: Parts, activate: Activate, stft: Stft, orders: int = ORDERS, draws: int = 3, seed: int = 0
) -> Attribution:
    """Return what each group of one clip does to every neuron."""
    import torch

    groups = len(parts.members)

    def value(kept: np.ndarray) -> np.ndarray:
        return np.concatenate([activate(keep_groups(parts, kept[i : i + 32], stft)) for i in range(0, len(kept), 32)])

    coalitions = np.stack([np.ones(groups, bool), np.zeros(groups, bool), *(~np.eye(groups, dtype=bool))])
    ends = value(coalitions)
    total = max(float((parts.wave**2).sum()), 1e-12)
    gone = [
        1 - float((keep_groups(parts, row[None], stft) ** 2).sum()) / total for row in coalitions[2:]
    ]  # as it is rendered, not as masks count it
    spectrum = stft.spectrum(torch.from_numpy(parts.wave)[None])
    power = (spectrum[0].abs() ** 2).numpy()
    cells = np.concatenate([_random_cells(parts, share, draws, seed + i, power) for i, share in enumerate(gone)])
    made = (
        stft.waves(spectrum * torch.from_numpy(cells[i : i + 32]), len(parts.wave)).numpy()
        for i in range(0, len(cells), 32)
    )
    random = np.concatenate([activate(waves) for waves in made])
    control = ends[0] - random.reshape(groups, draws, -1).mean(1)
    return Attribution(ends[0], ends[1], shapley(value, groups, orders, seed), ends[0] - ends[2:], control)


def _random_cells(parts: Parts, share: float, draws: int, seed: int, power: np.ndarray) -> np.ndarray:
    """Return masks (draws, F, T) that keep everything but smooth random cells that carry `share` of the energy."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    masks = np.ones((draws, power.size), np.float32)
    for mask in masks:
        order = np.argsort(gaussian_filter(rng.standard_normal(power.shape), BLOB).ravel())
        carried = np.cumsum(power.ravel()[order])
        mask[order[: np.searchsorted(carried, np.clip(share, 0, 1) * carried[-1])]] = 0
    return masks.reshape(draws, *power.shape)


def shapley_attribution(
    d: Dissection,
    neuron: NeuronId | str,
    clips: int = 3,
    orders: int = ORDERS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Return the groups of components whose sound moves a neuron, over its highest clips and as many at random,
    strongest first.

    Returns
    -------
    list of dict
        ``group`` (components; none: what is too quiet to be heard alone), mean Shapley value over the clips where it
        sounds, in the network's own unit, on ``high`` and on ``random`` clips, ``alone`` (drop when it is taken out),
        ``control`` (drop when as much
        energy is taken at random),
        ``others`` (the same drop of the layer's other neurons, in their standard deviations) beside ``own`` (this
        one's), ``clips``, and ``holds``: its drop is above zero, above the control, and above that of the others.
    """
    from and_core.listen import dictionary

    index = d.index(neuron)
    name = d.neuron_id(index)
    listener = dissection_listener(d)
    joined = dictionary.groups(listener.w)
    high = [top.clip.index for top in d.extreme_clips(name, "high", clips)]
    others = np.setdiff1d(np.arange(len(d.clips)), high)
    random = [int(c) for c in np.random.default_rng([seed, index]).permutation(others)[:clips]]
    layer = d.layer(name.layer)
    spread = d.activation_std[layer.offset : layer.offset + layer.size]
    groups: dict[tuple[int, ...], dict[str, Any]] = {}
    with network_lock():
        target = shared_target(d)
    activate = layer_activations(target, name.layer)
    for done, clip in enumerate([*high, *random], 1):
        wave = listener.fit_length(clip_wave(d, clip, target.sample_rate))
        parts = split_into_groups(wave, listener.w, joined, listener.stft)
        result = attribute(parts, activate, listener.stft, orders, seed=seed)
        for g, members in enumerate(parts.members):
            group = [] if parts.quiet and g == len(parts.members) - 1 else members
            row = groups.setdefault(tuple(group), {"group": group, "clips": [], **{key: [] for key in MEANS}})
            row["high" if clip in high else "random"].append(float(result.values[g, name.unit]))
            row["alone"].append(float(result.alone[g, name.unit]))
            row["control"].append(float(result.control[g, name.unit]))
            drops = result.alone[g] / np.maximum(spread, 1e-9)
            row["own"].append(float(drops[name.unit]))
            row["others"].append(float(np.mean(np.delete(drops, name.unit))) if layer.size > 1 else 0.0)
            row["clips"].append(clip)
        progress(done, 2 * clips)
    rows = []
    for row in groups.values():
        means = {key: (float(np.mean(row[key])) if row[key] else None) for key in MEANS}
        above = np.mean(row["alone"]) > max(0.0, np.mean(row["control"]))
        holds = bool(above and np.mean(row["own"]) > np.mean(row["others"]))
        rows.append({"group": row["group"], **means, "holds": holds, "clips": row["clips"]})
    return sorted(rows, key=lambda r: -(r["high"] if r["high"] is not None else -np.inf))


def layer_activations(target: Target, layer: str) -> Activate:
    """Return a function that gives the activations of a layer's neurons on waveforms.

    Other users of the network have their turn between batches.
    """
    from and_core.targets.hooks import Capture

    capture = Capture({layer: target.hook_points()[layer]}, target.pool, layer)

    def activate(waves: np.ndarray) -> np.ndarray:
        with network_lock(), capture:
            capture.run(lambda: target.forward(target.features(list(waves))))
            return capture.outputs[layer].numpy()

    return activate


def group_sound(d: Dissection, clip: int, components: Sequence[int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Return what a group of components (none: all that is quiet) sounds like in a clip, the rest, and the rate."""
    from and_core.listen import dictionary

    listener = dissection_listener(d)
    rate = listener.target.sample_rate
    wave = listener.fit_length(clip_wave(d, clip, rate))
    parts = split_into_groups(wave, listener.w, dictionary.groups(listener.w), listener.stft)
    chosen = np.array([set(m) <= set(components) for m in parts.members])
    if parts.quiet:
        chosen[-1] = not components
    kept, rest = keep_groups(parts, np.stack([chosen, ~chosen]), listener.stft)
    return kept, rest, rate
