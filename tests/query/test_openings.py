"""What pages open on: known answers on neurons of which everything is known."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.query.openings import (
    best_scored_method,
    disagreement,
    leading_adjective,
    leading_concept,
    surest_neuron,
    totals,
    unclear_neuron,
)
from and_core.store.headline import SURE
from tests.query.headlines_only import HeadlinesOnly

NAN = float("nan")


def surest(probability: list[float], **columns: Any) -> str:
    return str(surest_neuron(HeadlinesOnly(["dog"] * len(probability), probability, **columns)))


def test_the_surest_hidden_neuron_is_never_of_the_classifier_nor_dead() -> None:
    d = HeadlinesOnly(["dog"] * 5, [0.7, 0.9, 0.95, 0.8, 1.0], dead=[False, False, True, False, False])
    assert str(surest_neuron(d)) == "a/1"  # 2 is dead, 4 the classifier's


def test_among_equals_methods_that_agree_come_first_then_clips_then_scores() -> None:
    agree = {"tab": [0, 0, 1, 1, 0], "db": ["dog", "dog", "rain", "dog", "dog"]}
    assert surest([0.9] * 5, **agree) == "a/0"
    assert surest([0.9] * 5, **agree, share=[0.4, 0.8, 1.0, 1.0, 1.0]) == "a/1"
    assert surest([0.9] * 5, share=[0.8] * 5, score=[0.1, 0.2, 0.4, NAN, 0.9]) == "b/0"
    assert surest([0.904, 0.901, 0.9, 0.9, 0.9], score=[0.1, 0.2, 0.3, 0, 1]) == "b/0"


def test_without_any_probability_what_is_held_out_decides() -> None:
    d = HeadlinesOnly(["dog", "rain", "dog", "rain", "dog"], [NAN] * 5, score=[0.1, 0.2, -0.3, 0.15, 0.9])
    assert str(surest_neuron(d)) == "a/1" and str(unclear_neuron(d)) == "b/0"
    assert totals(d).probability is None and totals(d).named == 0


def test_an_unclear_neuron_has_no_adjective_and_no_measure_that_holds() -> None:
    d = HeadlinesOnly(
        ["dog"] * 7,
        [0.9, 0.05, 0.1, 0.2, 0.3, 0.01, 0.0],
        words=[(1, 0.9), (2, 0.3)],
        follows=[False, False, False, True, False, False, False],
        dead=[False] * 5 + [True, False],
        share=[1, 0.2, 0.6, 0.2, 0.4, 0.2, 0.2],
    )
    assert str(unclear_neuron(d)) == "b/1"  # its clips have less in common than those of neuron 2
    several = HeadlinesOnly(["dog"] * 4, [0.9, 0.9, 0.1, 0.9], forms=["or", None, "and", None])
    assert str(surest_neuron(several)) == "a/1", "one concept says it"
    assert unclear_neuron(several) is None and totals(several).described == 1
    count = totals(d)
    assert (count.neurons, count.layers, count.named, count.described, count.unclear, count.dead) == (6, 2, 1, 2, 2, 1)
    assert count.probability == 0.9
    assert unclear_neuron(HeadlinesOnly(["dog"] * 3, [0.9, 0.8, 0.1])) is None


def test_where_methods_disagree() -> None:
    d = HeadlinesOnly(
        ["dog", "dog", "dog", None, "dog"],
        [0.9] * 5,
        db=["dog", "rain", "rain", None, "dog"],
        tab=[0, 1, 0, -1, 0],
    )
    assert disagreement(d, "a/0") == [] and disagreement(d, "b/1") == []
    assert disagreement(d, "a/1") == [("by captions", "rain"), ("by sound", "rain")]
    assert disagreement(d, "b/0") == [("by captions", "rain"), ("by sound", "dog")]


def test_concept_adjective_and_method_that_lead() -> None:
    d = HeadlinesOnly(["dog", "dog", "dog", "rain", "rain"], [0.61, 0.2, 0.3, 0.95, 0.1], other_score=[0.3] * 5)
    assert leading_concept(d) == "rain", "three guesses weigh less than one that holds"
    assert leading_concept(HeadlinesOnly(["dog", "dog", "rain"], [NAN] * 3)) == "dog"
    assert leading_concept(HeadlinesOnly([None] * 3, [NAN] * 3)) is None
    assert leading_adjective(d) == "loud" and best_scored_method(d) == "TAB"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=12), st.data())
def test_every_hidden_neuron_counts_once(probability: list[float], data: st.DataObject) -> None:
    n = len(probability)
    dead = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    d = HeadlinesOnly(["dog"] * n, probability, dead=dead)
    count, unclear = totals(d), unclear_neuron(d)
    assert count.named + count.described + count.unclear + count.dead == count.neurons == n - 1
    assert (unclear is None) == (count.unclear == 0)
    surest = d.index(surest_neuron(d))
    alive = [i for i in range(n - 1) if not dead[i]]
    assert not alive or round(probability[surest], 2) == max(round(probability[i], 2) for i in alive)
    assert unclear is None or probability[d.index(unclear)] < SURE


def test_a_large_network_is_chosen_from_within_a_second() -> None:
    rng, n = np.random.default_rng(0), 55_346
    concepts = np.array(["dog", "rain", None], object)[rng.integers(0, 3, n)].tolist()
    d = HeadlinesOnly(
        concepts, rng.random(n).tolist(), db=concepts, tab=rng.integers(-1, 2, n).tolist(), share=rng.random(n)
    )
    began = time.process_time()
    assert surest_neuron(d) and unclear_neuron(d) and totals(d).neurons == n - 1 and leading_concept(d)
    assert time.process_time() - began < 1
    began = time.process_time()
    assert surest_neuron(d) and unclear_neuron(d) and disagreement(d, d.neuron_id(7)) is not None
    assert time.process_time() - began < 0.05, "kept, since a page asks at every step"
