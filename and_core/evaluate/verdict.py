"""What supports a concept that is said of a neuron: named on one half of the recordings, judged on the other, both
ways round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from and_core.errors import ConfigError
from and_core.evaluate.ears import Draw, best_of_draws, rank_shares, softmax
from and_core.evaluate.metrics import unit_rows

FEATURES = ("share", "distance", "pearson", "margin")
FLOOR = 0.02  # added to a share and to what is left of it, before its log odds are taken
DRAWS = 30


@dataclass(frozen=True)
class Named:
    """Concepts that one method says of neurons: from all clips, and from each half of the recordings.

    Attributes
    ----------
    shown, first, second : (R,) int
        Number of the concept, -1 where it says none.
    """

    shown: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class HeldHalf:
    """One half of the recordings.

    Attributes
    ----------
    clips : (n,) int
        Clip numbers.
    presence : (n, M) float32
        Probability that each clip holds each concept, as the ears hear it.
    draws : sequence of Draw
        Of what may be true of these clips.
    """

    clips: np.ndarray
    presence: np.ndarray
    draws: Sequence[Draw]


def check_judge(named_by: str, named_on: np.ndarray, judged_by: str, judged_on: np.ndarray) -> None:
    """Raise where the part that named a concept would judge it on the same clips.

    Parameters
    ----------
    named_by, judged_by : str
        Ears, or ``labels``.
    named_on, judged_on : (n,) int
        Clip numbers.

    Raises
    ------
    ConfigError
        They are one and the same, and some of the clips too.

    Examples
    --------
    >>> check_judge("sounds", np.array([0, 1]), "sounds", np.array([2, 3]))
    >>> check_judge("sounds", np.array([0, 1]), "sounds", np.array([1, 2]))
    Traceback (most recent call last):
    and_core.errors.ConfigError: judge='sounds' named the concepts on 1 of these clips: judge on other recordings
    """
    same = len(np.intersect1d(named_on, judged_on))
    if named_by == judged_by and same:
        raise ConfigError(f"judge={judged_by!r} named the concepts on {same} of these clips: judge on other recordings")


def pair_of_halves(
    clips: np.ndarray, first: np.ndarray, odds: np.ndarray, draws: Sequence[Sequence[Draw]]
) -> tuple[HeldHalf, HeldHalf]:
    """Return both halves.

    Parameters
    ----------
    clips : (n,) int
        Clips that may be looked at.
    first : (N,) bool
        Clips of the first half.
    odds : (N, M)
        Log odds of every clip.
    draws : two sequences of Draw
        Of the clips of each half, in their order.
    """
    parts = (clips[first[clips]], clips[~first[clips]])
    halves = tuple(HeldHalf(part, softmax(odds[part]), drawn) for part, drawn in zip(parts, draws, strict=True))
    return halves[0], halves[1]


def named_by_presence(u: np.ndarray, halves: tuple[HeldHalf, HeldHalf]) -> Named:
    """Name the concept whose presence goes with a neuron's activation most closely (Pearson), over all clips and over
    each half.

    Parameters
    ----------
    u : (R, N) float32
        Activations on all clips.
    """
    both = np.concatenate([half.clips for half in halves])
    presence = np.concatenate([half.presence for half in halves])
    return Named(
        _correlations(u[:, both], presence).argmax(1),
        *(_correlations(u[:, half.clips], half.presence).argmax(1) for half in halves),
    )


def _correlations(u: np.ndarray, presence: np.ndarray) -> np.ndarray:
    return unit_rows(np.asarray(u, np.float32)) @ unit_rows(np.ascontiguousarray(presence.T)).T


def evidence(
    u: np.ndarray, halves: tuple[HeldHalf, HeldHalf], methods: Mapping[str, Named]
) -> dict[str, dict[str, np.ndarray]]:
    """Return for each method what supports the concept that it says of each neuron.

    A half counts where the other half names the same concept, and as nothing where it does not.

    Parameters
    ----------
    u : (R, N) float32
        Activations of a block of neurons.

    Returns
    -------
    dict of str to dict of str to (R,) float
        ``share``: log odds of the share of draws in which the concept is the neuron's best by area under the ROC
        curve; ``distance``: that area's distance from chance in standard deviations; ``pearson``: correlation of
        activation and presence; ``margin``: by how much this exceeds that of any other concept. NaN where nothing is
        said.
    """
    rows = np.arange(len(u))
    results = {name: np.zeros((len(FEATURES), len(u))) for name in methods}
    for half, other in ((halves[1], "first"), (halves[0], "second")):
        part = np.ascontiguousarray(u[:, half.clips], np.float32)
        share, distance = best_of_draws(rank_shares(part), half.draws)
        pearson = _correlations(part, half.presence)
        for name, named in methods.items():
            agrees = (getattr(named, other) == named.shown) & (named.shown >= 0)
            at = np.maximum(named.shown, 0)
            margin = pearson[rows, at] - _best_other(pearson, at)
            for f, values in enumerate((share[rows, at], distance[rows, at], pearson[rows, at], margin)):
                results[name][f] += np.where(agrees, values, 0) / 2
    features = {}
    for name, named in methods.items():
        share, *others = np.where(named.shown >= 0, results[name], np.nan)
        odds = np.log((share + FLOOR) / (1 - share + FLOOR))
        features[name] = dict(zip(FEATURES, (odds, *others), strict=True))
    return features


def _best_other(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (R,) largest of the values (R, M) in each row but the one at a place (R,); 0 where it is the only one."""
    if values.shape[1] < 2:
        return np.zeros(len(values))
    others = values.copy()
    others[np.arange(len(values)), at] = -np.inf
    return np.asarray(others.max(1))
