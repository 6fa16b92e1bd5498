"""One sound under growing doses of an ablation: what the network takes it for as more and more neurons are silenced."""

from __future__ import annotations

import numpy as np

from and_core.labels.outputs import probabilities
from and_core.records import How
from and_core.store.dissection import Dissection
from and_core.unlearn.selection import RankedSelection

SHARES = tuple(step / 20 for step in range(21))  # of the chosen neurons, the most responsive first


def under_doses(
    d: Dissection, wave: np.ndarray, rate: int, choice: RankedSelection, how: How = "weights"
) -> np.ndarray:
    """Return the network's probabilities for one sound at each dose of :data:`SHARES`.

    Parameters
    ----------
    wave : (N,) float
        The sound.
    rate : int
        Its samples a second.
    how : {'weights', 'zero'}

    Returns
    -------
    (21, C) float
        Classes in the network's order; the first row is the whole network.

    Raises
    ------
    TargetError, PermissionNeeded
        The network can't be loaded, see :func:`and_core.targets.loaded.open_target`.
    """
    import torch

    from and_core.audio.decode import resample
    from and_core.targets.ablate import Ablation
    from and_core.targets.loaded import network_lock, shared_target

    rows: list[np.ndarray] = []
    with network_lock():
        target = shared_target(d)
        features = target.features([resample(wave, rate, target.sample_rate)])
        for share in SHARES:
            masks = choice.first(round(share * choice.count), d.layers).masks
            with Ablation(target.hook_points(), masks, how), torch.inference_mode():
                rows.append(target.forward(features)[0].float().cpu().numpy())
        multi_label = target.multi_label
    return probabilities(np.stack(rows), multi_label)


def first_flip(values: np.ndarray) -> int | None:
    """Return the first dose at which the likeliest class is no longer that of the whole network; None where it stays.

    Examples
    --------
    >>> first_flip(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
    2
    """
    changed = np.flatnonzero(values.argmax(1) != values[0].argmax())
    return int(changed[0]) if len(changed) else None
