"""Take a network's decision on a sound apart into components, and hear what it says of some of them alone ("Listen to
Interpret").

Nothing is kept beyond this process. torch is loaded when the first decision is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from and_core.errors import NotComputed
from and_core.store.dissection import Dissection
from and_core.targets.loaded import network_lock, open_target, shared_target

if TYPE_CHECKING:
    from and_core.listen.listener import Interpretation, Listener


@dataclass(frozen=True)
class KeptComponents:
    """A sound split in two by its components, with the probabilities of each part.

    Attributes
    ----------
    kept, left : (samples,) float32
    kept_probabilities, left_probabilities : (C,) float32
    """

    kept: np.ndarray
    left: np.ndarray
    kept_probabilities: np.ndarray
    left_probabilities: np.ndarray


@lru_cache(maxsize=4)
def dissection_listener(d: Dissection, mode: str = "post-hoc") -> Listener:
    """Return what was learned to listen to a dissection's network.

    Raises
    ------
    NotComputed
        The stage `listening` has not been run, or that mode was not trained.
    """
    from and_core.listen.listener import load_listener

    d.require("listening")
    if mode not in d.listener_modes:
        raise NotComputed(
            f"{d.name!r} has no listener {mode!r}; set listening.by_design: true and run: and-dissect run CONFIG.yaml"
        )
    folder = d.listener_folder(mode)
    with network_lock():
        return load_listener(folder, open_target(d) if mode == "by-design" else shared_target(d))


def interpret(
    d: Dissection, wave: np.ndarray, rate: int, mode: str = "post-hoc", shown: int | None = None
) -> Interpretation:
    """Return the decision on a sound of any length and rate, taken apart.

    `shown` names the class, else the predicted one.
    """
    listener = dissection_listener(d, mode)
    with network_lock():
        return listener.interpret(listener.fit_length(wave, rate), shown)


def keep_components(
    d: Dissection, decision: Interpretation, components: Sequence[int], mode: str = "post-hoc"
) -> KeptComponents:
    """Return some components of a sound alone and the sound without them, with what the network says of each."""
    listener = dissection_listener(d, mode)
    chosen = np.zeros(len(decision.relevance), bool)
    chosen[list(components)] = True
    with network_lock():
        kept, left = listener.render(decision.wave, listener.mask_of(decision.h, chosen))
        kept_probabilities, left_probabilities = listener.probabilities(listener.predict(np.stack([kept, left])))
    return KeptComponents(kept, left, kept_probabilities, left_probabilities)


def component_sound(d: Dissection, decision: Interpretation, component: int, mode: str = "post-hoc") -> np.ndarray:
    """Return one component of a sound alone, (samples,)."""
    listener = dissection_listener(d, mode)
    chosen = np.zeros(len(decision.relevance), bool)
    chosen[component] = True
    return listener.render(decision.wave, listener.mask_of(decision.h, chosen))[0]
