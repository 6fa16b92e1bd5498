"""Pooling over time: what makes one value of a layer's values over a clip."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from and_core.errors import TargetError

if TYPE_CHECKING:
    import torch

Pooling = str | dict[str, str]
TOP = re.compile(r"top([1-9][0-9]?)")  # top10: the mean over the highest tenth


def chosen_pooling(pooling: Pooling, layer: str, default: str) -> str:
    """Return how a layer is pooled: the first pattern that matches its name, else the default.

    Examples
    --------
    >>> chosen_pooling({"conv*": "max"}, "conv1", "mean"), chosen_pooling("top10", "conv1", "mean")
    ('max', 'top10')
    """
    if isinstance(pooling, str):
        return pooling
    return next((how for pattern, how in pooling.items() if fnmatchcase(layer, pattern)), default)


def check_pooling(pooling: Pooling, allowed: Sequence[str]) -> None:
    """Raise where a way of pooling is not among those of a target.

    Raises
    ------
    TargetError
        The message names the layers' pattern, the value and what is allowed.
    """
    for pattern, how in pooling.items() if isinstance(pooling, Mapping) else [("", pooling)]:
        if how not in allowed and not TOP.fullmatch(how):
            which = f"target.pooling[{pattern!r}]" if pattern else "target.pooling"
            reason = ": the network has no class token" if how == "cls" else ""
            raise TargetError(
                f"{which}={how!r}{reason}; allowed: {', '.join(allowed)}, and top1 to top99 (the mean over the "
                "highest so many percent)"
            )


def describe_pooling(pooling: Pooling, default: str) -> str:
    """Return ways of pooling as one text.

    Examples
    --------
    >>> describe_pooling({"gru": "max"}, "mean")
    'gru: max, others: mean'
    """
    if isinstance(pooling, str):
        return pooling
    return ", ".join([*(f"{pattern}: {how}" for pattern, how in pooling.items()), f"others: {default}"])


def pool_tokens(tokens: torch.Tensor, how: str, special: int = 0) -> torch.Tensor:
    """Return (B, R) from (B, T, R).

    Parameters
    ----------
    how : str
        ``mean``, ``max`` or ``first`` of the tokens after the special ones; ``topN``: the mean over the highest N
        percent of them, each unit's own, at least one; ``cls`` and ``reference``: the first of all.
    special : int
        Special tokens, which stand first.
    """
    if how in ("cls", "reference"):
        return tokens[:, 0]
    patches = tokens[:, special:]
    if how == "first":
        return patches[:, 0]
    if how == "mean":
        return patches.mean(1)
    if how == "max":
        return patches.amax(1)
    top = TOP.fullmatch(how)
    if top is None:
        raise TargetError(f"pooling={how!r} is not known")
    return patches.topk(math.ceil(int(top[1]) / 100 * patches.shape[1]), dim=1).values.mean(1)
