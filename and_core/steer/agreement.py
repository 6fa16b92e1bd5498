"""Whether what neurons are said to fire on is what they do: the concept of a headline beside the class moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

NAMED = 1  # headlines of a layer, from which a share is given


@dataclass(frozen=True)
class Agreement:
    """One layer.

    Attributes
    ----------
    headlines : int
        Neurons that are named with confidence after one of the network's classes.
    agree : int
        Of these, those whose class is the one moved up most.
    low, high : float
        Wilson's 95 % interval of their share.
    chance : float
        Share to be expected if the same headlines stood at each other's neurons.
    inert : int
        Of these, those that move no class further than random directions do.
    """

    headlines: int
    agree: int
    low: float
    high: float
    chance: float
    inert: int


def agreement(named: Sequence[frozenset[int]], up: np.ndarray, effective: np.ndarray) -> Agreement:
    """Compare the classes that headlines name with the class that each neuron moves up most.

    Parameters
    ----------
    named : sequence of frozenset of int, R
        Classes that the neuron's headline names; empty where it names none with confidence.
    up : (R,) int
        Class moved up most.
    effective : (R,) bool
        Whether the neuron moves a class further than random directions do.

    Examples
    --------
    >>> a = agreement([frozenset({0}), frozenset({1}), frozenset()], np.array([0, 0, 1]), np.array([True, False, True]))
    >>> a.headlines, a.agree, a.chance, a.inert
    (2, 1, 0.5, 1)
    """
    rows = [i for i, classes in enumerate(named) if classes]
    if len(rows) < NAMED:
        return Agreement(0, 0, float("nan"), float("nan"), float("nan"), 0)
    right = [int(up[i]) in named[i] for i in rows]
    own = up[rows]
    by_chance = float(np.mean([np.isin(own, list(named[i])).mean() for i in rows]))
    interval = binomtest(sum(right), len(rows)).proportion_ci(method="wilson")
    return Agreement(
        len(rows), sum(right), float(interval.low), float(interval.high), by_chance, int((~effective[rows]).sum())
    )
