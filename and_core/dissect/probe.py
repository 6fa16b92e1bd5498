"""Which clips explanations are made from: all, or all but a split that is kept for testing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from and_core.config import ProbeConfig, UnlearningConfig
from and_core.errors import ConfigError
from and_core.records import Clip


def probe_mask(clips: Sequence[Clip], probe: ProbeConfig, seed: int = 0) -> np.ndarray:
    """Return (N,) bool: clips that may reach an explanation.

    Parameters
    ----------
    clips : sequence of Clip
    probe : ProbeConfig
        What is left out: folds, a share of the source recordings (a clip without one is a source of its own), or half
        of them.
    seed : int
        Of the draw of source recordings.

    Raises
    ------
    ConfigError
        Nothing is left, or what is to be left out is not there.
    """
    kept = np.ones(len(clips), bool)
    folds = {clip.fold for clip in clips}
    unknown = sorted(set(probe.without_folds) - folds)
    if unknown:
        raise ConfigError(
            f"probe.without_folds={unknown} are no folds of the probing dataset; it has: "
            f"{sorted(f for f in folds if f is not None)}"
        )
    kept &= np.array([clip.fold not in probe.without_folds for clip in clips], bool)
    if probe.without_share:
        names = [clip.source_name for clip in clips]
        sources = sorted(set(names))
        out = np.random.default_rng(seed).permutation(len(sources))[: max(1, round(probe.without_share * len(sources)))]
        drawn = {sources[i] for i in out}
        kept &= np.array([name not in drawn for name in names], bool)
    if probe.half is not None:
        kept &= first_half(clips, seed) == (probe.half == "first")
    if not kept.any():
        raise ConfigError(
            f"probe leaves no clip to explain from: without_folds={probe.without_folds}, "
            f"without_share={probe.without_share}, half={probe.half}"
        )
    return kept


def first_half(clips: Sequence[Clip], seed: int) -> np.ndarray:
    """Return (N,) bool: the first of two halves of the source recordings, drawn class by class so that both hold every
    class alike.

    A recording with clips of several classes goes where the first of them goes.
    """
    sources: dict[str, list[int]] = {}
    for clip in clips:
        sources.setdefault(clip.source_name, []).append(clip.index)
    by_class: dict[str, list[str]] = {}
    for name in sorted(sources):
        by_class.setdefault(clips[sources[name][0]].drawn_by, []).append(name)
    rng, first, into = np.random.default_rng(seed), np.zeros(len(clips), bool), 0
    for label in sorted(by_class):
        for i in rng.permutation(len(by_class[label])):
            first[sources[by_class[label][i]]] = into % 2 == 0
            into += 1  # counted on through the classes, so that odd ones even out
    return first


def without_tested(clips: Sequence[Clip], config: UnlearningConfig) -> ProbeConfig:
    """Return what is left out so that the tested split is never looked at: the tested folds, or a fifth of the sources
    where there are no folds.

    The tested folds are the configured ones, else those that the network was not trained on, else the first (as in the
    paper).

    Raises
    ------
    ConfigError
        Every fold would be tested, so none is left to choose neurons on.
    """
    folds = sorted({clip.fold for clip in clips if clip.fold is not None})
    tested = (
        config.test_folds
        or tuple(sorted({clip.fold for clip in clips if clip.trained is False and clip.fold is not None}))
        or tuple(folds[:1])
    )
    if len(folds) < 2 and not config.test_folds:
        return ProbeConfig(without_share=0.2)
    unknown = sorted(set(tested) - set(folds))
    if unknown:
        raise ConfigError(f"unlearning.test_folds={unknown} are no folds of the probing dataset; it has: {folds}")
    if set(folds) <= set(tested):
        raise ConfigError(
            f"unlearning.test_folds={sorted(tested)} leaves no fold to choose neurons on; there are: {folds}"
        )
    return ProbeConfig(without_folds=tested)


def both(one: ProbeConfig, other: ProbeConfig) -> ProbeConfig:
    """Return what leaves out all that either leaves out.

    Shares are drawn by one seed, so that the larger holds the smaller.
    """
    folds = tuple(sorted({*one.without_folds, *other.without_folds}))
    return ProbeConfig(
        without_folds=folds, without_share=max(one.without_share, other.without_share), half=other.half or one.half
    )
