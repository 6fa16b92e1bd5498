"""Held-out scores: metrics against other implementations, disjoint halves, baselines, sanity checks,
confidence, pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from and_core import open_dissection, pipeline
from and_core.dissect.probe import first_half
from and_core.errors import DataError
from and_core.evaluate import metrics
from and_core.evaluate.explanations import METHODS, PREDICTORS, load_explanations
from and_core.evaluate.score import MethodBlock, held_out, score_block
from and_core.query.scores import confidence_of_all, confident_words, neuron_scores, score_of_all, wrong_clips
from and_core.query.search import Query, find_neurons
from and_core.records import Clip
from and_core.store.headline import SURE
from tests.conftest import small_config, tone


@given(seed=st.integers(0, 500), clips=st.integers(8, 60), coarse=st.booleans())
@settings(max_examples=40, deadline=None)
def test_metrics_agree_with_other_implementations(seed: int, clips: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((4, clips)).astype(np.float32)
    s = (0.5 * u + rng.standard_normal((4, clips))).astype(np.float32)
    s = np.round(s) if coarse else s  # many equal predictions
    r, active = metrics.ranked(s), metrics.ranked(u)
    ranks, top = metrics.mean_ranks(active), metrics.highest(u)
    truth = np.zeros(u.shape, bool)
    np.put_along_axis(truth, top, True, 1)
    assert np.allclose(metrics.mean_ranks(r), stats.rankdata(s, axis=1))
    assert np.allclose(
        metrics.auprc(r, top), [average_precision_score(t, x) for t, x in zip(truth, s, strict=True)], atol=1e-6
    )
    changing = np.ptp(s, axis=1) > 0
    assert np.allclose(
        metrics.pearson(s, u)[changing],
        [np.corrcoef(x, y)[0, 1] for x, y in zip(s[changing], u[changing], strict=True)],
        atol=1e-5,
    )
    assert np.allclose(
        metrics.spearman(r, ranks)[changing],
        [stats.spearmanr(x, y)[0] for x, y in zip(s[changing], u[changing], strict=True)],
        atol=1e-5,
    )
    mask = metrics.shown(r)
    both = mask.any(1) & ~mask.all(1)
    assert np.allclose(
        metrics.roc_auc(mask, ranks)[both],
        [roc_auc_score(m, x) for m, x in zip(mask[both], u[both], strict=True)],
        atol=1e-6,
    )
    weights = metrics.bootstrap_weights(clips, 5, seed)
    drawn = metrics.auprc_draws(r, top, weights)
    for b in range(5):
        for i in range(4):
            if weights[b][truth[i]].sum():
                assert drawn[i, b] == pytest.approx(
                    average_precision_score(truth[i], s[i], sample_weight=weights[b]), abs=1e-5
                )


def test_a_constant_prediction_tells_nothing() -> None:
    u = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    flat = np.full((3, 40), 0.7, np.float32)
    r = metrics.ranked(flat)
    assert not metrics.pearson(flat, u).any() and not metrics.shown(r).any()
    assert np.allclose(metrics.auprc(r, metrics.highest(u)), 2 / 40) and np.allclose(
        metrics.roc_auc(metrics.shown(r), metrics.mean_ranks(r)), 0.5
    )
    assert not metrics.mad(metrics.shown(r), u).any()
    draws = metrics.pearson_draws(u, u, metrics.bootstrap_weights(40, 6, 0))
    assert np.allclose(draws, 1, atol=1e-4)


def test_detection_draws_equally_from_ten_bins() -> None:
    positives, negatives = metrics.detection_places(200, 0)
    assert np.bincount(positives // 10).tolist() == [5] * 10 and len(negatives) == 50 and negatives.min() >= 100
    u = np.random.default_rng(0).standard_normal((3, 200)).astype(np.float32)
    order = metrics.ranked(u).order
    assert np.allclose(metrics.balanced_accuracy(u, order, (positives, negatives)), [1, 1, 1], atol=0.2)
    assert np.allclose(metrics.balanced_accuracy(-u, order, (positives, negatives)), [0, 0, 0], atol=0.2)


def test_a_good_explanation_beats_every_baseline() -> None:
    rng = np.random.default_rng(0)
    truths = (rng.random((3, 300)) < 0.1).astype(np.float32)
    u = (np.repeat(truths, 20, 0) * 3 + rng.standard_normal((60, 300))).astype(np.float32)
    table = np.concatenate([truths + 0.1 * rng.standard_normal(truths.shape), np.full((1, 300), 0.2)]).astype(
        np.float32
    )
    which = np.repeat(np.arange(3), 20)
    which[0] = -1
    held = held_out(np.arange(300), 20, 0)
    found = score_block(u, held, {"DB": MethodBlock(which, 0, {"text": lambda rows: table[rows]})}, 0)
    value, null = found["values"][0, 0], found["baselines"][0]
    assert np.isnan(value[:, 0]).all() and (value[0, 1:] > 0.4).all(), "no explanation has no score"
    assert (
        value[0, 1:].mean() > 3 * np.nanmean(null[0, 0])
        and abs(np.nanmean(null[1, 0])) < 0.05
        and not null[3, 0, 1:].any()
    )
    low, high = np.percentile(found["draws"][0, 0, 1:], [2.5, 97.5], axis=1)
    assert ((low < value[0, 1:]) & (value[0, 1:] < high)).mean() > 0.9
    missed = found["missed"][0, 5]
    assert u[5, missed].mean() > u[5].mean() and (found["missed"][0, 0] == -1).all()
    again = score_block(u, held, {"DB": MethodBlock(which, 0, {"text": lambda rows: table[rows]})}, 0)
    assert all(np.array_equal(found[name], again[name], equal_nan=True) for name in found)


UP_TO_SCORES = (
    "clips",
    "activations",
    "neurons",
    "captions",
    "texts",
    "summaries",
    "calibration",
    "closed",
    "sounds",
    "tab",
    "open",
    "scores",
)


def test_halves_keep_recordings_whole_and_hold_every_class() -> None:
    clips = [Clip(index=i, name=str(i), source=f"s{i // 2}", label="ab"[i % 4 // 2]) for i in range(40)]
    half = first_half(clips, 0)
    assert all(half[i] == half[i + 1] for i in range(0, 40, 2)), "both clips of a recording lie in one half"
    for label in "ab":
        mine = np.array([clip.label == label for clip in clips])
        assert half[mine].sum() == mine.sum() / 2
    assert np.array_equal(half, first_half(clips, 0)) and not np.array_equal(half, first_half(clips, 1))


def test_nothing_of_the_scored_half_reaches_an_explanation(tmp_path: Path) -> None:
    """Poison the captions and sounds of one half: explanations made from the other do not move.

    Those made from all clips do.
    """
    views = []
    for poisoned in (False, True):
        data = tmp_path / f"data-{poisoned}"
        clips = [
            Clip(index=i, name=f"{label}-{i:02d}.wav", label=label)
            for label in ("bell", "dog", "rain")
            for i in range(8)
        ]
        clips = [clip.model_copy(update={"index": n}) for n, clip in enumerate(clips)]
        spoilt, captions = ~first_half(clips, 0) & poisoned, {}
        rng = np.random.default_rng(0)
        for clip in clips:
            wave = rng.standard_normal(8000).astype(np.float32) * np.float32(0.05 * (1 + clip.index % 4))
            (data / str(clip.label)).mkdir(parents=True, exist_ok=True)
            bad = spoilt[clip.index]
            sf.write(data / str(clip.label) / clip.name, tone(0.5, hz=300 + 40 * clip.index) if bad else wave, 16_000)
            captions[clip.name] = (
                "A siren wails, shrill and high-pitched."
                if bad
                else f"A {clip.label} can be heard. It is {('loud', 'quiet')[clip.index % 2]}."
            )
        (data / "captions.json").write_text(json.dumps(captions))
        config = small_config(
            dataset={"kind": "folder", "path": str(data)},
            captions={"kind": "file", "path": str(data / "captions.json")},
            scores={"draws": 10},
            target={"kind": "ast", "layers": ["layer3_output", "fc"]},
        )
        pipeline.run(config, root=tmp_path / f"cache-{poisoned}", only=UP_TO_SCORES)
        d = open_dissection("small", root=tmp_path / f"cache-{poisoned}")
        assert [Path(c.name).name for c in d.clips] == [c.name for c in clips] and np.array_equal(
            d.array("scores/first_half"), first_half(clips, 0)
        )
        views.append(
            [
                [told.names[i] if i >= 0 else "" for i in told.which]
                for of in (d.view("first-half"), d)
                for m in ("DB", "TAB", "SUM", "OPEN")
                if (told := load_explanations(of, m, "cos_cubed", ["bell", "dog", "rain"])) is not None
            ]
        )
        extremes = np.asarray(d.view("first-half").array("neurons/high_clips"))
        assert first_half(clips, 0)[extremes[extremes >= 0]].all()
    assert len(views[0]) == 8 and views[0][:4] == views[1][:4], "made from the first half"
    assert all(a != b for a, b in zip(views[0][4:], views[1][4:], strict=True)), (
        "made from all clips, the poison shows: the test can fail"
    )


def test_the_stage_and_its_readers(dissection) -> None:
    d = dissection
    methods = d.document("scores/methods")
    assert methods == [m for m in METHODS if m != "ICL"] and d.array("scores/values").shape == (
        4,
        len(PREDICTORS),
        len(metrics.METRICS),
        d.neuron_count,
    )
    row = neuron_scores(d, "layer3_output/5")[0]
    assert (
        row["method"] == "DB"
        and row["pearson_low"] <= row["pearson"] <= row["pearson_high"]
        and row["confidence"] is None
    )
    assert row["by"]["text"] == pytest.approx(row["pearson"]) and set(row["others"]) == set(metrics.COMPARED)
    half = np.asarray(d.array("scores/first_half"))
    wrong = wrong_clips(d, "layer3_output/5", "DB")
    assert len(wrong["missed"]) == 6 and sum(half[wrong["missed"]]) == 3, "three of either half"
    table = d.table("scores/layers").to_pandas()
    mine = table[(table["layer"] == "layer3_output") & (table["method"] == "DB") & (table["metric"] == "pearson")].iloc[
        0
    ]
    layer = d.layer("layer3_output")
    assert mine["score"] == pytest.approx(
        np.nanmean(score_of_all(d, "DB")[layer.offset : layer.offset + layer.size]), abs=1e-5
    )
    assert mine["low"] <= mine["score"] <= mine["high"]
    words = d.table("scores/words").to_pandas()
    assert (
        set(words["halves"]) <= {0, 1, 2}
        and (words["halves"] > 0).any()
        and words[words["halves"] == 0]["pearson"].fillna(0).eq(0).all()
    )
    every = d.headlines
    for index in range(0, d.neuron_count, 7):
        said = d.headline(str(d.neuron_id(index)))
        assert (
            (said.concept, said.by) == (every.concept[index], every.by[index])
            and not said.calibrated
            and said.holds == bool(every.holds[index])
        )
        assert d.explanation(str(d.neuron_id(index)))["concept"] == said.concept and all(
            p >= SURE for p in said.adjectives.values()
        )
        assert said.holds == ("Unclear" not in said.text or bool(said.adjectives)) or not said.holds
    halves = np.asarray(d.array("scores/halves"))[0]
    assert np.isnan(confidence_of_all(d, "DB")[halves == 0]).all() and (halves == 2).any(), (
        "no probability for what neither half says"
    )
    silent = np.asarray(d.array("closed/cos_cubed_concepts"))[:, 0] < 0
    assert np.isnan(score_of_all(d, "DB")[silent]).all() and np.isfinite(score_of_all(d, "DB")[~silent]).all()
    assert {r["word"] for r in confident_words(d, "layer3_output/5")} == set(d.open_concepts("layer3_output/5"))
    few, _ = find_neurons(d, Query(min_score=0.3, scored="DB"))
    assert (
        np.array_equal(few, np.flatnonzero(np.nan_to_num(score_of_all(d, "DB"), nan=-2) >= 0.3))
        and 0 < len(few) < d.neuron_count
    )
    sure, _ = find_neurons(d, Query(sure=True, scored="DB"))
    assert np.array_equal(sure, np.flatnonzero(np.nan_to_num(confidence_of_all(d, "DB")) >= SURE))
    with pytest.raises(DataError, match="method='XX' is not known; allowed: DB"):
        score_of_all(d, "XX")
