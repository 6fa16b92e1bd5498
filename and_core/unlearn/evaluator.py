"""A target on its test split: clips decoded once, logits under any number of ablations,
the network never loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch

from and_core.audio.media import clip_wave
from and_core.config import make_config
from and_core.errors import ANDError, ConfigError, TargetError
from and_core.progress import Steps
from and_core.store.dissection import Dissection
from and_core.targets.ablate import Ablation, How
from and_core.targets.base import Target
from and_core.targets.loaded import open_target

KEEP_BYTES = 1 << 30  # network inputs kept in memory; a larger split is decoded anew for each call


class Cancelled(ANDError):
    """Stopped by the user."""


class Evaluator:
    """Logits of a test split.

    Parameters
    ----------
    target : Target
        Loaded.
    d : Dissection
        Whose clips are read.
    clips : (N,) int
        Tested clips.
    batch : int
        Clips a pass.
    """

    def __init__(self, target: Target, d: Dissection, clips: np.ndarray, batch: int = 16) -> None:
        self.target, self.clips = target, clips
        self._d = d
        self._starts = list(range(0, len(clips), batch))
        self._batch = batch
        self._kept: list[Any] | None = []
        self._means: dict[str, np.ndarray] | None = None
        self._held = 0

    def logits(
        self,
        masks: Sequence[Mapping[str, np.ndarray]],
        how: How = "weights",
        progress: Steps = lambda done, total: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> np.ndarray:
        """Return logits under each ablation; every batch is decoded once for all of them, and equal masks are run once.

        Parameters
        ----------
        masks : sequence of mapping
            Layer name -> (R,) bool; an empty one is the whole network.
        how : str
            See :class:`and_core.targets.ablate.Ablation`; ``mean`` patches to :meth:`means`.
        progress : callable
            Called with (batches done, batches in all), all ablations counted.
        stop : callable
            Asked before every batch; True ends the call.

        Returns
        -------
        (A, N, C) float32

        Raises
        ------
        Cancelled
            `stop` said so; the network is whole.
        TargetError
            The network gives NaN or infinite logits.
        """
        if not masks:
            raise ConfigError("there is nothing to ablate: no masks are given")
        points, means = self.target.hook_points(), self.means() if how == "mean" else None
        names = [_identity(m) for m in masks]
        first = {name: i for i, name in reversed(list(enumerate(names)))}
        distinct = sorted(first.values())
        ablations = [Ablation(points, masks[i], how, means) for i in distinct]
        logits: np.ndarray | None = None
        done, total = 0, len(distinct) * len(self._starts)
        for start, features in self._batches():
            for row, ablation in enumerate(ablations):
                if stop():
                    raise Cancelled("cancelled; nothing of this run is kept")
                with ablation, torch.inference_mode():
                    out = self.target.forward(features).float().cpu().numpy()
                if logits is None:
                    logits = np.empty((len(distinct), len(self.clips), out.shape[1]), np.float32)
                logits[row, start : start + len(out)] = out
                done += 1
                progress(done, total)
        assert logits is not None
        if not np.isfinite(logits).all():
            raise TargetError(f"{self.target.describe()} gives NaN or infinite logits under an ablation")
        return logits[[distinct.index(first[name]) for name in names]]

    def means(self) -> dict[str, np.ndarray]:
        """Return layer -> (R,) mean output of each neuron over all tokens of the clips that are not tested; of
        attention heads, of each value in their vectors.

        Computed once.
        """
        if self._means is None:
            sums: dict[str, np.ndarray] = {}
            counts: dict[str, int] = {}

            def add(name: str, tensor: torch.Tensor) -> None:
                flat = tensor.detach().flatten(0, -2).double()
                sums[name] = sums.get(name, np.zeros(flat.shape[1])) + flat.sum(0).cpu().numpy()
                counts[name] = counts.get(name, 0) + len(flat)

            others = np.setdiff1d(np.arange(len(self._d.clips)), self.clips)
            with ExitStack() as stack, torch.inference_mode():
                for name, point in self.target.hook_points().items():
                    stack.enter_context(point.attach(partial(add, name)))
                for start in range(0, len(others), self._batch):
                    self.target.forward(self._features(others[start : start + self._batch]))
            self._means = {name: (total / counts[name]).astype(np.float32) for name, total in sums.items()}
        return self._means

    def first(self) -> np.ndarray:
        """Return (B, C) logits of the first batch, with the network as it stands."""
        with torch.inference_mode():
            return self.target.forward(self._features(self.clips[: self._batch])).float().cpu().numpy()

    def _batches(self) -> Iterator[tuple[int, Any]]:
        if self._kept is not None and len(self._kept) == len(self._starts):
            yield from zip(self._starts, self._kept, strict=True)
            return
        kept: list[Any] | None = []
        self._held = 0
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._features, self.clips[: self._batch])
            for number, start in enumerate(self._starts):
                features = ahead.result()
                if number + 1 < len(self._starts):
                    after = self._starts[number + 1]
                    ahead = pool.submit(self._features, self.clips[after : after + self._batch])
                self._held += _bytes(features)
                if kept is not None and self._held <= KEEP_BYTES:
                    kept.append(features)
                else:
                    kept = None
                yield start, features
        self._kept = kept

    def _features(self, clips: np.ndarray) -> Any:
        return self.target.features([clip_wave(self._d, int(clip), self.target.sample_rate) for clip in clips])


def open_evaluator(d: Dissection, target: Target | None = None) -> Evaluator:
    """Return the target of a dissection on its test split, loaded as the dissection's configuration names it.

    Raises
    ------
    TargetError
        It can't be loaded, or it is not the network that was dissected.
    NotComputed
        The stage `split` has not been run.
    """
    clips = np.asarray(d.tested_clips)
    return Evaluator(
        open_target(d) if target is None else target, d, clips, make_config(d.manifest.config).activations.batch
    )


def _identity(masks: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(
        name.encode() + b"\0" + np.packbits(mask).tobytes() for name, mask in sorted(masks.items()) if mask.any()
    )


def _bytes(features: Any) -> int:
    if isinstance(features, torch.Tensor):
        return features.numel() * features.element_size()
    if isinstance(features, np.ndarray):
        return features.nbytes
    if isinstance(features, Mapping):
        return sum(_bytes(v) for v in features.values())
    return sum(_bytes(v) for v in features) if isinstance(features, list | tuple) else 0
