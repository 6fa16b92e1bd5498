"""The headline of a neuron: what is said of it, by which method, and how probably it holds.

Pages, commands, notebooks and exports all ask here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.records import direction
from and_core.store.composition import Composed, composed, composed_by_all

if TYPE_CHECKING:
    from and_core.store.dissection import Dissection

SURE = 0.6  # probability below which a headline says "unclear"
METHODS = {
    "SUM": "summary",
    "DB": "closed concept by description",
    "TAB": "closed concept by sound",
    "PC": "closed concept by presence",
}


@dataclass(frozen=True)
class Headlines:
    """What is said of every neuron, as columns.

    Attributes
    ----------
    concept : (R,) object
        The concept whose presence goes with the activation most closely, where confidence is calibrated; else what DB,
        the summary or TAB says; None where there is nothing.
    by : (R,) object
        That method, see :data:`METHODS`; None where there is nothing.
    probability : (R,) float
        That it holds, calibrated on the data and the network at hand; NaN where it can't be told.
    calibrated : bool
        Whether any probability can be told.
    """

    concept: np.ndarray
    by: np.ndarray
    probability: np.ndarray
    calibrated: bool

    @property
    def holds(self) -> np.ndarray:
        """(R,) bool: probable enough to be said without reserve."""
        return np.nan_to_num(self.probability) >= SURE


@dataclass(frozen=True)
class Headline:
    """What is said of one neuron.

    Attributes
    ----------
    concept, by, probability
        As in :class:`Headlines`.
    adjectives : dict of str to float or None
        Acoustic words that are said of it, each with its probability; where that is known, only those that hold.
    calibrated : bool
        Whether the probability of concepts can be told here at all.
    dead : bool
        Its activation is the same on every clip.
    quantity : str or None
        The acoustic measure that it follows, in words.
    composition : Composed or None
        What it means beyond one concept.
    """

    concept: str | None
    by: str | None
    probability: float | None
    adjectives: dict[str, float | None]
    calibrated: bool
    dead: bool = False
    quantity: str | None = None
    composition: Composed | None = None

    @property
    def holds(self) -> bool:
        """Whether the concept may be said without reserve: it is probable enough."""
        return self.concept is not None and (self.probability or 0.0) >= SURE

    @property
    def parts(self) -> list[tuple[str, bool]]:
        """What is said in parts, each with whether it is to stand out."""
        if self.dead or not self.quantity:
            return self._explained
        explained = self.adjectives or self.holds or self.composition is not None
        before = [*self._explained, (" ", False)] if explained else []
        return [*before, ("Follows ", False), (self.quantity, True), (".", False)]

    @property
    def _explained(self) -> list[tuple[str, bool]]:
        """The sentence on sounds, in parts."""
        if self.dead:
            return [("Dead: its activation is the same on every clip, so there is nothing to explain.", False)]
        words, concept = ", ".join(self.adjectives), (self.concept or "").replace("_", " ")
        if self.composition is not None:
            rest = [w for w in self.adjectives if w not in (self.composition.first, self.composition.second)]
            known = [(" Its sounds are mostly ", False), (", ".join(rest), True), (".", False)] if rest else []
            return [*self.composition.parts, *known]
        if not self.calibrated and concept:
            known = [("Fires on ", False), (words, True), (" sounds. ", False)] if words else []
            return [*known, ("Closest concept, not calibrated: ", False), (concept, True), (".", False)]
        if words or self.holds:
            parts = [("Fires on ", False), *([(words, True), (" sounds", False)] if words else [("sounds", False)])]
            return [*parts, *([(" such as ", False), (concept, True)] if self.holds else []), (".", False)]
        if concept:
            return [
                ("Unclear. Best guess: ", False),
                (concept, True),
                (", not sure enough on clips it was not made from.", False),
            ]
        return [("Unclear: calibration leaves nothing that its highest clips have in common.", False)]

    @property
    def text(self) -> str:
        """The sentence."""
        return "".join(part for part, _ in self.parts)

    @property
    def certainty(self) -> float | None:
        """The probability that stands beside the sentence: of the concept where it is said or is all there is, else of
        the surest adjective; None where none can be told."""
        if self.dead or (self.concept is None and not self.adjectives):
            return None
        if self.holds or (not self.adjectives and self.composition is None):
            return self.probability
        return max((p for p in self.adjectives.values() if p is not None), default=None)

    @property
    def sureness(self) -> str:
        """How probably each part of the sentence holds, in words."""
        if self.dead:
            return ""
        parts = [
            f"{word} {probability:.2f}" for word, probability in self.adjectives.items() if probability is not None
        ]
        if self.concept is not None and self.probability is not None and (self.holds or not self.adjectives):
            parts.append(f"{METHODS[self.by or 'DB']} {self.probability:.2f}")
        if self.composition is not None:
            held = [f"probability that it holds: {', '.join(parts)}"] if parts else []
            return "; ".join([self.composition.evidence, *held])
        known = f"probability that it holds: {', '.join(parts)}" if parts else "its probability can't be told"
        return known if self.calibrated or not parts else f"{known}; concepts are not calibrated here"


def headlines(d: Dissection) -> Headlines:
    """Return the headline concepts of all neurons: by presence, whose probability is calibrated; where none can be
    told, DB before the summary before TAB.

    One method alone: the surest of several would be stated too surely.
    """
    table = d.table("explanations/explanations")
    concepts: dict[str, np.ndarray] = {"SUM": _column(table, "thing"), "DB": _column(table, "concept")}
    if d.has("tab"):
        names = np.array([*d.document("texts/concepts"), None], dtype=object)
        best = d.notes("tab")["similarities"]
        if best:
            similarity = d.similarity if d.similarity in best else best[0]
            concepts["TAB"] = names[np.asarray(d.array(f"tab/{similarity}_concepts")[:, 0])]
    count = table.num_rows
    concept, by, probability = np.full(count, None, object), np.full(count, None, object), np.full(count, np.nan)
    calibrated = d.calibrated_methods
    if "PC" in calibrated:
        names = np.array([*d.document("texts/concepts"), None], dtype=object)
        concepts["PC"] = names[d.presence_concepts]
        sure = d.calibrated[calibrated.index("PC")].astype(float)
        known = (concepts["PC"] != None) & np.isfinite(sure)  # noqa: E711 - element by element
        concept[known], by[known], probability[known] = concepts["PC"][known], "PC", sure[known]
    for method in ("DB", "SUM", "TAB"):  # where no probability can be told
        if method in concepts:
            bare = (by == None) & (concepts[method] != None)  # noqa: E711
            concept[bare], by[bare] = concepts[method][bare], method
    return Headlines(concept, by, probability, bool(calibrated))


def headline(d: Dissection, index: int, every: Headlines) -> Headline:
    """Return one neuron's headline."""
    row = {name: d.table("explanations/explanations").column(name)[index].as_py() for name in ("adjectives", "dead")}
    words: dict[str, float | None] = {word: None for word in row["adjectives"].split(", ") if word}
    if d.words_calibrated:
        known: list[dict[str, Any]] = d.words_of(d.neuron_id(index)).to_pylist()
        words = {w["word"]: w["confidence"] for w in known if w["confidence"] is not None and w["confidence"] >= SURE}
    probability = float(every.probability[index])
    known_probability = probability if np.isfinite(probability) else None
    return Headline(
        every.concept[index],
        every.by[index],
        known_probability,
        words,
        every.calibrated,
        bool(row["dead"]),
        followed(d, index),
        composed(d, index),
    )


def headline_texts(d: Dissection) -> list[str]:
    """Return the sentence of every neuron, as :func:`headline` has it, from columns that are read once."""
    every, table = d.headlines, d.table("explanations/explanations")
    dead, said = table.column("dead").to_pylist(), table.column("adjectives").to_pylist()
    if d.words_calibrated:
        words: list[dict[str, float | None]] = [{} for _ in said]
        columns = (d.scored_words[name].to_pylist() for name in ("neuron", "word", "confidence"))
        for neuron, word, confidence in zip(*columns, strict=True):
            if confidence is not None and confidence >= SURE:
                words[neuron][word] = confidence
    else:
        words = [{word: None for word in text.split(", ") if word} for text in said]
    quantities, several = followed_by_all(d), composed_by_all(d)
    known = np.isfinite(every.probability)
    probability = [float(p) if k else None for p, k in zip(every.probability, known, strict=True)]
    return [
        Headline(
            every.concept[i], every.by[i], probability[i], words[i], every.calibrated, bool(dead[i]),
            quantities.get(i), several.get(i),
        ).text
        for i in range(table.num_rows)
    ]  # fmt: skip


def followed(d: Dissection, index: int) -> str | None:
    """Return the acoustic measure that a neuron follows, in words; None where it follows none or none were compared."""
    if not d.has("quantities") or not d.quantities["follows"][index].as_py():
        return None
    return _followed(d, *(d.quantities[name][index].as_py() for name in ("measure", "spearman", "sign")))


def followed_by_all(d: Dissection) -> dict[int, str]:
    """Return neuron -> the acoustic measure that it follows, of those that follow one."""
    if not d.has("quantities"):
        return {}
    columns = [d.quantities[name].to_pylist() for name in ("follows", "measure", "spearman", "sign")]
    return {i: _followed(d, *row) for i, (follows, *row) in enumerate(zip(*columns, strict=True)) if follows}


def _followed(d: Dissection, measure: str, spearman: float, sign: int) -> str:
    words = d.quantity_words[measure]
    value = f"{spearman:.2f}".replace("0.", ".", 1)
    return f"{words['name']}: {direction(words['more'], words['less'], sign)} (Spearman {value})"


def _column(table: Any, name: str) -> np.ndarray:
    values = np.empty(table.num_rows, object)
    values[:] = [value or None for value in table.column(name).to_pylist()]
    return values
