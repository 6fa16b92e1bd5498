"""The intruder test and hard negatives: golden values, invariants, planted and random neurons, the stage, the page."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, mannwhitneyu

from and_core import open_dissection, pipeline
from and_core.evaluate.intruder import (
    both_ways,
    firing,
    hard_negatives,
    measure_vectors,
    p_values,
    random_neurons,
    sound_vectors,
    told_apart,
)
from tests.conftest import small_config
from tests.dashboard import app, page_html


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "x" for letter in row] for row in rows])


def test_golden_values() -> None:
    high, low = mask("xxxx......"), mask("......xxxx")
    scores = np.array([[9, 8, 7, 6, 0, 0, 5, 4, 3, 2]], np.float32)
    auroc, found = told_apart(scores, high, low)
    assert auroc[0] == 1 and found[0] == 1
    scores[0, 6] = 6.5  # one low clip of four lies above one of the four high ones
    auroc, found = told_apart(scores, high, low)
    assert auroc[0] == pytest.approx(15 / 16) and found[0] == pytest.approx(3 / 4)
    auroc, found = told_apart(np.zeros((1, 10), np.float32), high, low)
    assert auroc[0] == pytest.approx(0.5) and found[0] == pytest.approx(0.2), "equal sounds are chance"
    auroc, found = told_apart(scores, mask(".xxx......"), low)
    assert auroc[0] == pytest.approx(11 / 12) and np.isnan(found[0])
    assert np.isnan(told_apart(scores, mask(".........."), low)[0][0])
    assert measure_vectors({"a": np.array([1, np.nan, 3]), "same": np.full(3, 0.1)}).tolist() == [[-1], [0], [1]]
    assert np.allclose(sound_vectors(np.array([[3, 0], [1, 0], [2, 0]])), [[1, 0], [-1, 0], [0, 0]])
    assert p_values(np.array([2.0, 0.5, np.nan]), np.array([0.0, 1.0, 2.0])).tolist()[:2] == [0.5, 0.75]


@given(seed=st.integers(0, 500), values=st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_told_apart_agrees_with_counting_every_draw(seed: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, (2, 16)).astype(np.float32)
    f = firing(rng.standard_normal((2, 16)).astype(np.float32))
    auroc, found = told_apart(scores, f.high, f.low)
    for row in range(2):
        highs, lows = scores[row][f.high[row]].astype(float), scores[row][f.low[row]].astype(float)
        hands = list(itertools.product(lows, itertools.combinations(highs, 4)))
        shared = [(low <= min(hand)) / (1 + sum(low == other for other in hand)) for low, hand in hands]
        assert found[row] == pytest.approx(np.mean(shared))
        assert auroc[row] == pytest.approx(mannwhitneyu(highs, lows).statistic / len(highs) / len(lows))


@given(seed=st.integers(0, 500), levels=st.sampled_from([0, 2, 5]))
@settings(max_examples=25, deadline=None)
def test_the_order_of_clips_changes_nothing(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    u, x = rng.standard_normal((6, 60)).astype(np.float32), rng.standard_normal((60, 4)).astype(np.float32)
    if levels:
        u = np.maximum(0, np.round(u * levels))  # many equal activations, as behind a ReLU
    first, order = rng.permutation(60) < 30, rng.permutation(60)
    found, mixed = both_ways(u, x, first), both_ways(u[:, order], x[order], first[order])
    assert all(np.allclose(found[name], mixed[name], atol=1e-5, equal_nan=True) for name in found)
    negatives = hard_negatives(u, x)
    mixed_negatives = hard_negatives(u[:, order], x[order])
    assert np.array_equal(np.where(mixed_negatives >= 0, order[mixed_negatives], -1), negatives)
    f = firing(u)
    assert not (f.high & f.low).any() and not (f.high & ~f.fires).any() and (f.low.sum(1) >= 30).all()
    swapped = both_ways(u, x, ~first)
    assert all(np.allclose(found[name], swapped[name], equal_nan=True) for name in found), "both ways count alike"


def test_a_neuron_that_hears_is_told_from_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    x = sound_vectors(rng.standard_normal((400, 8)))
    first = rng.permutation(400) < 200
    directions = rng.standard_normal((20, 8))
    heard = (directions @ x.T).astype(np.float32)
    found = both_ways(heard, x, first)
    null = both_ways(random_neurons(np.arange(400), 999, 1), x, first)["z"]
    assert found["auroc"].min() > 0.9 and found["found"].min() > 0.7 and found["neighbours_fire"].min() > 0.6
    assert p_values(found["z"], null).max() == pytest.approx(1 / 1000) and (found["neighbours_chance"] == 0.2).all()
    deaf = both_ways(rng.standard_normal((800, 400)).astype(np.float32), x, first)
    assert deaf["auroc"].mean() == pytest.approx(0.5, abs=0.01)
    assert deaf["found"].mean() == pytest.approx(0.2, abs=0.01)
    assert deaf["neighbours_fire"].mean() == pytest.approx(0.2, abs=0.01)
    p = p_values(deaf["z"], null)
    assert kstest(p, "uniform").pvalue > 0.01 and 0.02 < (p <= 0.05).mean() < 0.08


def test_clips_of_one_recording_are_no_independent_evidence() -> None:
    """A neuron that fires at random, recording by recording, is not called selective though its clips sound alike."""
    rng = np.random.default_rng(0)
    sources = np.repeat(np.arange(60), 5)
    x = sound_vectors(np.repeat(rng.standard_normal((60, 6)), 5, 0) + 0.1 * rng.standard_normal((300, 6)))
    first = sources % 2 == 0
    deaf = both_ways(random_neurons(sources, 600, 1), x, first)["z"]
    by_recording = both_ways(random_neurons(sources, 999, 2), x, first)["z"]
    by_clip = both_ways(random_neurons(np.arange(300), 999, 2), x, first)["z"]
    assert (p_values(deaf, by_recording) <= 0.05).mean() < 0.08 < (p_values(deaf, by_clip) <= 0.05).mean()


def test_hard_negatives_sound_like_the_high_clips_and_do_not_fire() -> None:
    x = np.array([[float(i), 0] for i in range(40)], np.float32)
    u = np.where(np.arange(40) < 5, 5.0, np.where(np.arange(40) % 3 == 0, 1.0, 0.0)).astype(np.float32)[None]
    assert hard_negatives(u, x).tolist() == [[5, 7, 8, 10, 11]], "every third fires a little, most rest at 0"
    assert hard_negatives(np.zeros((1, 40), np.float32), x).tolist() == [[-1] * 5], "no clip is high"
    rests = np.zeros((1, 40), np.float32)
    rests[0, 3] = 1
    assert np.isnan(both_ways(rests, x, np.arange(40) % 2 == 0)["auroc"][0]), "one high clip is too few"
    assert hard_negatives(rests, x)[0].tolist()[:2] in ([2, 4], [4, 2])


def test_the_stage_tests_every_live_neuron(dissection) -> None:
    d, notes = dissection, dissection.notes("intruder")
    found = d.intruder
    assert set(found) == {"auroc", "found", "p", "neighbours_fire", "neighbours_chance"}
    assert all(values.shape == (d.neuron_count,) for values in found.values())
    assert notes["by"] == d.notes("sounds")["encoder"] and notes["clips"] == [12, 12]
    assert np.array_equal(np.isnan(found["auroc"]), d.dead) and notes["tested"] == (~d.dead).sum()
    index = int(np.flatnonzero(~d.dead)[-1])
    neuron = d.neuron_id(index)
    values = np.asarray(d.activations(neuron))
    negatives = d.hard_negatives[index]
    assert (values[negatives[negatives >= 0]] <= np.median(values)).all() and (negatives >= 0).all()
    first = np.asarray(d.array("scores/first_half"))
    x = sound_vectors(np.asarray(d.array("sounds/clip_embeddings")))
    assert both_ways(values[None].astype(np.float32), x, first)["auroc"][0] == pytest.approx(found["auroc"][index])
    assert np.nanmean(found["auroc"]) > 0.6


def test_by_measures_and_with_few_clips(own, monkeypatch: pytest.MonkeyPatch) -> None:
    root = own.folder.parent
    monkeypatch.setenv("AND_CACHE", str(root))
    pipeline.run(small_config(audio_encoder=None), root=root, only=["sounds", "intruder"])
    d = open_dissection("small", root=root)
    assert d.notes("intruder")["by"] == "acoustic measures" and np.nanmean(d.intruder["auroc"]) > 0.6
    few = small_config(audio_encoder=None, probe={"without_share": 0.5})
    pipeline.run(few, root=root, only=["neurons", "intruder"])
    d = open_dissection("small", root=root)
    assert d.intruder == {} and "fewer than 10 clips" in d.notes("intruder")["reason"]
    text = page_html(app(dissection="small").run())
    assert "By sound alone" in text and "Not tested: a half holds fewer than 10 clips" in text


def test_the_page_says_it_in_sentences(cache, monkeypatch: pytest.MonkeyPatch, dissection) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small", layer="layer3_output", unit="5").run()
    text = page_html(test)
    index = dissection.index("layer3_output/5")
    assert not test.exception and "By sound alone its high clips" in text and "(chance 20 %)" in text
    assert f"found in {100 * dissection.intruder['found'][index]:.0f} %" in text
    test.session_state["hard_negatives"] = True
    test.run()
    more = page_html(test)
    clips = dissection.hard_negatives[index]
    assert not test.exception and more.count("<audio") == text.count("<audio") + len(clips)
