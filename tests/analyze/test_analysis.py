"""Words by depth, clusters, interpretability and acoustics: golden values, invariants, and what there is when there is
little."""

from __future__ import annotations

import itertools
from collections import OrderedDict
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
from tests.conftest import command, small_config
from tests.dashboard import app, said

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
    assert compare(np.arange(30.0), np.arange(30) < 15)["delta"] == -1  # type: ignore[index]
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


@pytest.mark.parametrize("path", ["pages/words.py", "pages/layers.py", "pages/strategies.py"])
def test_pages(path: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dissection) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small").run().switch_page(path).run()
    text = said(test)
    assert not test.exception
    if path == "pages/words.py":
        assert (
            "Adjectives of the network" in text
            and "Clusters of caption sentences" in text
            and "Words against what was measured" in text
        )
        assert "data:image/png;base64," in text and "/clips/small/" in text
        if dissection.notes("clusters")["clusters"] > 1:
            test.session_state["cluster"] = 1
            test.run()
            assert not test.exception
    elif path == "pages/strategies.py":
        assert "What the paper says, and what this data says" in text and "Only one dissection stands" in text
    else:
        assert "Uninterpretable neurons by depth" in text and "Words by depth" in text
        test.session_state["k"], test.session_state["counted_by"] = 20, "kind of layer"
        test.run()
        assert not test.exception
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    pipeline.run(small_config(unlearning=None), root=tmp_path, only=["clips", "activations", "neurons"])
    bare = app(dissection="small").run().switch_page(path).run()
    assert not bare.exception and "has not been run yet" in said(bare)


def test_every_table_and_figure_is_a_file(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_core.figures.catalogue import TABLES
    from and_core.figures.gallery import FIGURES

    monkeypatch.setenv("AND_CACHE", str(cache))

    for name in TABLES:
        for form in ("text", "csv", "markdown", "latex"):
            answer = command("table", name, "small", "--format", form)
            assert (
                answer.startswith("0 ")
                or "not enough" in answer
                or "enough neurons" in answer
                or name in ("planted", "listening")
            ), (
                name,
                form,
                answer[:300],
            )
    assert "\\begin{tabular}" in command("table", "clusters", "small", "--format", "latex") and "| cluster" in command(
        "table", "clusters", "small", "--format", "markdown"
    )
    for name in FIGURES:
        answer = command("figure", name, "small", "--out", str(tmp_path / name))
        assert (answer.startswith("0 ") and list((tmp_path / name).glob("*.html"))) or "nothing to draw" in answer, (
            name,
            answer[:300],
        )
    assert "format='gif' is not known" in command("figure", "adjectives", "small", "--format", "gif")
    assert "figure='nine' is not known; allowed: adjectives" in command("figure", "nine", "small")
    (tmp_path / "file").write_text("")
    assert "can't be written" in command("figure", "clusters", "small", "--out", str(tmp_path / "file"))


@pytest.mark.browser
def test_figures_as_pictures(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from typer.testing import CliRunner

    from and_core.cli.main import app as commands

    pytest.importorskip("kaleido", reason="kaleido is not installed (pip install -e '.[figures]')")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    monkeypatch.setenv("AND_CACHE", str(cache))
    done = CliRunner().invoke(
        commands, ["figure", "clusters", "small", "--out", str(tmp_path), "--format", "svg", "--format", "png"]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "elbow.svg").read_text().startswith("<svg") and (tmp_path / "elbow.png").read_bytes()[
        :4
    ] == b"\x89PNG"


def test_statements_are_of_this_data(dissection) -> None:
    from and_core.figures.strategies import STATEMENTS, statements, trend

    rows = statements([dissection])
    assert [r["statement"] for r in rows] == list(STATEMENTS.values())
    fit = dissection.document("word_counts/blocks")["adjective"]
    assert rows[0]["trend"] == trend(fit) and f"{fit['slope']:+.3f}" in rows[0]["this data"]


@pytest.mark.parametrize(
    ("name", "training", "fit", "verdict"),
    [
        ("words", "supervised", (-0.5, -0.7, -0.3), ("falls", "yes")),
        ("words", "supervised", (0.5, 0.3, 0.7), ("rises", "no")),
        ("words", "supervised", (-0.5, -1.2, 0.2), ("no trend is shown", "not shown")),
        ("words", "fine-tuned", (-0.2, -0.3, -0.1), ("falls", "yes")),
        ("words", "fine-tuned", (-0.9, -1.0, -0.8), ("falls", "no")),
        ("words", "frozen", (0.01, -0.01, 0.03), ("flat", "yes")),
        ("words", "frozen", (0.1, -0.4, 0.6), ("no trend is shown", "not shown")),
        ("interpretable", "frozen", (-0.5, -0.6, -0.4), ("falls", "no")),
        ("interpretable", "fine-tuned", (-0.5, -0.6, -0.4), ("falls", "")),
        ("words", None, (-0.5, -0.7, -0.3), ("falls", "")),
    ],
)
def test_what_a_slope_says_of_the_paper(
    name: str, training: str | None, fit: tuple[float, float, float], verdict: tuple[str, str]
) -> None:
    from and_core.figures.strategies import _agrees, trend

    def line(slope: float, low: float, high: float) -> dict:
        return {
            "blocks": [0, 1, 2, 3],
            "means": [2.0, 2.0, 2.0, 2.0],
            "slope": slope,
            "slope_low": low,
            "slope_high": high,
        }

    assert (trend(line(*fit)), _agrees(name, training, line(*fit), [line(-0.5, -0.6, -0.4)])) == verdict


def test_agreement_with_the_paper_needs_to_be_shown(tmp_path: Path, cache: Path) -> None:
    import shutil

    from and_core.figures.strategies import statements

    shutil.copytree(cache / "small", tmp_path / "small")
    pipeline.run(small_config(training="supervised"), root=tmp_path)
    rows = statements([open_dissection("small", root=tmp_path)])
    assert rows[0]["training"] == "supervised" and rows[0]["agrees"] in ("yes", "no", "not shown")
    assert next(r for r in rows if "last layer" in r["statement"])["agrees"] == "", (
        "one network is best and worst at once"
    )
    assert all(r["agrees"] == "" for r in statements([open_dissection("small", root=cache)])[:3]), (
        "nothing to agree with where training is not given"
    )


def test_what_a_listener_says_stays_and_what_a_chat_says_goes() -> None:
    kept = [
        "I can hear a dog barking in the distance.",
        "I would describe it as loud.",
        "In the background, steps follow a car.",
        "Great, loud booms are heard.",
    ]
    assert sentences_of(" ".join(kept)) == kept
    assert sentences_of(
        "Sure! Here is a description of the audio: As an AI I can't hear. A dog barks. Let me know if you need more."
    ) == ["A dog barks."]


def test_tables_print_captions_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    from and_core.cli.tables import print_part
    from and_core.figures.catalogue import Part

    print_part(Part("of [b]", [{"said": "[/INST] bad", "[i]": "hello [music] x"}], "no [link]"))
    shown = capsys.readouterr().out
    assert "[/INST] bad" in shown and "hello [music] x" in shown and "of [b]" in shown and "no [link]" in shown


def test_a_network_without_blocks_and_dead_neurons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from typer.testing import CliRunner

    from and_core.cli.main import app as commands
    from and_core.config import make_config
    from and_core.targets.base import TARGETS

    pool, first = torch.nn.AdaptiveAvgPool1d(64), torch.nn.Linear(64, 8)
    parts = {"pool": pool, "first": first, "relu": torch.nn.ReLU(), "last": torch.nn.Linear(8, 4)}
    network = torch.nn.Sequential(OrderedDict(parts))
    torch.nn.init.zeros_(first.weight[:5])
    torch.nn.init.constant_(first.bias, 0.5)  # so that no other falls silent
    raw = small_config(unlearning=None, audio_encoder=None).model_dump() | {
        "name": "plain",
        "target": {"kind": "module", "title": "own", "classifier": "last"},
        "dataset": {"kind": "synthetic", "per_category": 1},
        "k": 5,
    }
    config = make_config(raw)
    target = TARGETS.create(config.target)
    pipeline.run(config, root=tmp_path, target=target.bind(network, torch.from_numpy))  # type: ignore[attr-defined]
    d = open_dissection("plain", root=tmp_path)
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    assert dead.sum() == 5 and not np.asarray(d.array("interpretability/most_5"))[dead].any(), (
        "a dead neuron shares nothing"
    )
    assert (
        np.isnan(d.table("acoustics/means")["amplitude"].to_numpy()[dead]).all()
        and np.isnan(np.asarray(d.array("map/activation"))[dead]).all()
    )
    assert [row["neurons"] for row in d.document("word_counts/layers")] == [3, 4]
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    for path in ("pages/words.py", "pages/layers.py", "pages/strategies.py"):
        test = app(dissection="plain").run().switch_page(path).run()
        assert not test.exception and (path == "pages/words.py" or "no blocks" in said(test)), path
    done = CliRunner().invoke(commands, ["figure", "words-by-depth", "plain", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "nothing to draw" in done.output and isinstance(done.exception, SystemExit)
