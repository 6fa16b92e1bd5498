"""Selections and their fair random controls; the figures of Table 4 on golden values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.dissect.words import content_lemmas
from and_core.errors import ConfigError, DataError
from and_core.records import NeuronId
from and_core.targets.base import layer_record
from and_core.unlearn.measure import accuracy, accuracy_by_class, average_precision, effect
from and_core.unlearn.selection import at_random, by_concept, by_list, concept_words, fair_random, matching

LAYERS = [layer_record("layer0_fc1", 6, 0), layer_record("layer0_fc2", 4, 6), layer_record("fc", 3, 10)]


def one_hot(labels: list[int], classes: int = 3) -> np.ndarray:
    return np.array(labels)[:, None] == np.arange(classes)


def test_golden_values() -> None:
    before = np.array([[2.0, 1, 0], [4, 0, 0], [0, 3, 1], [1, 1, 5]])
    after = np.array([[1.0, 1, 0], [1, 0, 0], [0, 2.5, 1], [1, 1, 6]])
    found = effect(before, after, one_hot([0, 0, 1, 2]), [0])
    assert (
        found.ablating == pytest.approx(-2.0)
        and found.remaining == pytest.approx((-0.5 + 1.0) / 2)
        and found.gap == pytest.approx(2.25)
    )
    assert np.allclose(found.by_class, [-2, -0.5, 1])
    low, high = found.intervals["ablating"]
    assert low == -3 and high == -1 and found.intervals["remaining"] == (0.25, 0.25), (
        "one clip a class leaves nothing to draw"
    )
    none = effect(before, after, one_hot([0, 0, 1, 2]), [])
    assert np.isnan(none.ablating) and np.isnan(none.gap) and none.remaining == pytest.approx((-2 - 0.5 + 1) / 3)
    empty = effect(before[:2], after[:2], one_hot([0, 0]), [0])
    assert empty.ablating == -2 and np.isnan(empty.remaining) and np.isnan(empty.by_class[1])
    assert np.allclose(accuracy_by_class(after, one_hot([0, 1, 1, 2])), [1, 0.5, 1])


def test_a_clip_of_several_classes_counts_for_each() -> None:
    before = np.array([[2.0, 1, 0], [4, 2, 0], [0, 3, 1], [1, 1, 5]])
    after = before + np.array([[-1.0, -2, 0], [-3, 0, 9], [9, 0, 9], [9, 9, 1]])
    truth = np.array([[True, True, False], [True, False, False], [False, True, False], [False, False, True]])
    changed = effect(before, after, truth, [0])
    assert np.allclose(changed.by_class, [-2, -1, 1]), "the first clip counts for both of its classes"
    assert changed.ablating == -2 and changed.remaining == 0 and changed.gap == 2
    both = effect(before, after, truth, [0, 1])
    assert both.ablating == -1.5 and both.remaining == 1, "a concept of two classes"
    low, high = both.intervals["ablating"]
    assert low <= -1.5 <= high
    assert accuracy(before, truth) == 100 and accuracy_by_class(after, truth).tolist() == [0.5, 0.5, 0]


def test_average_precision_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((40, 5)), rng.random((40, 5)) < 0.3
    truth[:, 4] = False
    own = average_precision(scores, truth)
    assert np.allclose(own[:4], [average_precision_score(truth[:, c], scores[:, c]) for c in range(4)])
    assert np.isnan(own[4]) and accuracy(scores, truth, multi_label=True) == pytest.approx(100 * own[:4].mean())


@given(seed=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_what_holds_for_any_outputs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, c = int(rng.integers(4, 40)), int(rng.integers(2, 6))
    before, labels = rng.standard_normal((n, c)), rng.integers(0, c, n)
    labels[:c] = np.arange(c)[: min(n, c)]
    truth = one_hot(labels, c)
    same = effect(before, before, truth, [0], draws=20)
    assert same.ablating == same.remaining == same.gap == 0
    shift = effect(before, before - 3, truth, [0], draws=20)
    assert shift.gap == pytest.approx(0, abs=1e-9) and shift.ablating == pytest.approx(-3), (
        "what strikes all alike has no gap"
    )
    some = effect(before, before + rng.standard_normal((n, c)), truth, [0], draws=50, seed=seed)
    assert some.intervals["gap"][0] <= some.intervals["gap"][1]
    order = rng.permutation(n)
    moved = before + np.arange(n)[:, None]
    assert effect(before, moved, truth, [0], draws=0).gap == pytest.approx(
        effect(before[order], moved[order], truth[order], [0], draws=0).gap
    )


def test_outputs_that_do_not_belong_together_are_refused() -> None:
    x = np.zeros((3, 2))
    for before, after, truth, target, message in (
        (x, x[:2], one_hot([0, 0, 0], 2), 0, "do not belong"),
        (x, x, one_hot([0, 1, 2]), 0, "do not belong"),
        (x, x, one_hot([0, 0, 0], 2), 5, "target=.5,. is out of range"),
        (x, x * np.nan, one_hot([0, 0, 0], 2), 0, "NaN"),
    ):
        with pytest.raises(DataError, match=message):
            effect(before, after, truth, [target])


@given(seed=st.integers(0, 100), count=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_random_controls_are_fair(seed: int, count: int) -> None:
    chosen = at_random(LAYERS, count, seed)
    assert (
        chosen.count == min(count, 10)
        and "fc" not in chosen.masks
        and chosen.per_layer == at_random(LAYERS, count, seed).per_layer
    )
    fair = fair_random(chosen.masks, seed + 1)
    assert fair.per_layer == chosen.per_layer and fair.seed == seed + 1


def test_selections_by_concept_and_by_list() -> None:
    best = np.full((13, 5), -1)
    best[1, 2], best[2, 3], best[7, 0], best[11, 0] = 4, 4, 4, 4
    chosen = by_concept("DB", LAYERS, best, 4)
    assert np.flatnonzero(chosen.masks["layer0_fc1"]).tolist() == [1] and np.flatnonzero(
        chosen.masks["layer0_fc2"]
    ).tolist() == [1]
    assert by_concept("DB", LAYERS, best, 9).count == 0
    mine = by_list(LAYERS, [NeuronId("layer0_fc2", 3), NeuronId("layer0_fc2", 3)])
    assert mine.count == 1 and mine.masks["layer0_fc2"][3]
    for wrong in (NeuronId("fc", 0), NeuronId("layer0_fc1", 6), NeuronId("layer9", 0)):
        with pytest.raises(ConfigError, match="is not in a hidden layer"):
            by_list(LAYERS, [wrong])


def test_open_concept_pruning_matches_whole_words() -> None:
    concepts = ["door_wood_knock", "hand_saw", "dog", "water_drops", "pouring_water", "wood_creaks"]
    words = concept_words(concepts, content_lemmas)
    assert words["door_wood_knock"] == ({"door", "wood", "knock"}, {"wood"}) and words["dog"] == ({"dog"}, set())
    assert "drop" in words["water_drops"][0] and words["water_drops"][1] == {"water"}
    nouns = ["door", "wood", "in", "doo", "dog"]

    def matched(concept: str, **options: bool) -> set[str]:
        return matching(nouns, concept, words, **options)

    assert matched("door_wood_knock") == {"door", "wood"} and matched("door_wood_knock", leave_shared=True) == {"door"}
    assert matched("door_wood_knock", substring=True) == {"door", "wood", "doo"}, (
        "the reference takes any part of the name for the name"
    )
    assert matched("hand_saw") == set() and matched("dog") == {"dog"}
    with pytest.raises(ConfigError, match="concept='cat' is not known; allowed: door_wood_knock"):
        matching(nouns, "cat", words)
