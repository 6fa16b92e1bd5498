"""A trial before anything is stored: a clip's activations must not depend on the clips beside it in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from and_core.errors import TargetError, first_line
from and_core.targets.base import Target
from and_core.targets.hooks import Capture

# of the distance between clips that a clip may move when others stand beside it; batches are summed in another order
APART = 0.02
AGREES = 1e-3  # of the largest output: as much may a second call differ by
ROUNDING = 1e-4  # of the largest activation
LONGEST = 30.0  # seconds


def trial_clips(rate: int, seconds: float) -> list[np.ndarray]:
    """Return three clips (samples,) of different content: noise, a chord in noise, clicks."""
    rng = np.random.default_rng(0)
    count = max(1, round(min(seconds, LONGEST) * rate))
    time = np.arange(count) / rate
    noise = 0.1 * rng.standard_normal(count)
    chord = 0.02 * rng.standard_normal(count) + sum(
        0.1 * np.sin(2 * np.pi * hz * time) for hz in (220.0, 550.0, 1330.0)
    )
    clicks = 0.01 * rng.standard_normal(count)
    clicks[:: max(1, rate // 7)] += 0.8
    return [wave.astype(np.float32) for wave in (noise, chord, clicks)]


def check_company(target: Target, seconds: float) -> None:
    """Compare a clip's activations and outputs on two calls, and the activations of two and of three clips in one batch
    with those of each clip alone.

    Parameters
    ----------
    target : Target
        Loaded.
    seconds : float
        Length of the clips to try, as it occurs in the probing dataset; at most 30 s.

    Raises
    ------
    TargetError
        The network fails on clips of this length, is random, gives another number of rows than there are clips, or a
        layer's activations differ.
    """
    clips = trial_clips(target.sample_rate, seconds)
    passes = [_pass(target, [clip], seconds) for clip in clips]
    _check_repeats(target, passes[0], _pass(target, clips[:1], seconds))
    alone = [outputs for outputs, _ in passes]
    for count in (2, 3):
        together, _ = _pass(target, clips[:count], seconds)
        for layer, values in together.items():
            if len(values) != count:
                raise TargetError(
                    f"layer {layer} of {target.describe()} gives {len(values)} rows for {count} clips{_hint(target)}"
                )
            single = torch.cat([own[layer] for own in alone[:count]])
            spread = float((single.amax(0) - single.amin(0)).max())
            moved = float((values - single).abs().max())
            if not moved <= APART * spread + ROUNDING * float(single.abs().max()):
                raise TargetError(
                    f"layer {layer} of {target.describe()} gives a clip other activations beside {count - 1} other "
                    "clips than alone "
                    f"(by {moved:.3g}; clips differ by {spread:.3g}): clips are mixed with one another{_hint(target)}"
                )


def _check_repeats(
    target: Target, one: tuple[dict[str, torch.Tensor], Any], two: tuple[dict[str, torch.Tensor], Any]
) -> None:
    pairs = [(one[0][layer], two[0][layer]) for layer in one[0]]
    if isinstance(one[1], torch.Tensor):
        pairs.append((one[1].float(), two[1].float()))
    for first, second in pairs:
        moved = float((first - second).abs().max())
        if not moved <= AGREES * float(first.abs().max()) + 1e-6:
            raise TargetError(
                f"{target.describe()} gives other outputs on a second call with the same sound (by {moved:.3g}): "
                "something random, such as dropout, is on in evaluation mode"
            )


def _pass(target: Target, clips: list[np.ndarray], seconds: float) -> tuple[dict[str, torch.Tensor], Any]:
    """Return layer -> (clips, R), and the network's outputs."""
    with Capture(target.hook_points(), target.pool) as capture:
        try:
            logits = capture.run(lambda: target.forward(target.features(clips)))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            raise TargetError(
                f"{target.describe()} fails on {len(clips)} clips of {min(seconds, LONGEST):g} s: {first_line(error)}"
            ) from error
        return capture.outputs, logits


def _hint(target: Target) -> str:
    settings: Any = target.settings
    axis = getattr(settings, "token_axis", None)
    return (
        ""
        if axis is None
        else f"; is target.token_axis={axis} right? {1 - axis} is for layers that give "
        f"{'tokens' if axis else 'the batch'} first"
    )
