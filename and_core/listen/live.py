"""What pages and commands ask for while a user waits: parts of clips that a neuron listens to, decisions taken apart, sounds of one's own.

Nothing here is kept beyond this process; what is computed once serves all neurons of a layer.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.audio.media import RANGE_DB, WIDTH, flac, palette
from and_core.dissected import clip_wave, shared_target, using
from and_core.errors import NotComputed
from and_core.records import NeuronId
from and_core.store.dissection import Dissection

if TYPE_CHECKING:
    from and_core.listen.listener import Listener

MEANS = ("high", "random", "alone", "control", "own", "others")  # of what moves a neuron, over clips
MAP_BYTES = 256 * 2**20  # of maps that are kept
NOWHERE = "it fires nowhere in this clip above what it does at rest"
_maps: OrderedDict[tuple[str, str, str, int], np.ndarray] = OrderedDict()


@dataclass(frozen=True)
class Fires:
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


def clips_of(d: Dissection, neuron: NeuronId | str) -> list[int]:
    """The clips on whose scale a neuron's maps are shown: its highest and lowest."""
    return [top.clip.index for side in ("high", "low") for top in d.extreme_clips(neuron, side)]  # type: ignore[arg-type]


def layer_values(d: Dissection, layer: str, clips: Sequence[int]) -> dict[int, np.ndarray]:
    """(R, rows, columns) float16 of every neuron of a layer on some clips; clips that were passed before are not passed again.

    Raises
    ------
    TargetError
        The layer gives one vector a clip, so there is no map.
    """
    from and_core.listen.patches import layer_maps

    key = (str(d.folder), d.manifest.stages["activations"].key, layer)
    found: dict[int, np.ndarray] = {}
    with using():
        target = shared_target(d)
        fresh: dict[int, dict[int, np.ndarray]] = {}
        for clip in clips:
            if (*key, clip) in _maps:
                _maps.move_to_end((*key, clip))
                found[clip] = _maps[(*key, clip)]
            else:
                wave = clip_wave(d, clip, target.sample_rate)
                fresh.setdefault(len(wave), {})[clip] = wave
        for samples, mine in fresh.items():  # clips of one length together: no clip is padded to another
            maps, _ = layer_maps(target, list(mine.values()), layer)
            seconds = samples / target.sample_rate
            times, _ = target.places(maps.shape[2], maps.shape[3], seconds)
            heard = max(1, int(np.searchsorted(times[:-1], seconds - 1e-6)))  # what begins after the clip's end is padding
            for clip, values in zip(mine, maps[..., :heard].astype(np.float16), strict=True):
                found[clip] = _maps[(*key, clip)] = values
        held = sum(values.nbytes for values in _maps.values())
        while held > MAP_BYTES and len(_maps) > len(found):
            held -= _maps.popitem(last=False)[1].nbytes
    return found


@lru_cache(maxsize=32)
def fires(d: Dissection, neuron: NeuronId, clip: int) -> Fires:
    """Where a neuron fires in a clip, on the scale of its highest and lowest clips.

    Raises
    ------
    TargetError
        The neuron's layer has no map.
    """
    from and_core.listen.front import Front
    from and_core.listen.patches import place, resting, soft_mask, split_sound

    mine = list(dict.fromkeys([*clips_of(d, neuron), clip]))
    values = {c: v[neuron.unit].astype(np.float32) for c, v in layer_values(d, neuron.layer, mine).items()}
    every = np.concatenate([v.ravel() for v in values.values()])
    rest, full = resting(every), float(every.max())
    with using():
        target = shared_target(d)
    wave = clip_wave(d, clip, target.sample_rate)
    front = Front.for_rate(target.sample_rate)
    found = place(target, values[clip], len(wave) / target.sample_rate)
    frames = max(len(wave), front.n_fft) // front.hop + 1
    mask = soft_mask(found, rest, full, front, frames)
    kept, left = split_sound(wave, mask, front)
    level = np.clip((found.values - rest) / (full - rest), 0, 1) if full > rest else np.zeros_like(found.values)
    return Fires(found.values, level, found.seconds, found.hz, kept, left, target.sample_rate, "" if level.max() > 0 else NOWHERE)


def fires_sound(d: Dissection, neuron: NeuronId, clip: int, what: str) -> bytes:
    """The part on which a neuron fires (``kept``), or the ``rest``, as FLAC."""
    found = fires(d, neuron, clip)
    return flac(found.kept if what == "kept" else found.rest, found.rate)


def fires_picture(d: Dissection, neuron: NeuronId, clip: int) -> bytes:
    """The clip's spectrogram, dark where the neuron is at rest, as JPEG; frequency is linear, since patches are drawn where they lie."""
    from PIL import Image

    found = fires(d, neuron, clip)
    return _jpeg(Image, found.kept + found.rest, found.rate, np.asarray(found.level), found.seconds, found.hz)


def _jpeg(image: Any, wave: np.ndarray, rate: int, level: np.ndarray, seconds: np.ndarray, hz: np.ndarray | None) -> bytes:
    import torch

    from and_core.listen.front import Front

    front = Front.for_rate(rate)
    spectrum = front.spectrum(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None])[0].abs().numpy()
    decibel = 20 * np.log10(np.maximum(spectrum / (front.n_fft / 4), 1e-6))
    low, high = RANGE_DB
    shade = np.clip((decibel - low) / (high - low), 0, 1)
    time = np.arange(shade.shape[1]) * front.hop / rate
    column = np.clip(np.searchsorted(seconds, time, "right") - 1, 0, level.shape[1] - 1)
    row = np.zeros(front.bins, int) if hz is None else np.clip(np.searchsorted(hz, np.linspace(0, rate / 2, front.bins), "right") - 1, 0, level.shape[0] - 1)
    light = level[row][:, column] * (time <= seconds[-1])
    colours = palette()[(shade[::-1] * 255).astype(np.uint8)].astype(np.float32)
    dimmed = colours * (0.25 + 0.75 * light[::-1, :, None])
    buffer = io.BytesIO()
    image.fromarray(dimmed.astype(np.uint8)).resize((WIDTH, 148), image.Resampling.BILINEAR).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


# -- decisions -----------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def listener_of(d: Dissection, way: str = "post-hoc") -> Listener:
    """What was learned to listen to a dissection's network.

    Raises
    ------
    NotComputed
        The stage `listening` has not been run, or that way was not trained.
    """
    from and_core.dissected import open_target
    from and_core.listen.listener import load_listener

    d.require("listening")
    if f"listening/{way}" not in d.manifest.artifacts:
        raise NotComputed(f"{d.name!r} has no listener {way!r}; set listening.by_design: true and run: and-dissect run CONFIG.yaml")
    folder = Path(d.paths(f"listening/{way}")[0]).parent
    with using():
        return load_listener(folder, open_target(d) if way == "by-design" else shared_target(d))


@dataclass(frozen=True)
class Heard:
    """Probabilities on what is kept and on what is left, with the sounds."""

    kept: np.ndarray
    left: np.ndarray
    on_kept: np.ndarray
    on_left: np.ndarray


def decide(d: Dissection, wave: np.ndarray, rate: int, way: str = "post-hoc", shown: int | None = None) -> Any:
    """A decision on a sound of any length and rate, taken apart: an :class:`and_core.listen.listener.Interpretation`."""
    listener = listener_of(d, way)
    with using():
        return listener.interpret(listener.fit_length(wave, rate), shown)


def only(d: Dissection, found: Any, components: Sequence[int], way: str = "post-hoc") -> Heard:
    """What the network says of some components alone, and of the clip without them."""
    listener = listener_of(d, way)
    chosen = np.zeros(len(found.relevance), bool)
    chosen[list(components)] = True
    with using():
        kept, left = listener.render(found.wave, listener.mask_of(found.h, chosen))
        on_kept, on_left = probabilities(listener.predict(np.stack([kept, left])))
    return Heard(kept, left, on_kept, on_left)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    high = logits - logits.max(-1, keepdims=True)
    return np.asarray(np.exp(high) / np.exp(high).sum(-1, keepdims=True))


def component_sound(d: Dissection, found: Any, component: int, way: str = "post-hoc") -> np.ndarray:
    """(samples,) one component alone."""
    listener = listener_of(d, way)
    chosen = np.zeros(len(found.relevance), bool)
    chosen[component] = True
    return listener.render(found.wave, listener.mask_of(found.h, chosen))[0]


# -- which sounds move a neuron --------------------------------------------------------------------------------------------------


def moves(
    d: Dissection, neuron: NeuronId | str, clips: int = 3, orders: int = 20, seed: int = 0, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[dict[str, Any]]:
    """Groups of components whose sound moves a neuron, over its highest clips and as many at random, strongest first.

    Returns
    -------
    list of dict
        ``group`` (components; none: what is too quiet to be heard alone), mean Shapley value over the clips where it sounds, in the network's own
        unit, on ``high`` and on ``random`` clips, ``alone`` (drop when it is taken out), ``control`` (drop when as much energy is taken at random),
        ``others`` (the same drop of the layer's other neurons, in their standard deviations) beside ``own`` (this one's), ``clips``, and ``holds``:
        its drop is above zero, above the control, and above that of the others.
    """
    from and_core.listen import dictionary
    from and_core.listen.moves import moved, parts_of

    index = d.index(neuron)
    name = d.neuron_id(index)
    listener = listener_of(d)
    joined = dictionary.groups(listener.w)
    high = [top.clip.index for top in d.extreme_clips(name, "high", clips)]
    others = np.setdiff1d(np.arange(len(d.clips)), high)
    random = [int(c) for c in np.random.default_rng([seed, index]).permutation(others)[:clips]]
    layer = d.layer(name.layer)
    spread = np.asarray(d.table("neurons/statistics")["std"].to_numpy())[layer.offset : layer.offset + layer.size]
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    with using():
        target = shared_target(d)
    activate = _activations_of(target, name.layer)
    for done, clip in enumerate([*high, *random], 1):
        wave = listener.fit_length(clip_wave(d, clip, target.sample_rate))
        parts = parts_of(wave, listener.w, joined, listener.front)
        result = moved(parts, activate, listener.front, orders, seed=seed)
        for g, members in enumerate(parts.members):
            group = [] if parts.quiet and g == len(parts.members) - 1 else members
            row = found.setdefault(tuple(group), {"group": group, "clips": [], **{key: [] for key in MEANS}})
            row["high" if clip in high else "random"].append(float(result.values[g, name.unit]))
            row["alone"].append(float(result.alone[g, name.unit]))
            row["control"].append(float(result.control[g, name.unit]))
            drops = result.alone[g] / np.maximum(spread, 1e-9)
            row["own"].append(float(drops[name.unit]))
            row["others"].append(float(np.mean(np.delete(drops, name.unit))) if layer.size > 1 else 0.0)
            row["clips"].append(clip)
        progress(done, 2 * clips)
    rows = []
    for row in found.values():
        means = {key: (float(np.mean(row[key])) if row[key] else None) for key in MEANS}
        holds = bool(np.mean(row["alone"]) > max(0.0, np.mean(row["control"])) and np.mean(row["own"]) > np.mean(row["others"]))
        rows.append({"group": row["group"], **means, "holds": holds, "clips": row["clips"]})
    return sorted(rows, key=lambda r: -(r["high"] if r["high"] is not None else -np.inf))


def _activations_of(target: Any, layer: str) -> Callable[[np.ndarray], np.ndarray]:
    from and_core.targets.capture import Capture

    capture = Capture({layer: target.modules()[layer]}, target.pool, layer)

    def activate(waves: np.ndarray) -> np.ndarray:
        with using(), capture:  # one batch at a time: others have their turn in between
            capture.run(lambda: target.forward(target.features(list(waves))))
            return capture.outputs[layer].numpy()

    return activate


def group_sound(d: Dissection, clip: int, components: Sequence[int]) -> tuple[np.ndarray, np.ndarray, int]:
    """What a group of components (none: all that is quiet) sounds like in a clip, the rest, and the rate."""
    from and_core.listen import dictionary
    from and_core.listen.moves import parts_of, without

    listener = listener_of(d)
    rate = listener.target.sample_rate
    parts = parts_of(listener.fit_length(clip_wave(d, clip, rate)), listener.w, dictionary.groups(listener.w), listener.front)
    chosen = np.array([set(m) <= set(components) for m in parts.members])
    if parts.quiet:
        chosen[-1] = not components
    kept, rest = without(parts, np.stack([chosen, ~chosen]), listener.front)
    return kept, rest, rate
