"""Ears, read-outs, verdicts and their calibration on made data with known answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from and_core import open_dissection, pipeline
from and_core.cli.main import app as cli
from and_core.errors import ConfigError
from and_core.evaluate import confidence, readouts, reliability
from and_core.evaluate.ears import (
    Draw,
    Hearing,
    aurocs,
    best_concepts,
    best_of_draws,
    drawn_truths,
    fit_hearing,
    log_odds,
    softmax,
)
from and_core.evaluate.intruder import selectivity
from and_core.evaluate.metrics import mean_ranks, ranked
from and_core.evaluate.verdict import FEATURES, check_judge, evidence, named_by_presence, pair_of_halves
from and_core.figures.confidence import confidence_table, reliability_figure
from and_core.pipeline import ears
from and_core.pipeline.stage import Run
from and_core.store.manifest import Manifest
from tests.conftest import small_config
from tests.dashboard import app, page_html

CLIPS, CONCEPTS = 240, 6


def collection(seed: int, noise: float, clips: int = CLIPS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of clips that lie about one of six axes, their truth, and the concepts' vectors."""
    rng = np.random.default_rng(seed)
    of_clip = np.arange(clips) % CONCEPTS
    concepts = np.eye(16)[:CONCEPTS]
    vectors = concepts[of_clip] + noise * rng.standard_normal((clips, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), of_clip[:, None] == np.arange(CONCEPTS), concepts.astype(np.float32)


def home(noise: float, seed: int = 0) -> reliability.Home:
    vectors, truth, _ = collection(seed, noise)
    labels = [f"sound {i}" for i in range(CONCEPTS)]
    return reliability.Home(
        {"sounds": vectors}, truth, labels, np.arange(CLIPS), {"home": "made", "ears": {"sounds": "x"}}
    )


def test_areas_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    u, truth = rng.standard_normal((4, 50)).round(1), rng.random((50, 3)) < 0.3
    ranks = (mean_ranks(ranked(u)) / 50).astype(np.float32)
    area, z = aurocs(ranks, Draw(np.ones(50, np.float32), csr_matrix(truth.T.astype(np.float32))))
    expected = [[roc_auc_score(truth[:, m], row) for m in range(3)] for row in u]
    assert area == pytest.approx(np.array(expected), abs=1e-5) and (np.sign(z) == np.sign(area - 0.5)).all()
    best, highest = best_concepts(u, truth)
    assert (best == np.argmax(expected, 1)).all() and highest == pytest.approx(np.max(expected, 1), abs=1e-5)


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-5, 5))
def test_a_hearing_does_not_care_for_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    scores = np.random.default_rng(seed).standard_normal((30, 4))
    odds = log_odds(scores, Hearing())
    assert log_odds(scale * scores + shift, Hearing()) == pytest.approx(odds, abs=1e-3)
    assert softmax(odds).sum(1) == pytest.approx(1, abs=1e-5) and abs(odds.mean(0)).max() < 1e-5


def test_a_hearing_is_fitted_so_that_it_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    odds = 1.5 * rng.standard_normal((4000, 5))
    truth = (odds + rng.gumbel(size=odds.shape)).argmax(1)[:, None] == np.arange(5)
    made = fit_hearing(0.01 * odds + 3, truth)
    assert made.scale == pytest.approx(1.5, rel=0.15) and made.bias < 0.3
    presence = softmax(log_odds(0.01 * odds + 3, made))
    for row in confidence.reliability(presence.ravel(), truth.ravel()):
        assert row["said"] == pytest.approx(row["hold"], abs=0.05)
    assert fit_hearing(odds, truth & (np.arange(5) == 0)) == Hearing(), "one concept tells nothing"
    assert not log_odds(np.ones((5, 3)), made).any(), "scores that are all alike"


def test_draws_keep_labels_and_recordings_whole() -> None:
    truth, sources = np.arange(12)[:, None] % 3 == np.arange(3), np.arange(12) // 2
    for draw in drawn_truths(None, truth, 0.0, sources, 5, 0):
        assert draw.counts.sum() == 12 and (draw.counts[::2] == draw.counts[1::2]).all()
        assert (draw.holds.toarray() == (truth * draw.counts[:, None]).T).all()
    odds = np.where(truth, 20.0, 0.0)
    for draw in drawn_truths(odds, None, 0.0, sources, 5, 0):
        assert (draw.holds.toarray() == (truth * draw.counts[:, None]).T).all(), "sure ears draw what they hear"
    first, again = (drawn_truths(0 * odds, None, 1.0, sources, 2, 7) for _ in range(2))
    assert all((a.holds != b.holds).nnz == 0 for a, b in zip(first, again, strict=True)), "by the seed"
    with_few = best_of_draws(np.random.default_rng(0).random((3, 12)).astype(np.float32), first, least=99)
    assert not with_few[0].any(), "no concept has enough clips"


def test_read_outs_hold_on_recordings_that_they_were_not_fitted_on() -> None:
    vectors, truth, _ = collection(0, 0.3)
    first, rng = np.arange(CLIPS) % 4 < 2, np.random.default_rng(0)
    wide = vectors @ rng.standard_normal((16, 400))
    for x, ridge in ((vectors, 10.0), (wide, 100.0)):
        read = readouts.cross_fitted(x, truth.astype(float), first, ridge)
        areas = [roc_auc_score(truth[:, m], read[:, m]) for m in range(CONCEPTS)]
        assert min(areas) > 0.9 and abs(read[first].mean(0)).max() < 1e-6
    nothing = readouts.cross_fitted(wide, rng.standard_normal((CLIPS, 3)), first)
    assert abs(np.corrcoef(nothing.T, rng.standard_normal(CLIPS))[-1, :-1]).max() < 0.25
    units, concept = readouts.planted(wide, truth, first, 0)
    assert units.shape == (CLIPS, len(concept)) and (concept[-readouts.SILENT :] == -1).all()
    best, _ = best_concepts(units.T, truth)
    strong = np.arange(CONCEPTS)
    assert (best[strong] == concept[strong]).all()
    assert (readouts.planted(wide, truth[:, :0], first, 0)[1] == -1).all(), "nothing to plant but noise"


def test_ears_are_told_by_their_home(tmp_path: Path) -> None:
    names = [f"sound {i}" for i in range(CONCEPTS)]
    concepts = collection(0, 0)[2]
    good = reliability.measured(home(0.1), "sounds", concepts, names, 0)
    bad = reliability.measured(home(2.0), "sounds", concepts, names, 0)
    assert good is not None and bad is not None
    assert good.right == 1 and bad.right < 0.6 and good.error < 0.1
    one = {"share": np.array([3.0]), "distance": np.array([5.0]), "pearson": np.array([0.6]), "margin": np.array([0.2])}
    assert good.probability(one, np.array([0]))[0] > 0.9
    assert np.isnan(good.probability({k: np.array([np.nan]) for k in one}, np.array([-1]))).all()
    swapped = reliability.measured(home(0.1), "sounds", concepts[[1, 0, 2, 3, 4, 5]], names, 0)
    assert swapped is not None and swapped.right == pytest.approx(4 / 6)
    rows = {row["concept"]: row for row in swapped.rows}
    assert rows["sound 0"]["taken_for"] == "sound 1" and rows["sound 0"]["named_right"] == 0
    wrong, kept = swapped.probability({k: np.repeat(v, 2) for k, v in one.items()}, np.array([0, 3]))
    assert wrong < kept, "what the ears always mistake is stated with less certainty"
    assert reliability.measured(home(0.1), "sounds", concepts[:2], ["other", "sound 1"], 0) is None

    path = tmp_path / "ears.safetensors"
    reliability.save(path, home(0.1))
    read = reliability.load(path)
    assert read.labels == names and read.about["home"] == "made" and (read.truth == home(0.1).truth).all()
    assert read.vectors["sounds"] == pytest.approx(home(0.1).vectors["sounds"], abs=1e-3)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigError, match="can't be read as ears"):
        reliability.load(path)
    reliability.save(path, replace(home(0.1), truth=np.zeros((CLIPS, CONCEPTS), bool)))
    with pytest.raises(ConfigError, match="without labels"):
        reliability.load(path)


def test_twins_do_on_a_home_what_neurons_do_here() -> None:
    there, truth, _ = collection(0, 0.2)
    here, own, _ = collection(1, 0.2)
    u = own.T.astype(np.float32) + 0.05 * np.random.default_rng(0).standard_normal((CONCEPTS, CLIPS))
    best, area = best_concepts(reliability.twins(there, here, u, 0), truth)
    assert (best == np.arange(CONCEPTS)).all() and area.min() > 0.95


def test_a_judge_that_named_on_the_same_clips_is_refused() -> None:
    a, b = np.arange(10), np.arange(10, 20)
    check_judge("sounds", a, "sounds", b)
    check_judge("sounds", a, "labels", a)
    for pair in ("sounds", "labels"):
        with pytest.raises(ConfigError, match=f"judge='{pair}' named the concepts on 10 of these clips"):
            check_judge(pair, a, pair, a)


def test_evidence_tells_meaning_from_noise() -> None:
    vectors, truth, concepts = collection(0, 0.3)
    odds = log_odds(vectors @ concepts.T, Hearing())
    first, clips = np.arange(CLIPS) % 4 < 2, np.arange(CLIPS)
    draws = [drawn_truths(odds[half], None, 0.2, clips[half], 10, i) for i, half in enumerate((first, ~first))]
    halves = pair_of_halves(clips, first, odds, draws)
    rng = np.random.default_rng(0)
    u = np.concatenate([truth.T + 0.3 * rng.standard_normal((CONCEPTS, CLIPS)), rng.standard_normal((200, CLIPS))])
    named = named_by_presence(u.astype(np.float32), halves)
    assert (named.shown[:CONCEPTS] == np.arange(CONCEPTS)).all()
    features = evidence(u.astype(np.float32), halves, {"a": named, "b": replace(named, first=named.first * 0 - 1)})
    assert features["a"]["distance"][:CONCEPTS].min() > features["a"]["distance"][CONCEPTS:].max()
    assert (features["b"]["share"] <= features["a"]["share"] + 1e-9).all(), "a half that does not agree adds nothing"
    silent = replace(named, shown=named.shown * 0 - 1)
    assert np.isnan(evidence(u.astype(np.float32), halves, {"a": silent})["a"]["share"]).all()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dissection with enough clips of each label."""
    root = tmp_path_factory.mktemp("labelled")
    categories = small_config().dataset.model_dump()["categories"]
    dataset = {"kind": "synthetic", "per_category": 12, "categories": categories}
    config = small_config(dataset=dataset, scores={"draws": 10})
    stages = [
        s
        for s in pipeline.STAGE_NAMES
        if s not in ("similar", "map", "clusters", "interpretability", "interpretability_seeds", "judged")
    ]
    pipeline.run(config, root=root, only=stages, progress=lambda *a: None)
    return root


def test_confidence_is_calibrated_on_the_network_and_the_clips_at_hand(labelled: Path) -> None:
    d = open_dissection("small", root=labelled)
    notes = d.notes("confidence")
    assert d.calibration_fault is None and notes["by"] == "labels" and notes["error"] <= 0.1 and notes["planted"] > 200
    assert set(notes["home"]) == {"clips", "activations", "captions", "texts", "sounds", "scores"}
    assert d.confidence.shape == (len(d.scored_methods), d.neuron_count)
    curve = d.confidence_reliability["concepts"]
    assert sum(row["explanations"] for row in curve) == notes["planted"]
    sure = d.headlines.holds
    assert 0.05 < sure.mean() < 1
    truth, right = d.label_mask, []
    for index in np.flatnonzero(sure)[:200].tolist():
        best, _ = best_concepts(np.asarray(d.activations(d.neuron_id(index)))[None], truth)
        right.append(d.classes[int(best[0])] == d.headlines.concept[index])
    assert np.mean(right) == pytest.approx(np.mean(d.headlines.probability[sure][:200]), abs=0.15)


def test_a_calibration_from_another_world_is_refused(labelled: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(labelled / "small", tmp_path / "small")
    manifest = Manifest.load(tmp_path / "small")
    manifest.stages["confidence"].notes["home"]["captions"] = "another"
    manifest.save(tmp_path / "small")
    d = open_dissection("small", root=tmp_path)
    assert d.calibration_fault is not None and "calibrated on other captions than are here" in d.calibration_fault
    assert not np.isfinite(d.confidence).any() and not d.headlines.holds.any()
    said = d.headline("layer3_output/5")
    assert "not calibrated" in said.text and said.probability is None


def test_what_sound_alone_says_is_among_the_features(labelled: Path) -> None:
    d = open_dissection("small", root=labelled)
    weights = d.notes("confidence")["calibrator"]["weights"]
    assert set(weights) == {*FEATURES, "apart", "neighbours"}
    alone = selectivity({name: np.array([0.9, 0.5, np.nan]) for name in d.intruder})
    assert alone["apart"] == pytest.approx([0.4, 0, 0]) and alone["neighbours"] == pytest.approx([0, 0, 0])


def test_stated_probabilities_are_shown_beside_what_holds(labelled: Path) -> None:
    d = open_dissection("small", root=labelled)
    table, figure = confidence_table(d), reliability_figure(d)
    rows = [row for row in table.rows if row["of"] == "concepts"]
    assert sum(row["explanations"] for row in rows) == d.notes("confidence")["planted"]
    (line,) = [trace for trace in figure.data if trace.name == "concepts"]
    assert list(line.y) == [row["hold"] for row in rows] and list(line.x) == [row["stated"] for row in rows]
    assert "calibrated on" in table.parts[0].note and len(table.parts) == 1  # labels: no ears to show


def test_ears_are_measured_by_a_command(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(labelled))
    config = tmp_path / "labelled.yaml"
    config.write_text(yaml.safe_dump(open_dissection("small", root=labelled).manifest.config))
    done = CliRunner().invoke(cli, ["ears", str(config), "--only", "sounds", "--yes"])
    assert done.exit_code == 0 and "taken for what they are" in done.output, done.output
    home = reliability.load(tmp_path / "labelled.ears.safetensors")
    assert set(home.vectors) == {"sounds"} == set(home.about["ears"]) and len(home.labels) > 2
    done = CliRunner().invoke(cli, ["ears", str(config), "--only", "sounds", "--yes"])
    assert done.exit_code == 1 and "labelled.ears.safetensors" in done.output  # a measurement is never replaced unasked


def test_the_small_clap_was_measured_on_real_sound(tmp_path: Path) -> None:
    run = Run(small_config(), tmp_path / "small")
    homes = ears.homes(run)
    assert set(homes) == {"sounds"} and homes["sounds"].about["home"] == "esc50: esc10"
    assert homes["sounds"].truth.sum() == 400 and "captions" not in homes["sounds"].vectors


def test_ears_of_other_parts_are_refused_before_anything_is_computed(labelled: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    reliability.save(path, home(0.1))
    with pytest.raises(ConfigError, match="measured on made with other ears than these"):
        pipeline.run(small_config(scores={"draws": 10, "ears": str(path)}), root=tmp_path)
    assert not (tmp_path / "small" / "artifacts").exists()


def test_the_page_says_that_nothing_is_calibrated(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    d = open_dissection("small", root=cache)
    assert d.calibration_fault is not None and "clips are too few to calibrate on" in d.calibration_fault
    test = app(dissection="small", layer="layer3_output", unit="5").run()
    assert not test.exception and "not calibrated" in page_html(test)
    assert json.dumps(d.confidence_reliability)  # adjectives are calibrated all the same
    assert d.words_calibrated
