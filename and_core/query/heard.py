"""Which decision the components of a listener explain best, and how far what is heard can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from and_core.store.dissection import Dissection

KEPT = 8
DRAWS, SEED = 2000, 0  # bootstrap over clips


@dataclass(frozen=True)
class ExplainedDecision:
    """A decision on a clip that nothing was learned on.

    Attributes
    ----------
    mode : str
        ``post-hoc`` or ``by-design``.
    clip, predicted : int
    whole, kept, left, random_left : float
        Probability of the predicted class on the clip, on the components that are kept, on what is left without them,
        and without random components of as much energy.
    """

    mode: str
    clip: int
    predicted: int
    whole: float
    kept: float
    left: float
    random_left: float


@dataclass(frozen=True)
class Trust:
    """What the network loses without the sounds that are said to decide, beside what it loses without others.

    Attributes
    ----------
    mode : str
    clips : int
    lost, random_lost : float
        Mean loss of probability without the relevant components, and without random ones of as much energy.
    low, high : float or None
        95 % bootstrap interval over clips of the difference; None where only the means are known.
    """

    mode: str
    clips: int
    lost: float
    random_lost: float
    low: float | None = None
    high: float | None = None

    @property
    def better(self) -> bool | None:
        """Whether the relevant components are missed more than random ones; None where no difference is shown."""
        if self.low is None or self.high is None:
            return None if self.lost == self.random_lost else self.lost > self.random_lost
        return None if self.low <= 0 <= self.high else self.low > 0


@lru_cache(maxsize=KEPT)
def explained_decision(d: Dissection, mode: str | None = None) -> ExplainedDecision | None:
    """Return the decision that the components explain best: what is kept alone still says the class, and what is left
    says it less, and less than without random components of as much energy.

    Parameters
    ----------
    mode : str, optional
        ``post-hoc`` or ``by-design``; by default the one that can be trusted further.

    Returns
    -------
    ExplainedDecision or None
        None where the stage `decisions` has not been run, or has no clip.
    """
    if not d.has("decisions") or not d.decisions.num_rows:
        return None
    table = d.decisions.to_pandas()
    table = table[table["mode"] == (mode or trusted_mode(d))]
    if table.empty:
        return None
    explained = np.minimum(table["kept"] - table["left"], table["random_left"] - table["left"])
    says = table["kept_predicted"] == table["predicted"]
    row = table.iloc[int(np.lexsort((-explained, ~says))[0])]
    numbers = {name: float(row[name]) for name in ("whole", "kept", "left", "random_left")}
    return ExplainedDecision(str(row["mode"]), int(row["clip"]), int(row["predicted"]), **numbers)


@lru_cache(maxsize=KEPT)
def trust(d: Dissection) -> tuple[Trust, ...]:
    """Return how far each mode of listening can be trusted, from the stage `decisions` or, where that was not run, from
    the means that `listening` measured.

    Raises
    ------
    NotComputed
        The stage `listening` has not been run.
    """
    d.require("listening")
    measures = []
    table = d.decisions.to_pandas() if d.has("decisions") else None
    for mode in d.listener_modes:
        if table is not None and len(own := table[table["mode"] == mode]):
            lost, random_lost = (own["whole"] - own[name] for name in ("left", "random_left"))
            low, high = _interval((lost - random_lost).to_numpy())
            measures.append(Trust(mode, len(own), float(lost.mean()), float(random_lost.mean()), low, high))
            continue
        rows = {row["method"]: row["FF"] for row in d.listening_report["measured"].get(mode, {}).get("field", [])}
        pair = rows.get("L2I"), rows.get("energy-matched components")
        if pair[0] is not None and pair[1] is not None:
            measures.append(Trust(mode, d.listening_report["clips"]["measured"], float(pair[0]), float(pair[1])))
    return tuple(measures)


def trusted_mode(d: Dissection) -> str:
    """Return the mode of listening whose components are missed most beyond random ones; the first where nothing was
    measured."""
    measures = trust(d)
    best = max(measures, key=lambda one: one.lost - one.random_lost, default=None)
    return best.mode if best is not None else d.listener_modes[0]


def _interval(values: np.ndarray) -> tuple[float, float]:
    drawn = values[np.random.default_rng(SEED).integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
