"""Words by depth, clusters, interpretability and acoustics: golden values, invariants, and what there is when there is
little."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core import open_dissection, pipeline
from and_core.analyze.acoustics import compare, disagreements, every_test, means_of_clips
from and_core.analyze.clusters import bend, cloud, fit, related, sentences_of
from and_core.analyze.interpretability import by_chance, most_shared, uninterpretable
from and_core.analyze.map import components, gram, layout
from and_core.analyze.words import by_block, by_layer, counts_per_neuron, distribution
from and_core.errors import DataError
from and_core.figures.network import words_by_kind
from and_core.targets.base import layer_record
from tests.conftest import small_config
from tests.dashboard import app

LAYERS = [layer_record("layer0_fc1", 3, 0), layer_record("layer1_fc1", 3, 3), layer_record("fc", 2, 6)]


WORDS = pa.table(
    {
        "neuron": pa.array([0, 0, 0, 3, 4, 7], pa.int32()),
        "pos": ["adjective", "noun", "adjective", "adjective", "verb", "adjective"],
        "word": ["loud", "dog", "round", "loud", "ring", "bright"],
        "count": pa.array([1, 2, 1, 1, 3, 1], pa.int32()),
        "acoustic": [True, False, False, True, False, True],
    }
)


def test_words_are_counted_as_the_paper_counts_them() -> None:
    counts = counts_per_neuron(WORDS, 8)
    assert counts["adjective"].tolist() == [1, 0, 0, 1, 0, 0, 0, 1], "words for sound, each once"
    assert (
        counts["noun"].tolist() == [2, 0, 0, 0, 0, 0, 0, 0]
        and counts["verb"].tolist() == [0, 0, 0, 0, 3, 0, 0, 0]
        and not counts["preposition"].any()
    )
    assert distribution(WORDS, LAYERS) == [
        {"word": "loud", "neurons": 2, "layers": {"layer0_fc1": 1, "layer1_fc1": 1}},
        {"word": "bright", "neurons": 1, "layers": {"fc": 1}},
    ]
    alive = np.array([True] * 3 + [False] * 3 + [False, True])
    rows = by_layer({**counts, "tokens": np.arange(8)}, alive, LAYERS)
    assert (
        [r["tokens"] for r in rows] == [1, None, 7]
        and rows[0]["noun"] == pytest.approx(2 / 3)
        and rows[2]["block"] is None
    ), "dead ones are not counted"
    empty = WORDS.slice(0, 0)
    assert distribution(empty, LAYERS) == [] and not counts_per_neuron(empty, 8)["noun"].any()


def test_the_fit_over_blocks() -> None:
    layers = [layer_record(f"layer{i}_fc1", 50, 50 * i) for i in range(4)] + [layer_record("fc", 5, 200)]
    values = np.concatenate([np.full(50, 3.0 - 0.5 * i) for i in range(4)] + [np.full(5, 99.0)])
    found = by_block(values + np.tile([-0.1, 0.1], 103)[:205], layers)
    assert found["slope"] == pytest.approx(-0.5) and found["slope_low"] < -0.5 < found["slope_high"] < 0, (
        "the classifier is left out"
    )
    assert found["blocks"] == [0, 1, 2, 3] and all(
        low <= m <= high for low, m, high in zip(found["low"], found["means"], found["high"], strict=True)
    )
    flat = [layer_record("conv", 4, 0), layer_record("fc", 2, 4)]
    assert by_block(np.ones(6), flat)["blocks"] == [] and by_block(np.ones(6), flat)["slope"] is None
    assert by_block(np.ones(3), LAYERS[:1])["slope"] is None, "one block has no slope"
    exact = by_block(np.array([1.0, np.nan, np.nan, 2.0, np.nan, np.nan, 0, 0]), LAYERS)
    assert exact["slope"] == 1 and exact["slope_low"] is None and exact["p"] is None, (
        "a line through two points has no interval"
    )


def test_sentences_and_the_elbow() -> None:
    assert sentences_of("A dog barks. It is loud! Sure, here you go. Yes.") == ["A dog barks.", "It is loud!"]
    assert sentences_of("") == [] and sentences_of("no full stop here") == ["no full stop here"]
    assert bend([1, 2, 3, 4, 5], [100, 40, 12, 10, 9]) == 3 and bend([1], [5.0]) == 1 and bend([1, 2], [5.0, 1.0]) == 2
    with pytest.raises(DataError, match="no sentence"):
        bend([], [])
    rng = np.random.default_rng(0)
    vectors = np.concatenate(
        [rng.normal(c, 0.05, (n, 3)) for c, n in (((1, 0, 0), 30), ((0, 1, 0), 20), ((0, 0, 1), 10))]
    ).astype(np.float32)
    once = np.ones(60, int)
    cluster, _, distance = fit(vectors, once, 3, 0)
    assert np.bincount(cluster).tolist() == [30, 20, 10] and len(set(cluster[:30])) == 1, "the largest is number 0"
    assert (distance >= 0).all() and np.array_equal(cluster, fit(vectors, once, 3, 0)[0])
    counts = list(range(1, 9))
    assert bend(counts, [fit(vectors, once, k, 0)[1] for k in counts]) == 3
    often = np.where(np.arange(60) >= 50, 9, 1)
    assert fit(vectors, often, 3, 0)[0][-1] == 0, (
        "the cluster with the most sentences is number 0, not the one with the most different ones"
    )
    one = fit(vectors[:1], once[:1], 1, 0)
    assert one[0].tolist() == [0] and one[1] == pytest.approx(0)
    assert cloud(["a" * 300 + " loud"], 0) == cloud(["loud"], 0), "what is no word fits into no cloud"
    assert (
        cloud(["the dog barks loudly"], 0) == cloud(["the dog barks loudly"], 0)
        and cloud(["it is", "to be"], 0) is None
    )


@given(seed=st.integers(0, 300), k=st.integers(1, 6), clusters=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_shared_clusters_agree_with_counting_by_hand(seed: int, k: int, clusters: int) -> None:
    rng = np.random.default_rng(seed)
    shared_by = rng.random((12, clusters)) < 0.4
    tops = np.stack([rng.permutation(12)[:k] for _ in range(5)])
    tops[0, -1] = -1
    most, cluster = most_shared(tops, shared_by)
    for row, n, c in zip(tops, most, cluster, strict=True):
        by_hand = [sum(bool(shared_by[i, j]) for i in row if i >= 0) for j in range(clusters)]
        assert n == max(by_hand) and (c == -1 if not max(by_hand) else by_hand[c] == max(by_hand))
    null = by_chance(shared_by, np.arange(12), k, seed)
    assert null.sum() == pytest.approx(1) and len(null) == k + 1
    more = [
        row["uninterpretable"]
        for tau in range(k + 2)
        for row in uninterpretable(most, np.ones(5, bool), tau, [layer_record("layer0_fc1", 5, 0)])
    ]
    assert more == sorted(more) and more[0] == 0 and more[-1] == 5, "a higher tau finds no more neurons interpretable"


def test_chance_by_enumeration() -> None:
    shared_by = related(np.array([0, 1, 2, 3, 4]), np.array([0, 0, 0, 1, 1]), 6, 2)
    exact = np.zeros(4)
    for sets in itertools.combinations(range(6), 3):
        exact[shared_by[list(sets)].sum(0).max()] += 1 / 20
    assert np.allclose(by_chance(shared_by, np.arange(6), 3, 0), exact, atol=0.02)


def test_dead_neurons_are_not_counted() -> None:
    rows = uninterpretable(
        np.array([0, 5, 0, 3, 3, 3, 1, 1]), np.array([True, True, False, False, False, False, True, True]), 3, LAYERS
    )
    assert (
        rows[0]["neurons"] == 2
        and rows[0]["percent"] == 50
        and np.isnan(rows[1]["percent"])
        and rows[2]["percent"] == 100
    )


def test_words_against_measures() -> None:
    rng = np.random.default_rng(1)
    amplitude = np.concatenate([rng.normal(10, 1, 50), rng.normal(2, 1, 50)])
    amplitude[3] = np.nan
    tops = np.concatenate([rng.integers(0, 50, (30, 5)), rng.integers(50, 100, (40, 5))])
    tops[0] = 3
    means = means_of_clips(tops, {"amplitude": amplitude})
    assert np.isnan(means["amplitude"][0]) and means["amplitude"][1] == pytest.approx(np.nanmean(amplitude[tops[1]]))
    loud = np.arange(70) < 30
    tests = every_test(means, {"loud": loud, "quiet": loud, "rare": np.arange(70) < 3})
    assert {t["word"] for t in tests} == {"loud", "quiet"}, "too few neurons are no test"
    by_word = {t["word"]: t for t in tests}
    assert (
        by_word["loud"]["delta"] == 1
        and by_word["loud"]["agrees"] == "yes"
        and by_word["quiet"]["agrees"] == "no"
        and by_word["loud"]["with"] == 29
    )
    assert all(t["q"] >= t["p"] for t in tests)
    assert compare(np.arange(30.0), np.arange(30) < 15)["delta"] == -1
    assert every_test(means, {}) == []
    weak = every_test({"amplitude": np.tile([0.0, 1.0], 40)}, {"loud": np.arange(80) < 40})
    assert [t["agrees"] for t in weak] == ["not shown"], "no difference is not the opposite"
    wrong, total = disagreements(tops, {"amplitude": amplitude}, {"quiet": loud, "loud": loud}, 5)
    assert {r["word"] for r in wrong} == {"quiet"} and len(wrong) == 5 and total >= 15
    beyond = [r["value"] - r["bound"] for r in wrong]
    assert beyond == sorted(beyond, reverse=True), "the worst first"


def test_words_by_kind_of_layer_weigh_layers_by_their_neurons() -> None:
    rows = [
        {"kind": "fc1", "neurons": 30, "noun": 1.0},
        {"kind": "fc1", "neurons": 10, "noun": 3.0},
        {"kind": "output", "neurons": 5, "noun": 2.0},
    ]
    bars = words_by_kind({"one": rows, "none": []}, "noun").data
    assert (
        list(bars[0].x) == ["fc1", "output"]
        and list(bars[0].y) == [1.5, 2.0]
        and list(bars[0].customdata) == [40, 5]
        and not bars[1].x
    )


def test_the_map_keeps_what_is_alike_together() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(5 * np.eye(6)[i], 0.3, (60, 6)) for i in range(3)]).astype(np.float32)
    centred = vectors - vectors.mean(0)
    whole = gram([centred])
    assert np.allclose(whole, gram([centred[:50], centred[50:]]), atol=1e-4), "block by block"
    points = centred @ components(whole)
    points[7] = np.nan
    found, method = layout(points, 0)
    assert method == "tsne" and layout(points[:50], 0)[1] == "pca", (
        "few neurons are shown by their components, and it is said so"
    )
    assert found.shape == (180, 2) and np.isnan(found[7]).all() and np.isfinite(np.delete(found, 7, 0)).all()
    assert np.array_equal(found, layout(points, 0)[0], equal_nan=True), "the same map every time"
    kept, group = np.delete(found, 7, 0), np.delete(np.repeat(np.arange(3), 60), 7)
    distance = np.linalg.norm(kept[:, None] - kept[None], axis=2) + 1e9 * np.eye(179)
    assert np.mean(group[distance.argmin(1)] == group) > 0.98, "a neighbour on the map is of the same kind"
    few = layout(points[:20], 0)[0]
    assert np.allclose(np.delete(few, 7, 0), np.delete(points[:20, :2], 7, 0)), (
        "too few for t-SNE: principal components"
    )
    assert np.isnan(layout(np.full((4, 3), np.nan, np.float32), 0)[0]).all() and layout(
        np.zeros((0, 3), np.float32), 0
    )[0].shape == (0, 2)


def test_the_map_in_colour() -> None:
    from and_core.figures.map import MOST, neuron_map

    places = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    places[4] = np.nan
    groups = [f"group {i % 9}" if i % 2 else None for i in range(30)]
    figure = neuron_map(places, groups, [f"fc/{i}: <b>&" for i in range(30)], np.array([4, 5]))
    shown = sorted(int(i) for trace in figure.data if trace.name != "found" for i in trace.customdata)
    assert shown == [i for i in range(30) if i != 4], "every neuron that has a place stands there once"
    assert len(figure.data) == 1 + MOST + 1 and figure.data[-1].customdata.tolist() == [5]
    assert all("<" not in text for trace in figure.data for text in trace.text)


def test_stages_hold_what_the_functions_give(dissection) -> None:
    d = dissection
    table = d.table("word_counts/neurons").to_pandas()
    for index in range(0, d.neuron_count, 401):
        words = d.words(d.neuron_id(index))
        assert table["adjective"][index] == sum(w["acoustic"] for w in words)
        assert table["noun"][index] == sum(w["count"] for w in words if w["pos"] == "noun")
    sentences = d.table("clusters/sentences").to_pandas()
    assert (
        set(sentences["clip"]) <= set(range(24))
        and sentences["cluster"].nunique() == d.notes("clusters")["clusters"] == d.document("clusters/elbow")["chosen"]
    )
    shared_by = np.asarray(d.array("clusters/related"))
    for clip, cluster in zip(sentences["clip"], sentences["cluster"], strict=True):
        assert shared_by[clip, cluster]
    assert shared_by.sum() == sentences.drop_duplicates(["clip", "cluster"]).shape[0]
    rows = [r for r in d.table("interpretability/layers").to_pylist() if (r["k"], r["tau"]) == (5, 4)]
    most, alive = np.asarray(d.array("interpretability/most_5")), ~d.table("neurons/statistics")["dead"].to_numpy()
    assert sum(r["uninterpretable"] for r in rows) == int((most[alive] < 4).sum())
    for test in d.document("acoustics/tests"):
        assert -1 <= test["delta"] <= 1 and 0 <= test["q"] <= 1


def test_one_caption_one_cluster_and_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text('{"dog-000.wav": "A dog barks."}')
    from and_core.corpus.clips import clip_name

    captions.write_text(f'{{"{clip_name("dog", 0)}": "A dog barks."}}')
    pipeline.run(
        small_config(captions={"kind": "file", "path": str(captions)}, unlearning=None, audio_encoder=None),
        root=tmp_path,
    )
    d = open_dissection("small", root=tmp_path)
    assert (
        d.notes("clusters")["clusters"] == 1
        and d.document("acoustics/tests") == []
        and d.document("word_counts/adjectives") == []
    )
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    for path in ("app.py", "pages/words.py", "pages/layers.py", "pages/strategies.py"):
        test = app(dissection="small").run()
        assert not (test if path == "app.py" else test.switch_page(path).run()).exception, path
