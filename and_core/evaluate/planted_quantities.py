"""What is said of planted neurons' quantities, beside the measures that they were planted to follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from and_core.evaluate.planted_units import KINDS, Unit
from and_core.evaluate.quantities import likeness
from and_core.store.dissection import Dissection

PLANTED = 0.8  # rank correlation with its own measure on the probing set from which a unit counts as planted
SAME = 0.9  # rank correlation over clips from which naming another measure is right all the same


def quantity_findings(d: Dissection, units: Sequence[Unit], used: np.ndarray) -> pd.DataFrame:
    """Return one row a planted neuron: its measure, how well it follows it, and the measure that is told.

    Parameters
    ----------
    d : Dissection
        Of the planted units.
    units : sequence of Unit, R
    used : (N,) bool
        The probing set: no clip that units were fitted on is in it.

    Returns
    -------
    DataFrame
        ``measure`` and ``sign`` as planted, ``own`` (rank correlation with it, its sign taken out), ``told`` (the
        measure that the neuron is said to follow, empty for none), ``told sign``, ``told spearman``, and ``right``: the
        planted measure, or one that is the same thing, with the right sign.
    """
    names, table = d.quantity_names, d.quantities
    measures = np.stack([d.quantity_clips[name].to_numpy(zero_copy_only=False) for name in names], 1)
    like, every = likeness(measures, used), np.asarray(d.quantity_correlations)
    place = {name: i for i, name in enumerate(names)}
    follows = table["follows"].to_numpy(zero_copy_only=False)
    rows = []
    for index, unit in enumerate(units):
        told = table["measure"][index].as_py() if follows[index] else None
        sign, own = table["sign"][index].as_py(), place.get(unit.measure)
        same = 0.0 if told is None or own is None else float(like[own, place[told]])
        rows.append(
            {
                "measure": unit.measure,
                "sign": unit.sign if unit.measure else 0,
                "own": float("nan") if own is None else unit.sign * float(every[index, own]),
                "told": told or "",
                "told sign": sign if told else 0,
                "told spearman": table["spearman"][index].as_py() if told else float("nan"),
                "right": abs(same) >= SAME and np.sign(same) * sign == unit.sign,
            }
        )
    return pd.DataFrame(rows)


def quantity_rows(units: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how many planted neurons of each kind are told to follow a measure, and how many of them rightly.

    Parameters
    ----------
    units : DataFrame
        ``kind`` beside the columns of :func:`quantity_findings`.
    """
    rows = []
    for kind in KINDS:
        of_kind = units[units["kind"] == kind]
        parts = {"all": of_kind}
        if kind == "quantity":
            parts[f"Spearman {PLANTED}+"] = of_kind[of_kind["own"] >= PLANTED]
        for which, part in parts.items():
            if len(part):
                right = 100 * float(part["right"].mean()) if kind == "quantity" else None
                told = 100 * float((part["told"] != "").mean())
                rows.append({"planted": kind, "units": which, "number": len(part), "told %": told, "right %": right})
    return rows
