"""Hook points: the places in a network whose values are a layer's activations, to be read or replaced there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from and_core.errors import TargetError
from and_core.targets.attention import AttentionTap

Part = tuple[str | int, ...]
OnTensor = Callable[[torch.Tensor], torch.Tensor | None]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
RECURRENT = (nn.RNN, nn.GRU, nn.LSTM)
CHANNELS_FIRST = (
    *CONVOLUTIONS, nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.GroupNorm
)  # fmt: skip
HEADS = "heads"


@dataclass(frozen=True)
class HookPoint:
    """A place in a network.

    Attributes
    ----------
    name : str
        Of the layer.
    module : torch.nn.Module
        Whose output is read; with `heads`, whose input: the projection after the attention (or the whole of a
        :class:`torch.nn.MultiheadAttention`).
    size : int
        Units: neurons, or attention heads.
    axis : int
        Axis of the units in the tensor, counted as the module gives it.
    batch_axis : int
        Axis of the batch in it: 1 where tokens come first.
    part : tuple of str or int
        Way to the tensor in an output that is a tuple or a dict; nothing: the output itself.
    call : int or None
        Which call of the module in a forward pass, from 1; None: its only one.
    heads : bool
        A unit is an attention head: its activation at a token is the length of the vector that it hands on.
    root : torch.nn.Module or None
        Network whose calls begin a forward pass; needed where calls are counted.
    """

    name: str
    module: nn.Module
    size: int
    axis: int = -1
    batch_axis: int = 0
    part: Part = ()
    call: int | None = None
    heads: bool = False
    root: nn.Module | None = None

    @property
    def holds_weights(self) -> bool:
        """Whether the units are the outputs of the module's own parameters, so that these silence them."""
        plain = self.call is None and not self.heads
        if isinstance(self.module, RECURRENT):
            return plain and self.part == (0,)
        return plain and not self.part and isinstance(self.module, (nn.Linear, *CONVOLUTIONS))

    def activation(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the units' values (B, ..., units) from the tensor of :meth:`attach`."""
        return tensor.unflatten(-1, (self.size, -1)).norm(dim=-1) if self.heads else tensor

    @contextmanager
    def attach(self, on_tensor: OnTensor) -> Iterator[None]:
        """Call `on_tensor` with the tensor of each forward pass, batch first and units last; what it returns stands in
        place of the tensor from there on.

        With `heads`, the last axis holds the heads' vectors one after the other.
        """
        with ExitStack() as stack:
            count = _counted(self, stack)
            if self.heads and isinstance(self.module, nn.MultiheadAttention):
                stack.enter_context(
                    AttentionTap.listening(self.module, lambda heads: self._seen(heads, on_tensor) if count() else None)
                )
            elif self.heads:
                stack.callback(
                    self.module.register_forward_pre_hook(
                        lambda module, args, kwargs: self._input(args, kwargs, on_tensor) if count() else None,
                        with_kwargs=True,
                    ).remove
                )
            else:
                stack.callback(
                    self.module.register_forward_hook(
                        lambda module, args, output: self._output(output, on_tensor) if count() else None
                    ).remove
                )
            yield

    def tensor_in(self, output: Any) -> torch.Tensor:
        """Return the tensor in a module's output.

        Raises
        ------
        TargetError
            It is not there, or it is no tensor.
        """
        value = output
        for key in self.part:
            try:
                value = getattr(value, key) if isinstance(key, str) and is_dataclass(value) else value[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                raise TargetError(f"layer {self.name}: the output has no part {key!r} in this pass") from None
        if not self.part and isinstance(value, tuple) and value:
            value = value[0]
        if isinstance(value, PackedSequence) and isinstance(self.module, RECURRENT):
            value, _ = pad_packed_sequence(value, batch_first=self.module.batch_first)
        if not isinstance(value, torch.Tensor):
            raise TargetError(f"layer {self.name} gives {type(value).__name__}; a tensor is expected")
        return value

    def _output(self, output: Any, on_tensor: OnTensor) -> Any:
        changed = self._seen(self.tensor_in(output), on_tensor)
        if changed is None:
            return None
        part = self.part or ((0,) if isinstance(output, tuple) else ())
        if isinstance(self.module, RECURRENT) and part == (0,):
            return _with_states(self.module, output, changed)
        return _put(output, part, changed)

    def _input(self, args: tuple[Any, ...], kwargs: dict[str, Any], on_tensor: OnTensor) -> Any:
        key = None if args else next(iter(kwargs))
        changed = self._seen(kwargs[key] if key is not None else args[0], on_tensor)
        if changed is None:
            return None
        return ((changed, *args[1:]), kwargs) if key is None else (args, {**kwargs, key: changed})

    def _seen(self, tensor: torch.Tensor, on_tensor: OnTensor) -> torch.Tensor | None:
        units = tensor.ndim + self.axis if self.axis < 0 else self.axis
        first = self.batch_axis if tensor.ndim > 2 else 0
        order = [first, *(i for i in range(tensor.ndim) if i not in (first, units)), units]
        changed = on_tensor(tensor.permute(order))
        if changed is None:
            return None
        back = [0] * len(order)
        for place, axis in enumerate(order):
            back[axis] = place
        return changed.permute(back)


def point_of(name: str, module: nn.Module) -> HookPoint:
    """Return the hook point of a linear, convolution or recurrent layer.

    Raises
    ------
    TargetError
        The module is none of these.
    """
    if isinstance(module, RECURRENT):
        size = (module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1)
        return HookPoint(name, module, size, part=(0,), batch_axis=0 if module.batch_first else 1)
    if isinstance(module, CONVOLUTIONS):
        return HookPoint(name, module, module.out_channels, axis=1)
    if not hasattr(module, "out_features"):
        raise TargetError(
            f"layer {name} is {type(module).__name__}; a linear, convolution or recurrent one is expected"
        )
    return HookPoint(name, module, int(module.out_features))  # type: ignore[arg-type]


def as_points(modules: Mapping[str, nn.Module | HookPoint]) -> dict[str, HookPoint]:
    """Return hook points, of plain modules too."""
    return {n: m if isinstance(m, HookPoint) else point_of(n, m) for n, m in modules.items()}


@contextmanager
def reading(
    points: Mapping[str, nn.Module | HookPoint], on_activation: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """Call `on_activation` with the name and the values (B, ..., units) of each hook point whenever it has run."""
    with ExitStack() as stack:
        for name, point in as_points(points).items():
            stack.enter_context(
                point.attach(lambda tensor, name=name, point=point: on_activation(name, point.activation(tensor)))  # type: ignore[misc]
            )
        yield


def _counted(point: HookPoint, stack: ExitStack) -> Callable[[], bool]:
    """Return a function that is told of each call of the module and says whether it is the wanted one."""
    if point.call is None:
        return lambda: True
    calls = [0]

    def begin(*_: Any) -> None:
        calls[0] = 0

    root = point.root
    parts = list(root.children()) if isinstance(root, nn.ModuleDict) else [root]  # a dict is never called itself
    for part in parts:
        if part is not None:
            stack.callback(part.register_forward_pre_hook(begin).remove)

    def wanted() -> bool:
        calls[0] += 1
        return calls[0] == point.call

    return wanted


def _put(output: Any, part: Part, value: torch.Tensor) -> Any:
    """Return an output with another tensor at a place; tuples, lists and dicts of transformers and others."""
    if not part:
        return value
    key, rest = part[0], part[1:]
    if is_dataclass(output) and not isinstance(output, Mapping):
        return replace(output, **{str(key): _put(getattr(output, str(key)), rest, value)})  # type: ignore[type-var]
    inner = _put(output[key], rest, value)
    if isinstance(output, tuple):
        items = [inner if i == key else item for i, item in enumerate(output)]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    if isinstance(output, list):
        return [inner if i == key else item for i, item in enumerate(output)]
    return type(output)(**{**output, key: inner}) if hasattr(output, "to_tuple") else {**output, key: inner}


def _with_states(module: nn.RNNBase, output: Any, states: torch.Tensor) -> Any:
    """Return a recurrent layer's output with other states over time, and last hidden states that agree with them: what
    reads the last state must not see what was silenced."""
    made: Any = states
    time = (1 if module.batch_first else 0) if states.ndim == 3 else 0
    in_order = states.movedim(time, 0)
    ends = in_order[-1]
    if isinstance(output[0], PackedSequence):
        _, lengths = pad_packed_sequence(output[0])
        ends = in_order[lengths - 1, torch.arange(len(lengths))]
        made = pack_padded_sequence(
            states, lengths, batch_first=module.batch_first, enforce_sorted=output[0].sorted_indices is None
        )
    last = output[1][0] if isinstance(module, nn.LSTM) else output[1]
    half = states.shape[-1] // (2 if module.bidirectional else 1)
    own = [ends[..., :half]] + ([in_order[0][..., half:]] if module.bidirectional else [])
    hidden = torch.cat([last[: len(last) - len(own)], torch.stack(own)])
    return made, (hidden, output[1][1]) if isinstance(module, nn.LSTM) else hidden
