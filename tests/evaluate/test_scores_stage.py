"""Scores as a stage with its readers, pages, confidence and the judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection, pipeline
from and_core.evaluate import confidence, sanity
from and_core.evaluate.explanations import adjective_shares
from and_core.query.scores import neuron_scores, score_of_all
from tests.conftest import small_config
from tests.dashboard import app, page_html


def test_known_neurons_score_higher_than_others(dissection) -> None:
    """The classifier's neurons stand for classes, so their explanations predict them well; shuffled ones do not."""
    d = dissection
    fc = d.layer("fc")
    mine = slice(fc.offset, fc.offset + fc.size)
    named = [d.classes.index(c) for c in d.classes]
    classes = d.document("activations/classes")
    known = [fc.offset + classes.index(d.classes[i]) for i in named]
    label = score_of_all(d, "DB", predictor="label")
    assert np.nanmean(label[known]) > 0.5 and np.nanmean(label[known]) > np.nanmean(label[mine]) + 0.1
    null = np.asarray(d.array("scores/baselines"))[0, 0, 0]
    assert np.nanmean(score_of_all(d, "DB")) > np.nanmean(null) + 0.1


def test_too_few_captions_are_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_core.corpus.clips import clip_name

    captions = {clip_name("dog", i): "A dog barks. It is loud." for i in range(3)}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    config = small_config(
        captions={"kind": "file", "path": str(tmp_path / "captions.json")}, unlearning=None, audio_encoder=None
    )
    pipeline.run(config, root=tmp_path)
    d = open_dissection("small", root=tmp_path)
    assert (
        d.document("scores/methods") == []
        and "too few" in d.notes("scores")["reason"]
        and neuron_scores(d, "fc/0") == []
    )
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    for path in ("app.py", "pages/layers.py"):
        test = app(dissection="small").run()
        test = test if path == "app.py" else test.switch_page(path).run()
        assert not test.exception and "too few" in page_html(test), path


def test_adjectives_are_found_in_captions_by_their_lexicon() -> None:
    from scipy.sparse import csr_matrix

    from and_core.evaluate.explanations import Explanations

    told = Explanations(
        np.zeros(1, np.int32),
        ["x"],
        csr_matrix(np.array([[0.5, 0.25, 0.25]], np.float32)),
        ["a loud sound", "a shrill sound", "a wooden sound"],
    )
    assert adjective_shares(told, [("loudness", "loud"), ("pitch", "high-pitched")]).tolist() == [[0.5, 0.25]]


def test_the_trusted_scores_pass_the_sanity_checks_and_others_do_not() -> None:
    rows = {row["score"]: row for row in sanity.table(None, 1000)}
    assert rows["pearson"]["passes"] and rows["auprc"]["passes"]
    assert not rows["roc_auc"]["passes"] and not rows["mad"]["passes"] and not rows["balanced_accuracy"]["passes"]
    truth, _ = sanity.made_up(0.1, 200, 5, 0)
    changed = sanity.worse(truth, 0)
    assert (changed["missing labels"].sum(1) == 10).all() and not (changed["missing labels"] & ~truth).any()
    assert (changed["extra labels"].sum(1) == 40).all() and (changed["extra labels"] & truth).sum() == truth.sum()


def test_confidence_is_calibrated_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 4000)
    holds = rng.random(4000) < 1 / (1 + np.exp(-(4 * x - 1)))
    made = confidence.fit({"pearson": x}, holds)
    assert made.weights["pearson"] == pytest.approx(4, abs=0.5) and made.bias == pytest.approx(-1, abs=0.3)
    for row in confidence.reliability(made({"pearson": x}), holds):
        assert row["said"] == pytest.approx(row["hold"], abs=0.06)
    assert np.isnan(made({"pearson": np.array([np.nan])})).all()
    alike = confidence.fit({"pearson": x}, np.ones(4000, bool))({"pearson": x})
    assert np.allclose(alike, 4001 / 4002), "where all hold, Laplace's rule of succession"


def test_pages_show_scores(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small", layer="layer3_output", unit="5").run()
    text = page_html(test)
    assert (
        not test.exception
        and "Held-out scores" in text
        and "another neuron&#x27;s explanation, shuffled activations" in text
        and "probability" in text
    )
    test.session_state["most_wrong"] = True
    test.run()
    assert not test.exception
    test.session_state["min_score"], test.session_state["sure"] = 0.2, True
    test.run()
    assert (not test.exception and "of 3,112 neurons" in page_html(test)) or "neurons" in page_html(test)
    assert "another text encoder" not in text
    layers = app(dissection="small").run().switch_page("pages/layers.py").run()
    assert not layers.exception and "How good explanations are, by depth" in page_html(layers)
    for by in ("held-out score, DB", "whether its clips' captions agree"):
        layers.session_state["coloured_by"] = by
        layers.run()
        assert not layers.exception
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    pipeline.run(small_config(unlearning=None, scores=None), root=tmp_path)
    bare = app(dissection="small").run()
    assert not bare.exception and "Not scored yet" in page_html(bare)
    assert "has not been run yet" in page_html(app(dissection="small").run().switch_page("pages/layers.py").run())


def test_a_language_model_judges_and_a_failed_answer_is_no_score(tmp_path: Path) -> None:
    from and_core.pipeline.llm_judge import read_number
    from tests.fake_server import FakeServer
    from tests.pipeline.test_llm_pipeline import say

    assert [
        read_number(t) for t in ("Answer: 7", "It fits.\nanswer: **10**", "8/10", "Answer: 11", "maybe", "3 or 4")
    ] == [7, 10, 8, None, None, None]
    broken = True

    def judge(prompt: str) -> str:
        if "one whole number" not in prompt:
            return say(prompt)
        if broken and "dog" in prompt.rpartition("Caption:")[2]:
            return "I can't say."
        return f"Answer: {9 if 'loud' in prompt.rpartition('Caption:')[2] else 2}"

    fake = FakeServer(judge)
    with fake.serve() as url:
        config = small_config(
            llm={"kind": "server", "base_url": url, "model": "fake", "retries": 0},
            target={"kind": "ast", "layers": ["fc"]},
            scores={"draws": 10, "judged": 5, "judged_clips": 12},
            audio_encoder=None,
        )
        pipeline.run(config, root=tmp_path)
    d = open_dissection("small", root=tmp_path)
    answers, rows = d.table("judged/answers").to_pandas(), d.table("judged/scores").to_pandas()
    assert len(set(answers["neuron"])) == 5 and set(answers["method"]) == {"DB", "SUM"}
    lost = answers["reason"] == "no number in the answer"
    assert lost.any() and answers[lost]["fits"].isna().all() and d.notes("judged")["without_number"] == lost.sum()
    assert (
        rows["clips"] + rows["failed"] == answers.groupby(["neuron", "method"], sort=False).size().to_numpy()
    ).all() and rows["failed"].sum() == lost.sum()
    half = np.asarray(d.array("scores/first_half"))
    assert half[answers["clip"]].any() and not half[answers["clip"]].all(), (
        "clips of either half, each judged for the other half's explanation"
    )
    one = answers[
        (answers["neuron"] == rows["neuron"][0]) & (answers["method"] == rows["method"][0]) & answers["fits"].notna()
    ]
    u = np.asarray(d.activations(d.neuron_id(int(rows["neuron"][0]))))[one["clip"]]
    if np.isfinite(rows["pearson"][0]):
        assert rows["pearson"][0] == pytest.approx(np.corrcoef(one["fits"], u)[0, 1], abs=1e-4)
