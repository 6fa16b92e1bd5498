"""The paper's figures by name, as pages, files and the command line show them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from and_core.errors import DataError
from and_core.figures.class_changes import change_by_class
from and_core.figures.interpretability import by_depth, by_seed, uninterpretable_curves
from and_core.figures.network import (
    KINDS,
    adjective_bars,
    elbow_curve,
    word_boxes,
    words_by_block,
    words_by_kind,
)
from and_core.figures.steering import agreement_figure
from and_core.figures.tuning import NEURON_FIGURES, frequencies_by_depth, shares_by_depth
from and_core.figures.unlearning import CURVES, importance_figure
from and_core.labels.outputs import accuracy_name
from and_core.labels.truth import class_map_of, classes_of_concept
from and_core.query.comparable import comparable
from and_core.query.tuning import best_tuned_neuron, tuning_of
from and_core.store.dissection import Dissection

Figures = dict[str, go.Figure]
MEASURED = {
    "loud": ("amplitude", "mean amplitude, 16-bit steps"),
    "high-pitched": ("median_frequency", "median frequency, Hz"),
}  # Fig. 8


def together(d: Dissection, stage: str) -> list[Dissection]:
    """Return a dissection and, after it, all others of the same clips and concepts that have a stage.

    Raises
    ------
    NotComputed
        The dissection itself has not.
    """
    d.require(stage)
    return [d, *(x for x in comparable(d, stage) if x.name != d.name)]


def adjectives(d: Dissection, top: int = 20) -> Figures:
    """Return Figs. 3 and 9."""
    every = together(d, "word_counts")
    counts = {x.name: x.adjective_counts for x in every}
    return {"adjectives": adjective_bars(counts, {x.name: x.neuron_count for x in every}, top)}


def words_by_depth(d: Dissection) -> Figures:
    """Return Fig. 5, one for each kind of word."""
    every = together(d, "word_counts")
    return {
        f"{KINDS[kind].replace(' ', '-')}-by-depth": words_by_block(
            {x.name: x.block_word_counts[kind] for x in every}, kind
        )
        for kind in KINDS
    }


def words_by_layer_kind(d: Dissection) -> Figures:
    """Return words by kind of layer, one for each kind of word."""
    every = together(d, "word_counts")
    return {
        f"{KINDS[kind].replace(' ', '-')}-by-layer-kind": words_by_kind(
            {x.name: x.layer_word_counts for x in every}, kind
        )
        for kind in KINDS
    }


def interpretability(d: Dissection) -> Figures:
    """Return Figs. 6 and 11 to 14: one for each K and tau."""
    every = together(d, "interpretability")
    return {
        f"uninterpretable-k{row['k']}-tau{row['tau']}": uninterpretable_curves(
            *by_depth(every, row["k"], row["tau"]), seeds=by_seed(every, row["k"], row["tau"])
        )
        for row in d.interpretability_chance
    }


def importance(d: Dissection) -> Figures:
    """Return Fig. 4 a, b, c."""
    rows, accuracy = d.importance_curves.to_pylist(), d.notes("importance")["accuracy"]
    return {
        f"importance-{name}": importance_figure(rows, name, accuracy, measure=accuracy_name(d.multi_label))
        for name in CURVES
    }


def called(d: Dissection, word: str) -> np.ndarray:
    """Return (R,) bool: neurons whose open concepts hold an adjective."""
    words = d.word_table.to_pandas()
    mask = np.zeros(d.neuron_count, bool)
    mask[words[(words["word"] == word) & words["acoustic"]]["neuron"]] = True
    return mask


def acoustics(d: Dissection) -> Figures:
    """Return Fig. 8, for the words that enough neurons have."""
    means, made = d.acoustic_means, {}
    for word, (measure, unit) in MEASURED.items():
        mask = called(d, word)
        if mask.any():
            made[f"{word}-{measure}".replace("_", "-")] = word_boxes(means[measure].to_numpy(), mask, word, unit)
    return made


def unlearning(d: Dissection) -> Figures:
    """Return Fig. 10 for every concept of the stage, under DB and OCP."""
    runs, by_class = d.unlearning_runs.to_pylist(), d.unlearning_by_class
    classes, words, class_map = d.network_classes, d.concept_terms, class_map_of(d)
    made = {}
    for i, row in enumerate(runs):
        if row["number"] == "own" and not row["control"] and row["strategy"] in ("DB", "OCP") and row["count"]:
            fair = [
                j
                for j, r in enumerate(runs)
                if r["control"] and all(r[k] == row[k] for k in ("concept", "strategy", "number"))
            ]
            control = np.asarray(by_class[fair, 0]).mean(0) if fair else None
            related = words.get(row["concept"], {}).get("related", [])
            own = [classes[c] for c in classes_of_concept(class_map, classes, row["concept"])]
            name = "".join(c if c.isascii() and c.isalnum() else "-" for c in row["concept"])
            made[f"unlearning-{row['strategy']}-{i}-{name}"] = change_by_class(
                classes, np.asarray(by_class[i, 0]), control, own, related, "logits"
            )
    return made


def clusters(d: Dissection) -> Figures:
    """Return the elbow curve behind Table 8."""
    elbow = d.cluster_elbow
    return {"elbow": elbow_curve(elbow["counts"], elbow["inertia"], elbow["chosen"])}


def tuning(d: Dissection) -> Figures:
    """Return best frequencies and kinds of tuning, by depth."""
    d.require("tuning")
    return {
        "tuning-best-frequency-by-depth": frequencies_by_depth(d),
        "tuning-kinds-by-depth": shares_by_depth(d),
    }


def tuning_neurons(d: Dissection) -> Figures:
    """Return the frequency-response area and the tuning curves of the neuron of each layer that is tuned best."""
    d.require("tuning")
    made: Figures = {}
    for layer in d.layers:
        neuron = best_tuned_neuron(d, (layer.name,))
        stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in str(neuron))
        t = tuning_of(d, neuron)
        made |= {f"tuning-{stem}-{name}": draw_one(t) for name, draw_one in NEURON_FIGURES.items()}
    return made


def steering(d: Dissection) -> Figures:
    """Return by layer how many headlines name the class that the neuron moves up most."""
    d.require("steering")
    return {"steering-agreement-by-layer": agreement_figure(d)}


FIGURES: dict[str, Callable[[Dissection], Figures]] = {
    "adjectives": adjectives, "words-by-depth": words_by_depth, "words-by-layer-kind": words_by_layer_kind,
    "interpretability": interpretability, "importance": importance, "acoustics": acoustics,
    "unlearning": unlearning, "clusters": clusters, "tuning": tuning, "tuning-neurons": tuning_neurons,
    "steering": steering,
}  # fmt: skip


def draw(d: Dissection, name: str) -> Figures:
    """Return figures of a name.

    Raises
    ------
    DataError
        There is nothing to draw.
    NotComputed
        A stage has not been run.
    """
    made = {
        stem: figure
        for stem, figure in FIGURES[name](d).items()
        if any(len(trace.x) for trace in figure.data if trace.x is not None)
    }
    if not made:
        raise DataError(f"figure={name!r}: {d.name!r} holds nothing to draw for it")
    return made
