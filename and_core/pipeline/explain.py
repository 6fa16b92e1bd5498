"""The one-line way in: a network, what prepares sound for it, and a folder of sounds; all else by default."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from and_core.config import make_config
from and_core.pipeline.run import run
from and_core.store.dissection import Dissection, open_dissection
from and_core.targets.base import TARGETS
from and_core.targets.bound import Prepare
from and_core.targets.pooling import describe_pooling


def explain_network(
    network: nn.Module,
    prepare: Prepare,
    sounds: str | Path,
    *,
    classes: list[str] | None = None,
    classifier: str | None = None,
    rate: int = 16_000,
    name: str | None = None,
    root: Path | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    **settings: Any,
) -> Dissection:
    """Dissect a network over a folder of sounds, and return the dissection.

    A second call with the same network and sounds computes nothing.

    Parameters
    ----------
    network : torch.nn.Module
        Called with what `prepare` gives, returns logits (B, C), or token states (B, T, D) without a classifier.
    prepare : callable
        (B, samples) float32 waveforms of one length at `rate` -> tensor, batch first.
    sounds : path
        Folder of audio files; with a folder per class, the folders' names are the labels.
    classes : list of str, optional
        Names of the classifier's units.
    classifier : str, optional
        Dotted name of the layer with one unit a class; by default, where there are classes, the last linear layer with
        as many units.
    rate : int
        Hz.
    name : str, optional
        Of the dissection; by default the network's class and the folder.
    root : Path, optional
        Cache folder; default ``AND_CACHE`` or ``cache/``.
    say : callable
        Takes the defaults and other remarks, a line each. Default: to standard error.
    **settings
        Any other part of a configuration, such as ``k=10`` or ``captions={"kind": "file", "path": "captions.json"}``;
        ``target={"pooling": "max"}`` adds to the target's own.

    Raises
    ------
    ANDError
        With the reason, named before the network runs over the sounds where it can be known.

    Examples
    --------
    >>> d = explain_network(network, prepare, "sounds/")  # doctest: +SKIP
    >>> d.headline("0/3").text  # doctest: +SKIP
    """
    folder = Path(sounds).expanduser().resolve()
    if classifier is None and classes is not None:
        classifier = _last_linear(network, len(classes))
    title = type(network).__name__
    raw = {
        "name": name or _name(f"{title}-{folder.name}"),
        "dataset": {"kind": "folder", "path": str(folder)},
        **settings,
        "target": {
            "kind": "module", "title": title, "rate": rate, "classifier": classifier, **settings.get("target", {}),
        },
    }  # fmt: skip
    config = make_config(raw)
    target: Any = TARGETS.create(config.target)
    target.bind(network, prepare, classes)
    pooling = describe_pooling(target.settings.pooling, target.default_pooling)
    say(
        f"{config.name}: clips of {folder} at {rate} Hz; classifier {classifier or 'none'}; {pooling} "
        f"over time; captions by {config.captions.kind}, summaries by {config.summarizer.kind}, texts read by "
        f"{config.encoder.kind}; the {config.k} highest and lowest clips; seed {config.seed}"
    )
    outcome = run(config, root=root, say=say, target=target)
    return open_dissection(config.name, root=outcome.folder.parent)


def _last_linear(network: nn.Module, units: int) -> str | None:
    fitting = [
        name
        for name, module in network.named_modules()
        if name and isinstance(module, nn.Linear) and module.out_features == units
    ]
    return fitting[-1] if fitting else None


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:60] or "network"
