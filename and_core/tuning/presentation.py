"""How stimuli reach a network: how long they are, what fills a fixed length, and whether their level gets through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from and_core.config import TuningConfig
from and_core.errors import TargetError, first_line
from and_core.targets.base import Target
from and_core.tuning.stimulus import LEVEL, Stimulus, waveform

LONGEST = 30.0  # seconds that are tried where a network refuses shorter sounds
ENDLESS = 3600.0  # seconds; a network that hears so much takes sounds of any length
SAME = 1e-3  # of the largest value of the input: as much may rounding move it
LOUD, SOFT, PEAK, FAINT = -20.0, -40.0, -5.0, -90.0  # dB


@dataclass(frozen=True)
class Presentation:
    """What was decided of how stimuli are played to a network.

    Attributes
    ----------
    seconds : float
        Duration D of the stimuli.
    length : float
        Seconds that the network is given of each.
    fill : str or None
        ``stretch``, ``repeat`` or ``pad``; None where the network takes sounds as long as they are.
    lengthened : bool
        The network refuses sounds as short as was asked for, so D is the shortest that it takes of those tried.
    level_removed : bool
        What the network gets of a sound does not depend on its level.
    level_cut : bool
        Loud sounds reach the network no louder than less loud ones.
    faint : bool
        Digital silence gives NaN, so noise of :data:`FAINT` dB stands in its place.
    """

    seconds: float
    length: float
    fill: str | None
    lengthened: bool
    level_removed: bool
    level_cut: bool
    faint: bool = False

    def wave(self, stimulus: Stimulus, rate: int, seed: int) -> np.ndarray:
        """Return the waveform (samples,) that the network is given."""
        if self.faint and stimulus.kind == "silence":
            stimulus = replace(stimulus, kind="white", level=FAINT)
        made = waveform(stimulus, rate, self.seconds, seed)
        return np.resize(made, round(self.length * rate)) if self.fill == "repeat" else made

    def sentence(self) -> str:
        """Return what was decided as a sentence."""
        how = {
            "stretch": f"made to last the {self.length:.2g} s that the network takes",
            "repeat": f"{self.seconds:.2g} s long, played again and again for the {self.length:.2g} s that the network "
            "takes",
            "pad": f"{self.seconds:.2g} s long, with silence up to the {self.length:.2g} s that the network takes",
        }.get(self.fill or "", f"{self.seconds:.2g} s long")
        parts = [f"Stimuli are {how}."]
        if self.lengthened:
            parts.append("The network refuses shorter sounds.")
        if self.level_removed:
            parts.append("Its front end takes the level out, so flat level functions are the front end's.")
        elif self.level_cut:
            parts.append("Its front end makes loud sounds alike, so level functions that end flat are the front end's.")
        if self.faint:
            parts.append(f"Digital silence gives it NaN, so noise of {FAINT:.0f} dB stands in for silence.")
        return " ".join(parts)


def presentation(target: Target, settings: TuningConfig, probing_seconds: float) -> Presentation:
    """Return how stimuli are played to a loaded network, tried on tones and noise.

    Parameters
    ----------
    probing_seconds : float
        Length of the probing clips: of a network that takes a fixed length and does not say which.

    Raises
    ------
    TargetError
        The network fails on every length that was tried.
    """
    seconds = _accepted(target, settings.seconds)
    fixed = _shapes(target, seconds) == _shapes(target, 2 * seconds)
    fill, length = None, seconds
    if fixed:
        heard = target.heard_seconds(ENDLESS)
        length = heard if heard < ENDLESS else max(seconds, probing_seconds)
        fill = "stretch" if settings.fill == "auto" or length < seconds else settings.fill
        seconds = length if fill == "stretch" else seconds
    loud, soft, peak, less = (_input(target, seconds, level) for level in (LOUD, SOFT, PEAK, 2 * PEAK))
    removed = _alike(loud, soft)
    cut = not removed and _alike(peak, less)
    return Presentation(
        seconds, length, fill, seconds > settings.seconds and not fixed, removed, cut, _faint(target, seconds)
    )


def _accepted(target: Target, seconds: float) -> float:
    """Return the first of a duration and its doubles that the network takes."""
    while True:
        wave = waveform(Stimulus("noise", "white"), target.sample_rate, seconds, 0)
        try:
            with torch.inference_mode():
                target.forward(target.features([wave]))
            return seconds
        except (TargetError, RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if 2 * seconds > LONGEST:
                raise TargetError(
                    f"{target.describe()} takes no stimulus: it fails on noise of {seconds:g} s: {first_line(error)}"
                ) from error
            seconds *= 2


def _faint(target: Target, seconds: float) -> bool:
    """Return whether digital silence gives NaN, in what the network gets or gives."""
    made = target.features([np.zeros(round(seconds * target.sample_rate), np.float32)])
    with torch.inference_mode():
        outputs = target.forward(made)
    return not all(bool(torch.isfinite(x).all()) for x in (*tensors_in(made), *tensors_in(outputs)))


def _input(target: Target, seconds: float, level: float) -> list[torch.Tensor]:
    tone = Stimulus("tone", "tone", level, target.sample_rate / 16)
    made = target.features([waveform(tone, target.sample_rate, seconds, 0)])
    return [tensor.detach().float().cpu() for tensor in tensors_in(made)]


def _shapes(target: Target, seconds: float) -> list[tuple[int, ...]]:
    made = target.features([waveform(Stimulus("noise", "white", LEVEL), target.sample_rate, seconds, 0)])
    return [tuple(tensor.shape) for tensor in tensors_in(made)]


def _alike(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    if not one or len(one) != len(other):
        return False
    return all(
        a.shape == b.shape and float((a - b).abs().max()) <= SAME * max(float(a.abs().max()), 1e-12)
        for a, b in zip(one, other, strict=True)
    )


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in what a target's front end gives, however it packs them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, np.ndarray):
        yield torch.from_numpy(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)
    elif is_dataclass(value):
        yield from tensors_in(vars(value))
