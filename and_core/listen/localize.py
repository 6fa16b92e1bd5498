"""Localize a neuron in its clips: its activation per patch, as a picture over the spectrogram and as a soft mask to
hear.

Maps are kept for this process alone; one pass serves all neurons of a layer. torch is loaded when the first map is
asked for.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.audio.media import RANGE_DB, WIDTH, clip_wave, flac, palette
from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.targets.loaded import network_lock, shared_target

if TYPE_CHECKING:
    from and_core.listen.stft import Stft
    from and_core.targets.base import Target

MAP_BYTES = 256 * 2**20  # of maps that are kept
NOWHERE = "it fires nowhere in this clip above what it does at rest"
_maps: OrderedDict[tuple[str, str, str, int], np.ndarray] = OrderedDict()


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


@dataclass(frozen=True)
class Localization:
    """Where in a clip a neuron fires, and what that sounds like.

    Attributes
    ----------
    values : (rows, columns)
        Activation per patch, frequency from low to high.
    level : (rows, columns)
        The same from 0, at rest, to 1, its fullest over the clips at hand.
    seconds, hz : edges
        `hz` is None for a map over time alone.
    kept, rest : (samples,)
        They add up to the clip.
    rate : int
    remark : str
        Why nothing is kept, where nothing is.
    """

    values: np.ndarray
    level: np.ndarray
    seconds: np.ndarray
    hz: np.ndarray | None
    kept: np.ndarray
    rest: np.ndarray
    rate: int
    remark: str = ""


def scale_clips(d: Dissection, neuron: NeuronId | str) -> list[int]:
    """Return the clips on whose scale a neuron's maps are shown: its highest and lowest."""
    return [top.clip.index for side in ("high", "low") for top in d.extreme_clips(neuron, side)]


def layer_maps(target: Target, waves: list[np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the activations of all neurons of a layer on every patch of some clips, in one pass, and pooled.

    Returns
    -------
    (B, R, rows, columns) float32, (B, R) float32

    Raises
    ------
    TargetError
        The layer gives one vector a clip.
    """
    import torch

    from and_core.listen.maps import MapReader
    from and_core.targets.hooks import owned
    from and_core.targets.points import reading

    points = {layer: target.hook_points()[layer]}
    pooled: list[torch.Tensor] = []
    with reading(points, lambda name, values: pooled.append(owned(target.pool(values, name)))), torch.inference_mode():
        _, (maps,) = MapReader(target, points)(target.features(waves))
    return maps.numpy(), torch.cat(pooled).numpy()


def clip_maps(d: Dissection, layer: str, clips: Sequence[int]) -> dict[int, np.ndarray]:
    """Return (R, rows, columns) float16 of every neuron of a layer on some clips; clips that were passed before are not
    passed again.

    Raises
    ------
    TargetError
        The layer gives one vector a clip, so there is no map.
    """
    key = (str(d.folder), d.manifest.stages["activations"].key, layer)
    maps: dict[int, np.ndarray] = {}
    with network_lock():
        target = shared_target(d)
        fresh: dict[int, dict[int, np.ndarray]] = {}
        for clip in clips:
            if (*key, clip) in _maps:
                _maps.move_to_end((*key, clip))
                maps[clip] = _maps[(*key, clip)]
            else:
                wave = clip_wave(d, clip, target.sample_rate)
                fresh.setdefault(len(wave), {})[clip] = wave
        for samples, waves in fresh.items():  # clips of one length together: no clip is padded to another
            passed, _ = layer_maps(target, list(waves.values()), layer)
            seconds = samples / target.sample_rate
            times, _ = target.map_edges(passed.shape[2], passed.shape[3], seconds)
            columns = max(
                1, int(np.searchsorted(times[:-1], seconds - 1e-6))
            )  # what begins after the clip's end is padding
            for clip, values in zip(waves, passed[..., :columns].astype(np.float16), strict=True):
                maps[clip] = _maps[(*key, clip)] = values
        total = sum(values.nbytes for values in _maps.values())
        while total > MAP_BYTES and len(_maps) > len(maps):
            total -= _maps.popitem(last=False)[1].nbytes
    return maps


def place(target: Target, values: np.ndarray, seconds: float) -> PatchMap:
    """Return a map (rows, columns) with its place in the sound; rows whose frequency is not known are averaged."""
    times, hz = target.map_edges(values.shape[0], values.shape[1], seconds)
    return PatchMap(values if hz is not None else values.mean(0, keepdims=True), times, hz)


def resting(values: np.ndarray) -> float:
    """Return what counts as rest: the median over all patches of the clips at hand."""
    return float(np.median(values))


def soft_mask(patch_map: PatchMap, rest: float, full: float, stft: Stft, frames: int) -> np.ndarray:
    """Return a mask (F, T) in [0, 1]: 0 where the neuron is at rest, 1 where it fires fully, between patches in a
    straight line.

    Parameters
    ----------
    rest, full : float
        Activations that stand for 0 and for 1; the clip is silent in the mask where `full` is not above `rest`.
    """
    level = _level(patch_map.values, rest, full)
    time = np.arange(frames) * stft.hop / stft.rate
    middle = (patch_map.seconds[1:] + patch_map.seconds[:-1]) / 2
    over_time = np.stack([np.interp(time, middle, row) for row in level])
    over_time[:, time > patch_map.seconds[-1] + (patch_map.seconds[1] - patch_map.seconds[0])] = (
        0  # the network never heard what comes after its last patch
    )
    if patch_map.hz is None:
        return np.repeat(over_time.astype(np.float32), stft.bins, 0)
    hz = np.linspace(0, stft.rate / 2, stft.bins)
    centre = (patch_map.hz[1:] + patch_map.hz[:-1]) / 2
    return np.stack([np.interp(hz, centre, column) for column in over_time.T], 1).astype(np.float32)


def split_sound(wave: np.ndarray, mask: np.ndarray, stft: Stft) -> tuple[np.ndarray, np.ndarray]:
    """Return what a mask keeps of a clip and the rest, by the complex spectrogram: the two add up to the clip."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None]
    spectrum = stft.spectrum(x)
    with torch.inference_mode():
        kept = stft.waves(spectrum * torch.from_numpy(mask)[None], len(wave))[0].numpy()
    return kept, (wave - kept).astype(np.float32)


@lru_cache(maxsize=32)
def localize(d: Dissection, neuron: NeuronId, clip: int) -> Localization:
    """Return where a neuron fires in a clip, on the scale of its highest and lowest clips.

    Raises
    ------
    TargetError
        The neuron's layer has no map.
    """
    from and_core.listen.stft import Stft

    clips = list(dict.fromkeys([*scale_clips(d, neuron), clip]))
    values = {c: v[neuron.unit].astype(np.float32) for c, v in clip_maps(d, neuron.layer, clips).items()}
    every = np.concatenate([v.ravel() for v in values.values()])
    rest, full = resting(every), float(every.max())
    with network_lock():
        target = shared_target(d)
    wave = clip_wave(d, clip, target.sample_rate)
    stft = Stft.for_rate(target.sample_rate)
    patch_map = place(target, values[clip], len(wave) / target.sample_rate)
    frames = max(len(wave), stft.n_fft) // stft.hop + 1
    kept, left = split_sound(wave, soft_mask(patch_map, rest, full, stft, frames), stft)
    level = _level(patch_map.values, rest, full)
    remark = "" if level.max() > 0 else NOWHERE
    return Localization(
        patch_map.values, level, patch_map.seconds, patch_map.hz, kept, left, target.sample_rate, remark
    )


def _level(values: np.ndarray, rest: float, full: float) -> np.ndarray:
    return np.clip((values - rest) / (full - rest), 0, 1) if full > rest else np.zeros_like(values)


def localized_sound(d: Dissection, neuron: NeuronId, clip: int, part: str) -> bytes:
    """Return the part of a clip on which a neuron fires (``kept``), or the ``rest``, as FLAC."""
    located = localize(d, neuron, clip)
    return flac(located.kept if part == "kept" else located.rest, located.rate)


def localized_picture(d: Dissection, neuron: NeuronId, clip: int) -> bytes:
    """Return a clip's spectrogram, dark where the neuron is at rest, as JPEG.

    Frequency is linear, since patches are drawn where they lie.
    """
    from PIL import Image

    located = localize(d, neuron, clip)
    return _jpeg(Image, located.kept + located.rest, located)


def _jpeg(image: Any, wave: np.ndarray, located: Localization) -> bytes:
    import torch

    from and_core.listen.stft import Stft

    rate, seconds, hz = located.rate, located.seconds, located.hz
    stft = Stft.for_rate(rate)
    spectrum = stft.spectrum(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None])[0].abs().numpy()
    decibel = 20 * np.log10(np.maximum(spectrum / (stft.n_fft / 4), 1e-6))
    low, high = RANGE_DB
    shade = np.clip((decibel - low) / (high - low), 0, 1)
    time = np.arange(shade.shape[1]) * stft.hop / rate
    column = np.clip(np.searchsorted(seconds, time, "right") - 1, 0, located.level.shape[1] - 1)
    bins = np.linspace(0, rate / 2, stft.bins)
    row = np.zeros(stft.bins, int)
    if hz is not None:
        row = np.clip(np.searchsorted(hz, bins, "right") - 1, 0, located.level.shape[0] - 1)
    light = located.level[row][:, column] * (time <= seconds[-1])
    colours = palette()[(shade[::-1] * 255).astype(np.uint8)].astype(np.float32)
    dimmed = colours * (0.25 + 0.75 * light[::-1, :, None])
    buffer = io.BytesIO()
    image.fromarray(dimmed.astype(np.uint8)).resize((WIDTH, 148), image.Resampling.BILINEAR).save(
        buffer, "JPEG", quality=80
    )
    return buffer.getvalue()
