"""Read or replace the outputs of modules during forward passes, by hooks that go away whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from and_core.targets.points import HookPoint

Pool = Callable[[torch.Tensor, str], torch.Tensor]
Watch = Callable[[str, torch.Tensor, torch.Tensor, int], None]


def owned(output: torch.Tensor) -> torch.Tensor:
    """Copy an output to the CPU as float32, in storage of its own.

    On a CPU a plain ``.to`` gives a view: what the network goes on to change in place (a ReLU, a residual) would change
    it too, and a view of one token keeps the whole token map alive.
    """
    return output.to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)


@contextmanager
def hooked(modules: Mapping[str, torch.nn.Module], on_output: Callable[[str, Any], Any]) -> Iterator[None]:
    """Call `on_output` with the name and the output of each module whenever it has run.

    Parameters
    ----------
    modules : mapping of str to torch.nn.Module
        Name -> module.
    on_output : callable
        (name, output) -> None, or what stands in place of the output from there on.
    """
    handles = []
    try:
        for name, module in modules.items():
            handles.append(
                module.register_forward_hook(lambda module, args, output, name=name: on_output(name, output))
            )
        yield
    finally:
        for handle in handles:
            handle.remove()


class StopForward(Exception):
    """Raised inside a forward pass once the last wanted layer has spoken."""


class Capture(AbstractContextManager["Capture"]):
    """Collect the pooled activations of layers during forward passes.

    Parameters
    ----------
    points : mapping of str to HookPoint or torch.nn.Module
        Layer name -> where it is read; a linear, convolution or recurrent module is read at its output.
    pool : callable
        Values (B, ..., R) and the layer's name -> (B, R); applied inside the hook, so whole token maps are never kept.
    stop_after : str, optional
        Layer after whose output the forward pass is abandoned (callers catch :class:`StopForward` through :meth:`run`).
    watch : callable, optional
        Called with the layer's name, its values (B, ..., R), the pooled ones (B, R), and how many clips of this run the
        layer has given before.

    Attributes
    ----------
    outputs : dict of str to torch.Tensor
        Layer name -> (B, R) float32 on the CPU, of the last call of :meth:`run` (all its passes joined); values of its
        own, not the network's.
    """

    def __init__(
        self,
        points: Mapping[str, HookPoint | torch.nn.Module],
        pool: Pool,
        stop_after: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.points, self.pool, self.stop_after, self.watch = points, pool, stop_after, watch
        self.outputs: dict[str, torch.Tensor] = {}
        self._parts: dict[str, list[torch.Tensor]] = {}
        self._hooks = ExitStack()

    def __enter__(self) -> Capture:
        from and_core.targets.points import reading

        self._hooks.enter_context(reading(self.points, self._collect))
        return self

    def __exit__(self, *exc: object) -> None:
        self._hooks.close()

    def run(self, forward: Callable[[], Any]) -> Any:
        """Call `forward` without gradients; its result, or None where the pass stopped early."""
        self._parts = {}
        result = None
        with torch.inference_mode(), suppress(StopForward):
            result = forward()
        self.outputs = {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in self._parts.items()}
        return result

    def _collect(self, name: str, activation: torch.Tensor) -> None:
        parts = self._parts.setdefault(name, [])
        pooled = owned(self.pool(activation, name))
        if self.watch is not None:
            self.watch(name, activation, pooled, sum(len(part) for part in parts))
        parts.append(pooled)
        if name == self.stop_after:
            raise StopForward
