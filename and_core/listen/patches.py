"""Where in a clip a neuron fires: its activation per patch, as a picture over the spectrogram and as a soft mask to hear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from and_core.listen.front import Front
from and_core.listen.maps import MapReader
from and_core.targets.base import Target
from and_core.targets.capture import owned


@dataclass(frozen=True)
class PatchMap:
    """Activation of one neuron over one clip.

    Attributes
    ----------
    values : (rows, columns) float32
        In the network's own unit, frequency from low to high.
    seconds : (columns + 1,)
        Edges in time.
    hz : (rows + 1,) or None
        Edges in frequency; None where the layer has none (it is then a map over time alone).
    """

    values: np.ndarray
    seconds: np.ndarray
    hz: np.ndarray | None


def layer_maps(target: Target, waves: list[np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Activations of all neurons of a layer on every patch of some clips, in one pass, and pooled.

    Returns
    -------
    (B, R, rows, columns) float32, (B, R) float32

    Raises
    ------
    TargetError
        The layer gives one vector a clip.
    """
    module = target.modules()[layer]
    pooled: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda m, a, out: pooled.append(owned(target.pool(out, layer))))
    try:
        with torch.inference_mode():
            _, (maps,) = MapReader(target, {layer: module})(target.features(waves))
    finally:
        handle.remove()
    return maps.numpy(), torch.cat(pooled).numpy()


def place(target: Target, values: np.ndarray, seconds: float) -> PatchMap:
    """A map (rows, columns) with its place in the sound; rows whose frequency is not known are averaged."""
    times, hz = target.places(values.shape[0], values.shape[1], seconds)
    return PatchMap(values if hz is not None else values.mean(0, keepdims=True), times, hz)


def soft_mask(found: PatchMap, rest: float, full: float, front: Front, frames: int) -> np.ndarray:
    """(F, T) in [0, 1]: 0 where the neuron is at rest, 1 where it fires fully, between patches in a straight line.

    Parameters
    ----------
    rest, full : float
        Activations that stand for 0 and for 1; the clip is silent in the mask where `full` is not above `rest`.
    """
    level = np.clip((found.values - rest) / (full - rest), 0, 1) if full > rest else np.zeros_like(found.values)
    time = np.arange(frames) * front.hop / front.rate
    middle = (found.seconds[1:] + found.seconds[:-1]) / 2
    over_time = np.stack([np.interp(time, middle, row) for row in level])
    over_time[:, time > found.seconds[-1] + (found.seconds[1] - found.seconds[0])] = 0  # the network never heard what comes after its last patch
    if found.hz is None:
        return np.repeat(over_time.astype(np.float32), front.bins, 0)
    hz = np.linspace(0, front.rate / 2, front.bins)
    centre = (found.hz[1:] + found.hz[:-1]) / 2
    return np.stack([np.interp(hz, centre, column) for column in over_time.T], 1).astype(np.float32)


def split_sound(wave: np.ndarray, mask: np.ndarray, front: Front) -> tuple[np.ndarray, np.ndarray]:
    """What a mask keeps of a clip and the rest, by the complex spectrogram: the two add up to the clip."""
    x = torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None]
    spectrum = front.spectrum(x)
    with torch.inference_mode():
        kept = front.waves(spectrum * torch.from_numpy(mask)[None], len(wave))[0].numpy()
    return kept, (wave - kept).astype(np.float32)


def resting(values: np.ndarray) -> float:
    """What counts as rest: the median over all patches of the clips at hand."""
    return float(np.median(values))
