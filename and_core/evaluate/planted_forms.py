"""What is made of planted neurons that mean several things, beside what they were planted to mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from and_core.evaluate.planted_units import KINDS, Unit, auroc, halves_of, meant
from and_core.labels.hierarchy import descendants
from and_core.store.composition import Composed, clips_with, composed
from and_core.store.dissection import Dissection
from and_core.store.headline import Headline
from and_core.store.score_results import OUTCOMES

FORM_OF = {"disjunction": "or", "category": "category", "negation": "not", "conjunction": "and", "pair": "both"}
REALISED = 0.7  # AUROC of each half of a meaning among the clips of the other, from which a unit tells both


def form_findings(
    d: Dissection, units: Sequence[Unit], words: Sequence[frozenset[str]], used: np.ndarray
) -> pd.DataFrame:
    """Return one row a planted neuron: the composition that is told, whether it is the planted one, and whether the
    unit fires as planted.

    Parameters
    ----------
    d : Dissection
        Of the planted units.
    units : sequence of Unit, R
    words : sequence of frozenset of str, N
        Adjectives that measures of the clips bear out.
    used : (N,) bool
        The probing set.
    """
    clips = np.flatnonzero(used).tolist()
    labels = [d.clips[i].labels for i in clips]
    of_clips = [words[i] for i in clips]
    rows = []
    for index, unit in enumerate(units):
        made = composed(d, index)
        wanted = FORM_OF.get(unit.kind, "")
        right = made is None if not wanted else made is not None and made.form == wanted and _same(d, unit, made)
        rows.append(
            {
                "kind": unit.kind,
                "form": "" if made is None else made.form,
                "told": "" if made is None else " ".join(filter(None, (made.first, made.second))),
                "right": right,
                "outcome": _outcome(unit, d.headline(d.neuron_id(index)), bool(wanted), right),
                "realised": realised(unit, np.asarray(d.activations(d.neuron_id(index)))[clips], labels, of_clips),
            }
        )
    return pd.DataFrame(rows)


def _outcome(unit: Unit, headline: Headline, several: bool, right: bool) -> str:
    """Return how much of what was planted the headline says: one of :data:`OUTCOMES`; nothing for units that mean
    nothing or follow a measure."""
    planted = {unit.concept, unit.word, unit.other} - {""}
    if not planted:
        return ""
    made = headline.composition
    names = {*headline.adjectives} | ({made.first, made.second} - {""} if made is not None else set())
    if headline.holds and headline.concept:
        names.add(headline.concept)
    if right if several else planted <= names:
        return "fully"
    near = planted | set(descendants(unit.concept)) if unit.kind == "category" else planted
    return "partly" if near & names else "wrong" if names else "unclear"


def _same(d: Dissection, unit: Unit, made: Composed) -> bool:
    """Return whether a composition names what was planted; of a category, whether it is true of the same clips."""
    if unit.kind != "category":
        return {made.first, made.second} - {""} == {unit.concept, unit.word, unit.other} - {""}
    mask = meant(unit, [clip.labels for clip in d.clips], [frozenset()] * len(d.clips))
    return mask is not None and np.array_equal(np.flatnonzero(mask), clips_with(d, made.first))


def realised(unit: Unit, u: np.ndarray, labels: Sequence[Sequence[str]], words: Sequence[frozenset[str]]) -> bool:
    """Return whether a unit fires as planted: of two halves of a meaning, it must tell each among the clips of the
    other; of any other meaning, its clips from the rest at AUROC .9."""
    halves = halves_of(unit, labels, words)
    if halves is None:
        mask = meant(unit, labels, words)
        return mask is not None and auroc(u, mask) >= 0.9
    one, other = halves
    return min(auroc(u[one], other[one]), auroc(u[other], one[other])) >= REALISED


def form_rows(units: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how many planted neurons of each kind get a composition, and how many the planted one (of kinds of one
    meaning: none)."""
    rows = []
    for kind in KINDS:
        of_kind = units[units["kind"] == kind]
        parts = {"all": of_kind, "fire as planted": of_kind[of_kind["realised"]]}
        for which, part in parts.items():
            if len(part) and not (kind in ("random", "quantity") and which != "all"):
                row = {"planted": kind, "units": which, "number": len(part)}
                row["told %"] = 100 * float((part["form"] != "").mean())
                row["right %"] = 100 * float(part["right"].mean())
                known = part["outcome"].iloc[0] != ""
                row |= {f"{o} %": 100 * float((part["outcome"] == o).mean()) if known else None for o in OUTCOMES}
                rows.append(row)
    return rows
