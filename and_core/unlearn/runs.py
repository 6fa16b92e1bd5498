"""Ablations that belong together: one with its fair random controls, a dose curve, strategies side by side.

And their figures as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from and_core.errors import ANDError
from and_core.labels.class_map import ClassMap
from and_core.labels.outputs import probabilities
from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.store.dissection import Dissection
from and_core.unlearn.measure import accuracy, accuracy_by_class, effect
from and_core.unlearn.request import SEEDS, AblationRequest, Kind
from and_core.unlearn.selection import RankedSelection, Selection, fair_random, select_neurons

DOSES = tuple(round(0.1 * i, 1) for i in range(1, 11))
COMPARED = ("TAB", "DB", "OCP")
FIGURES = ("ablating", "remaining", "gap")


@dataclass(frozen=True)
class AblationRun:
    """One ablation among others.

    Attributes
    ----------
    request : AblationRequest
    selection : Selection
    number : str
        ``own``: as many neurons as the strategy selects; ``equal``: as many as the strategy that selects fewest.
    control : str
        Empty, or ``fair random``: as many neurons in the same layers, at random.
    """

    request: AblationRequest
    selection: Selection
    number: str = "own"
    control: str = ""


@dataclass(frozen=True)
class TestedClips:
    """The tested clips and what the whole network says of them, as the stage `split` left them.

    Attributes
    ----------
    clips : (N,) int
    truth : (N, C) bool
        Classes of each by the network's own numbering.
    classes : list of str
    before : (N, C) float32
        Logits.
    multi_label : bool
        Whether outputs are judged by a sigmoid.
    class_map : ClassMap
        Labels that classes stand for.
    """

    clips: np.ndarray
    truth: np.ndarray
    classes: list[str]
    before: np.ndarray
    multi_label: bool = False
    class_map: ClassMap = field(default_factory=lambda: ClassMap(()))

    def numbers(self, concept: str) -> tuple[int, ...]:
        """Return the classes that a concept is and that tested clips have; none where there are none."""
        numbers = classes_of_concept(self.class_map, self.classes, concept)
        return tuple(number for number in numbers if self.truth[:, number].any())

    def of_concept(self, concept: str) -> np.ndarray:
        """Return (N,) bool: which tested clips have a class of a concept."""
        return np.asarray(self.truth[:, list(self.numbers(concept))].any(1))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities of logits (..., C) of this network."""
        return probabilities(logits, self.multi_label)


def read_split(d: Dissection) -> TestedClips:
    """Read what the stage `split` left."""
    clips, truth, before = (np.asarray(values) for values in (d.tested_clips, d.tested_truth, d.tested_logits))
    return TestedClips(clips, truth, d.network_classes, before, d.multi_label, class_map_of(d))


def plan_runs(
    d: Dissection,
    kind: Kind,
    request: AblationRequest,
    seeds: Sequence[int] = SEEDS,
    strategies: Sequence[str] = COMPARED,
) -> tuple[list[AblationRun], list[str]]:
    """Plan the ablations of a kind, and remarks.

    ``run`` is the request with fair random controls; ``dose`` the request at rising shares of its neurons; ``compare``
    every strategy for the request's concept, at its own number of neurons and at equal numbers, with controls.

    Raises
    ------
    ConfigError, NotComputed
        As :func:`and_core.unlearn.selection.select_neurons`; in ``compare`` a strategy that can't be used is a remark
        instead.
    """
    if kind == "compare":
        return _compare(d, request, seeds, strategies)
    choice = select_neurons(d, request)
    if kind == "dose":
        counts = sorted({round(dose * choice.count) for dose in DOSES})
        doses = [
            (request.model_copy(update={"dose": n / max(1, choice.count)}), choice.first(n, d.layers)) for n in counts
        ]
        return [AblationRun(*one) for one in doses] + [t for one in doses for t in _fair(*one, seeds[:1])], list(
            choice.notes
        )
    return [AblationRun(request, choice.selection), *_fair(request, choice.selection, seeds)], list(choice.notes)


def _fair(
    request: AblationRequest, selection: Selection, seeds: Sequence[int], number: str = "own"
) -> list[AblationRun]:
    return (
        [AblationRun(request, fair_random(selection.masks, seed), number, "fair random") for seed in seeds]
        if selection.count
        else []
    )


def _compare(
    d: Dissection, request: AblationRequest, seeds: Sequence[int], strategies: Sequence[str]
) -> tuple[list[AblationRun], list[str]]:
    made: list[AblationRun] = []
    notes: list[str] = []
    choices: dict[str, tuple[AblationRequest, RankedSelection]] = {}
    for strategy in strategies:
        wanted = AblationRequest(
            concept=request.concept, strategy=strategy, how=request.how, choose_on=request.choose_on
        )
        try:
            choices[strategy] = wanted, select_neurons(d, wanted)
        except ANDError as error:
            notes.append(f"{strategy}: {error}")
    for wanted, choice in choices.values():
        made += [AblationRun(wanted, choice.selection), *_fair(wanted, choice.selection, seeds)]
    some = {strategy: pair for strategy, pair in choices.items() if pair[1].count}
    least = min((choice.count for _, choice in some.values()), default=0)
    notes += [f"{strategy} selects no neuron." for strategy in choices if strategy not in some]
    if len(some) > 1:
        for wanted, choice in some.values():
            fewest = choice.first(least, d.layers)
            made += [AblationRun(wanted, fewest, "equal"), *_fair(wanted, fewest, seeds, "equal")]
    return made, notes


def measured(
    made: Sequence[AblationRun], split: TestedClips, after: np.ndarray, concept: str | None = None, draws: int = 1000
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return figures of ablations; those of a concept that is no class are NaN.

    Parameters
    ----------
    made : sequence of AblationRun, A
    split : TestedClips
    after : (A, N, C) float32
        Logits under each.
    concept : str, optional
        What is asked about, where it is not the request's own.

    Returns
    -------
    rows : list of dict
        ``concept``, ``strategy``, ``number``, ``control``, ``seed``, ``dose``, ``count``; ``ablating``, ``remaining``
        and ``gap`` in logits and, with
        ``p_`` before the name, in probabilities, each with ``_low`` and ``_high`` (95 %, bootstrap over clips);
        accuracies before and after, in percent (average precision where a clip may have several classes).
    by_class : (A, 2, C) float32
        Change of each class's own output on its own clips, in logits and in probabilities; NaN for a class without
        clips.
    """
    rows, by_class = [], np.full((len(made), 2, split.before.shape[1]), np.nan, np.float32)
    before = split.before, split.probabilities(split.before)
    correct = accuracy_by_class(split.before, split.truth, split.multi_label)
    overall = accuracy(split.before, split.truth, split.multi_label)
    for i, run in enumerate(made):
        asked = run.request.concept if concept is None else concept
        numbers = split.numbers(asked)
        row: dict[str, Any] = {
            "concept": asked,
            "strategy": run.request.strategy,
            "number": run.number,
            "control": run.control,
            "seed": run.selection.seed if run.selection.seed is not None else -1,
            "dose": run.request.dose,
            "count": run.selection.count,
        }
        for j, (prefix, one, other) in enumerate(
            zip(("", "p_"), before, (after[i], split.probabilities(after[i])), strict=True)
        ):
            seen = effect(one, other, split.truth, numbers, draws)
            by_class[i, j] = seen.by_class
            for name in FIGURES:
                low, high = seen.intervals[name]
                row |= {
                    f"{prefix}{name}": getattr(seen, name),
                    f"{prefix}{name}_low": low,
                    f"{prefix}{name}_high": high,
                }
        changed = accuracy_by_class(after[i], split.truth, split.multi_label)
        row |= {
            "accuracy_before": overall,
            "accuracy_after": accuracy(after[i], split.truth, split.multi_label),
            "concept_accuracy_before": 100 * float(correct[list(numbers)].mean()) if numbers else float("nan"),
            "concept_accuracy_after": 100 * float(changed[list(numbers)].mean()) if numbers else float("nan"),
        }
        rows.append(row)
    return rows, by_class


def per_layer(made: Sequence[AblationRun], layers: Sequence[str]) -> np.ndarray:
    """Return (A, L) neurons that each run ablates in each layer."""
    return np.array([[run.selection.per_layer.get(name, 0) for name in layers] for run in made], np.int32).reshape(
        -1, len(layers)
    )
