"""Search: what fits, in which order, and how sure; and what a few letters jump to."""

from __future__ import annotations

import numpy as np
import pytest

from and_core.query.jump import jump_places
from and_core.query.scores import confidence_of_all
from and_core.query.search import NEAREST, Query, find_neurons, rank_neurons


def test_results_are_ranked_by_confidence_and_words_fall_back_to_meaning(dissection) -> None:
    d = dissection
    ranked = rank_neurons(d, Query(concept="rain"))
    assert set(ranked.neurons) == set(find_neurons(d, Query(concept="rain"))[0]) and ranked.similarity is None
    np.testing.assert_array_equal(ranked.confidence, d.headlines.probability[ranked.neurons])
    sure = np.nan_to_num(ranked.confidence, nan=-1)
    assert (np.diff(sure) <= 0).all(), "surest first, untold last"
    by_words = rank_neurons(d, Query(text="rain", by="either"))
    summaries = [str(d.explanation(d.neuron_id(int(i)))) for i in by_words.neurons]
    assert by_words.similarity is None and all("rain" in text for text in summaries)
    for neuron, confidence in zip(by_words.neurons, by_words.confidence, strict=True):
        if "rain" not in str(d.headlines.concept[neuron]):
            np.testing.assert_equal(confidence, confidence_of_all(d, "SUM")[neuron])
    assert len(rank_neurons(d, Query(text="metallic twang", by="words")).neurons) == 0
    near = rank_neurons(d, Query(text="metallic twang", by="either"))
    assert 0 < len(near.neurons) <= NEAREST and near.similarity is not None
    if np.isfinite(near.confidence).any():
        assert (np.diff(near.similarity * np.nan_to_num(near.confidence)) <= 1e-6).all()


@pytest.mark.parametrize("text", ["(", "$", "a|b", "\\", "*", "ain"])
def test_a_word_is_matched_from_its_beginning_and_never_as_a_pattern(dissection, text: str) -> None:
    assert len(find_neurons(dissection, Query(text=text))[0]) == 0


def test_letters_jump_to_neurons_layers_concepts_and_words(dissection) -> None:
    assert jump_places(dissection, "  ") == []
    exact = jump_places(dissection, "layer2_intermediate/412")
    assert [(p.kind, p.name) for p in exact] == [("neuron", "layer2_intermediate/412")]
    assert jump_places(dissection, "2 inter 412") == exact
    assert [p.name for p in jump_places(dissection, "fc") if p.kind == "layer"] == ["fc"]
    assert not any(p.kind == "neuron" for p in jump_places(dissection, "fc/4000")), "no such unit"
    concept = dissection.explained_concepts[0]
    assert ("concept", concept) in [(p.kind, p.name) for p in jump_places(dissection, concept.upper())]
    word = dissection.explained_adjectives[0]
    assert ("adjective", word) in [(p.kind, p.name) for p in jump_places(dissection, word)]
    assert max(sum(p.kind == "neuron" for p in jump_places(dissection, "7", each=k)) for k in (1, 2)) == 2
