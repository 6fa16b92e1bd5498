"""Finding hook points: one pass over noise says what runs, how often, and what each module gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from and_core.errors import TargetError
from and_core.targets.attention import find_heads
from and_core.targets.hooks import hooked
from and_core.targets.points import CHANNELS_FIRST, HEADS, RECURRENT, HookPoint, Part

DEPTH = 3  # of tuples and dicts in an output
CLOSE = 6  # names that a message gives
WHOLE = "network"  # what the network itself is called


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module in a forward pass.

    Attributes
    ----------
    name : str
        Dotted; the network itself has none.
    number : int
        Of the call, from 1.
    shapes : dict of tuple to tuple
        Way to a floating tensor in the output -> its shape.
    """

    name: str
    module: nn.Module
    number: int
    shapes: dict[Part, tuple[int, ...]]


def record_calls(network: nn.Module, forward: Callable[[], Any]) -> tuple[list[ModuleCall], Any]:
    """Return the calls of a forward pass in the order in which they end, and its result."""
    calls: list[ModuleCall] = []
    modules = dict(network.named_modules())
    counts: Counter[str] = Counter()

    def note(name: str, output: Any) -> None:
        counts[name] += 1
        calls.append(ModuleCall(name, modules[name], counts[name], dict(_tensors(output))))

    with hooked(modules, note), torch.inference_mode():
        result = forward()
    return calls, result


def of_sound(one: Sequence[ModuleCall], two: Sequence[ModuleCall]) -> list[ModuleCall]:
    """Return calls with the tensors that grow with the number of clips: a position, or a weight that is made anew, is
    the same for every sound.

    Parameters
    ----------
    one, two : sequence of ModuleCall
        Of a pass over one clip, and over two of them.
    """
    doubled = {(call.name, call.number): call.shapes for call in two}
    return [
        replace(
            call,
            shapes={
                part: shape
                for part, shape in call.shapes.items()
                if any(
                    2 * a == b
                    for a, b in zip(shape, doubled.get((call.name, call.number), {}).get(part, ()), strict=False)
                )
            },
        )
        for call in one
    ]


def runs_once(calls: Sequence[ModuleCall], kinds: tuple[type[nn.Module], ...]) -> list[str]:
    """Return names of the modules of some kinds that run exactly once, in order."""
    counts = Counter(call.name for call in calls)
    return [call.name for call in calls if call.name and isinstance(call.module, kinds) and counts[call.name] == 1]


def further_points(
    network: nn.Module,
    calls: Sequence[ModuleCall],
    *,
    unit_axes: Mapping[str, int],
    heads: Mapping[str, int],
    token_axis: int = 1,
) -> dict[str, HookPoint]:
    """Return every place that can be read, by name and in the order in which they are reached.

    ``NAME`` is a module's output, ``NAME#2`` that of its second call where there are several, ``NAME:PART`` a tensor of
    an output that is a tuple or a dict, ``NAME:heads`` its attention heads.

    Parameters
    ----------
    unit_axes : mapping of str to int
        Patterns of names -> axis of the units, where it is not what would be taken.
    heads : mapping of str to int
        See :func:`and_core.targets.attention.find_heads`.
    token_axis : int
        0 where tokens come before the batch.
    """
    counts = Counter(call.name for call in calls)
    batch_axis = 1 - token_axis
    by_projection = {
        id(module): (name, module, count)
        for name, (module, count) in find_heads(dict(network.named_modules()), heads).items()
    }
    points: dict[str, HookPoint] = {}
    known: list[tuple[tuple[int, ...], int]] = []  # shapes of the outputs before, with the axis of their units
    for call in calls:
        several = f"#{call.number}" if counts[call.name] > 1 else ""
        number = call.number if several else None
        if id(call.module) in by_projection:
            name, module, count = by_projection[id(call.module)]
            first = _batch_axis(module, (0,), batch_axis)
            place = f"{name}{several}:{HEADS}"
            points[place] = HookPoint(
                place, module, count, heads=True, batch_axis=first, call=number, root=network if number else None
            )
        for part, shape in call.shapes.items():
            if len(shape) < 2:
                continue
            place = "".join((call.name or WHOLE, several, *(f":{key}" for key in part)))
            axis = next((a for pattern, a in unit_axes.items() if fnmatchcase(place, pattern)), None)
            if axis is not None and not -len(shape) <= axis < len(shape):
                raise TargetError(f"target.unit_axes: {place} has {len(shape)} axes; {axis} is none of them")
            axis = _unit_axis(call.module, part, shape, known) if axis is None else axis % len(shape)
            known.append((shape, axis))
            first = _batch_axis(call.module, part, batch_axis)
            points[place] = HookPoint(
                place,
                call.module,
                shape[axis],
                axis=axis - len(shape) if axis == len(shape) - 1 else axis,
                batch_axis=first if len(shape) == 3 else 0,
                part=part,
                call=number,
                root=network if number else None,
            )
    return points


def choose_points(points: Mapping[str, HookPoint], patterns: Sequence[str]) -> dict[str, HookPoint]:
    """Return the places that patterns name.

    Raises
    ------
    TargetError
        A pattern names none; the message gives the nearest.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in points):
            near = get_close_matches(pattern, points, CLOSE, 0.3) or list(points)[:CLOSE]
            raise TargetError(
                f"target.hook_points={pattern!r} matches nothing that runs; among the {len(points)} there are: "
                f"{', '.join(near)}"
            )
    return {name: point for name, point in points.items() if any(fnmatchcase(name, p) for p in patterns)}


def in_running_order(points: Sequence[HookPoint], calls: Sequence[ModuleCall]) -> list[HookPoint]:
    """Return hook points sorted by when they are reached; heads stand before the projection that takes them in."""
    ends = {(id(call.module), call.number): place for place, call in enumerate(calls)}
    return sorted(points, key=lambda p: (ends.get((id(p.module), p.call or 1), len(calls)), not p.heads))


def _batch_axis(module: nn.Module, part: Part, of_others: int) -> int:
    """Return the axis of the batch in a tensor of three axes: as the module says it, else that of the other layers."""
    if isinstance(module, RECURRENT) and part != (0,):
        return 1  # last states: layers come before the batch, whatever the order over time
    if isinstance(module, nn.MultiheadAttention) and part == (1,):
        return 0  # attention weights, clips first whatever the order of tokens
    if isinstance(module, (nn.MultiheadAttention, *RECURRENT)):
        return int(not module.batch_first)
    return of_others


def _unit_axis(
    module: nn.Module, part: Part, shape: tuple[int, ...], known: Sequence[tuple[tuple[int, ...], int]]
) -> int:
    """Return the axis of the units: what the kind of module says, else that of the nearest output before with as many
    axes and as many units, else channels first in a picture and last elsewhere."""
    last = len(shape) - 1
    if isinstance(module, (nn.Linear, nn.LayerNorm, nn.MultiheadAttention, *RECURRENT)) or len(shape) == 2:
        return last
    if isinstance(module, CHANNELS_FIRST):
        return 1
    for before, axis in reversed(known):
        if before == shape:
            return axis
    for before, axis in reversed(known):
        if len(before) == len(shape) and axis != 0 and before[axis] == shape[axis]:
            return axis
    return 1 if len(shape) >= 4 else last


def _tensors(output: Any, part: Part = ()) -> Iterator[tuple[Part, tuple[int, ...]]]:
    if isinstance(output, torch.Tensor):
        if output.is_floating_point():
            yield part, tuple(output.shape)
    elif len(part) < DEPTH and not isinstance(output, PackedSequence):
        pairs: Any = ()
        if isinstance(output, Mapping):
            pairs = output.items()
        elif is_dataclass(output):
            pairs = ((field.name, getattr(output, field.name)) for field in fields(output))
        elif isinstance(output, tuple | list):
            pairs = enumerate(output)
        for key, value in pairs:
            yield from _tensors(value, (*part, key))
