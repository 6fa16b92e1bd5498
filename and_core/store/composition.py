"""What a neuron means beyond one concept, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from and_core.names import readable

if TYPE_CHECKING:
    from and_core.store.dissection import Dissection

COLUMNS = ("form", "first", "second", "share", "score")


@dataclass(frozen=True)
class Composed:
    """Several meanings of one neuron, chosen and judged on different recordings.

    Attributes
    ----------
    form : str
        ``or``: fires on `first`, also on `second`; ``category``: on all of `first`; ``not``: on everything but `first`;
        ``and``: on `first`, most where it is `second`; ``both``: on sounds that are `first` and `second` at once.
    first, second : str
        Concepts, adjectives or a category; `second` is empty for ``category`` and ``not``.
    share : float
        Of the high clips with either sense, those with the second; NaN for other forms than ``or``.
    score : float
        Held-out area under the ROC curve.
    """

    form: str
    first: str
    second: str
    share: float
    score: float

    @property
    def parts(self) -> list[tuple[str, bool]]:
        """The sentence in parts, each with whether it is to stand out."""
        one, other = (readable(name) for name in (self.first, self.second))
        if self.form == "or":
            return [("Fires on sounds such as ", False), (one, True), ("; also ", False), (other, True),
                    (f" ({100 * self.share:.0f} %).", False)]  # fmt: skip
        if self.form == "category":
            return [("Fires on sounds of a whole category: ", False), (one.lower(), True), (".", False)]
        if self.form == "not":
            return [("Fires on everything but ", False), (one, True), (".", False)]
        if self.form == "and":
            return [("Fires on sounds such as ", False), (one, True), (", most where they are ", False),
                    (other, True), (".", False)]  # fmt: skip
        return [("Fires on sounds that are both ", False), (one, True), (" and ", False), (other, True), (".", False)]

    @property
    def evidence(self) -> str:
        """How well it held on recordings that it was not chosen on."""
        what = {
            "or": "either sense", "category": "the category", "not": "everything but it", "both": "both at once",
            "and": f"{self.second} among {readable(self.first)}",
        }[self.form]  # fmt: skip
        return f"{what}: AUROC {self.score:.2f} on held-out recordings"


def composed(d: Dissection, index: int) -> Composed | None:
    """Return what a neuron means beyond one concept; None where one concept says it, or nothing was looked for."""
    if not d.has("compositions"):
        return None
    return _composed(*(d.compositions[name][index].as_py() for name in COLUMNS))


def composed_by_all(d: Dissection) -> dict[int, Composed]:
    """Return neuron -> what it means beyond one concept, of those that one concept does not say."""
    if not d.has("compositions"):
        return {}
    rows = zip(*(d.compositions[name].to_pylist() for name in COLUMNS), strict=True)
    return {i: made for i, row in enumerate(rows) if (made := _composed(*row)) is not None}


def _composed(form: str | None, first: str, second: str | None, share: float | None, score: float) -> Composed | None:
    if form is None:
        return None
    return Composed(form, first, second or "", float("nan") if share is None else share, score)


def clips_with(d: Dissection, predicate: str, without: str = "") -> np.ndarray:
    """Return (n,) clips of which a predicate is true, and another one is not."""
    names = [row["name"] for row in d.document("compositions/predicates")]
    holds = np.asarray(d.array("compositions/holds"))
    mask = holds[:, names.index(predicate)] > 0
    if without:
        mask &= holds[:, names.index(without)] == 0
    return np.flatnonzero(mask)
