"""Attributes, summaries, calibration, words, statistics, last layer: the method on small known cases."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.captioners.base import clean_caption
from and_core.captioners.tables import readable_title
from and_core.config import PluginConfig
from and_core.data import bundled
from and_core.dissect.attributes import LEXICON, parse
from and_core.dissect.calibrate import calibrate
from and_core.dissect.concepts import concept_set
from and_core.dissect.statistics import class_means, extreme, histograms, moments
from and_core.dissect.summarize import SUMMARIZERS, CaptionTexts
from and_core.dissect.words import AcousticWords, words_of
from and_core.encoders.base import ENCODERS
from and_core.errors import ConfigError
from and_core.evaluate.last_layer import last_layer_scores
from and_core.labels.class_map import ClassMap
from and_core.labels.truth import concept_truth
from and_core.records import Point
from tests.conftest import ROOT

ENCODER = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))


def test_attributes_are_taken_out_and_opposites_kept_apart() -> None:
    found = parse(
        "This is a dog barking. It sounds loud, shrill and crisp. In time it is regular. There is no background noise."
    )
    assert found.attributes == (
        ("brightness", "bright"),
        ("loudness", "loud"),
        ("pitch", "high-pitched"),
        ("rhythm", "regular"),
    )
    assert found.clauses == ("a dog barking", "no background noise")
    for opener in ("One hears", "We hear", "The recording captures", "It could be", "There is", "The audio features"):
        assert parse(f"{opener} a train.").clauses == ("a train",), opener
    assert parse("It is not loud and never high-pitched.").attributes == ()
    assert parse("It is loud, then quiet.").attributes == ()
    assert parse("").clauses == ()
    words = [w for values in LEXICON.values() for group in values.values() for w in group]
    assert len(words) == len(set(words)), "a word stands for two values"


def texts_of(captions: list[str]) -> CaptionTexts:
    parsed = [parse(c) for c in captions]
    clauses = sorted({c for p in parsed for c in p.clauses})
    values = sorted({v for p in parsed for v in p.attributes})
    width = max(1, max(len(p.clauses) for p in parsed))
    clip_clauses = np.full((len(captions), width), -1, np.int32)
    clip_values = np.zeros((len(captions), len(values)), bool)
    for i, p in enumerate(parsed):
        clip_clauses[i, : len(p.clauses)] = [clauses.index(c) for c in p.clauses]
        clip_values[i, [values.index(v) for v in p.attributes]] = True
    return CaptionTexts(clauses, ENCODER.encode(clauses), clip_clauses, values, clip_values)


def test_commonality_names_what_most_clips_share() -> None:
    captions = [
        "This is a dog barking. It is loud.",
        "We hear a barking dog. It sounds powerful.",
        "The recording captures the bark of a dog. It is loud.",
        "This is rain falling. It is quiet.",
        "It could be a church bell. It is loud and high-pitched.",
    ]
    summarizer = SUMMARIZERS.create(PluginConfig(kind="commonality"))
    points = [
        s.points for s in summarizer.summarize(texts_of(captions), np.array([[0, 1, 2, 3, 4], [3, -1, -1, -1, -1]]))
    ]
    assert [(p.text, p.count, p.of) for p in points[0] if p.attribute] == [("loud", 4, 5)]
    named = [p for p in points[0] if p.attribute is None]
    assert len(named) == 1 and "dog" in named[0].text and named[0].count == 3
    assert points[1] == []  # one clip has nothing in common with itself


def test_calibration_drops_with_a_reason_and_never_across_opposites() -> None:
    high = [
        Point(text="loud", count=5, of=5, attribute="loudness"),
        Point(text="rain falling", count=4, of=5),
        Point(text="a dog barking", count=3, of=5),
    ]
    low = [Point(text="quiet", count=5, of=5, attribute="loudness"), Point(text="steady rainfall", count=4, of=5)]
    kept, dropped, other = calibrate(high, low, ENCODER.encode, t=0.5)
    assert kept.kept and kept.similarity is None
    assert (
        not dropped.kept
        and dropped.removed_by == "steady rainfall"
        and dropped.similarity is not None
        and dropped.similarity > 0.5
    )
    assert other.kept and other.removed_by == "steady rainfall"
    same = calibrate([high[0]], [Point(text="loud", count=3, of=5, attribute="loudness")], ENCODER.encode)
    assert not same[0].kept and same[0].similarity == 1.0


@given(t=st.floats(0, 1), u=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_a_lower_threshold_never_keeps_more(t: float, u: float) -> None:
    low_t, high_t = sorted((t, u))
    high = [Point(text=x, count=3, of=5) for x in ("rain falling", "wind blowing", "a siren wailing")]
    low = [Point(text=x, count=3, of=5) for x in ("steady rain", "a strong wind")]
    few = {p.text for p in calibrate(high, low, ENCODER.encode, low_t) if p.kept}
    many = {p.text for p in calibrate(high, low, ENCODER.encode, high_t) if p.kept}
    assert few <= many


def test_words_by_part_of_speech_with_negation() -> None:
    first, second = words_of(
        ["The sound is loud and muffled, with barking dogs behind the wall.", "It is not loud, but clear."]
    )
    by = {(w.pos, w.word) for w in first}
    assert {
        ("adjective", "loud"),
        ("adjective", "muffled"),
        ("noun", "dog"),
        ("noun", "wall"),
        ("preposition", "behind"),
    } <= by
    assert ("adjective", "loud") not in {(w.pos, w.word) for w in second}
    with pytest.raises(ConfigError, match="open.tagger='nowhere'"):
        words_of(["x"], "nowhere")


def test_acoustic_words_reach_the_promised_precision_and_recall() -> None:
    rows = list(csv.DictReader((ROOT / "tests" / "data" / "acoustic_adjectives.csv").open()))
    assert len(rows) >= 300
    test = [r for r in rows if r["half"] == "test"]
    judged = {w: bool(v.acoustic) for w, v in AcousticWords(ENCODER.encode).judge([r["word"] for r in test]).items()}
    hits = sum(judged[r["word"]] and r["acoustic"] == "1" for r in test)
    precision = hits / sum(judged.values())
    recall = hits / sum(r["acoustic"] == "1" for r in test)
    print(f"precision {precision:.3f}, recall {recall:.3f} on {len(test)} words")
    assert precision >= 0.9 and recall >= 0.8
    listed = {r["word"] for r in csv.DictReader(bundled("sound_words.csv").open())}
    new = [r for r in test if r["word"] not in listed]
    right = sum(judged[r["word"]] and r["acoustic"] == "1" for r in new)
    true, guessed = sum(r["acoustic"] == "1" for r in new), sum(judged[r["word"]] for r in new)
    print(f"unlisted alone: precision {right / guessed:.3f}, recall {right / true:.3f} on {len(new)}")
    assert len(new) >= 30 and np.mean([judged[r["word"]] == (r["acoustic"] == "1") for r in new]) >= 0.75


def test_extreme_clips_ties_and_sources() -> None:
    u = np.array([[3, 1], [5, 1], [5, 1], [1, 1]], np.float32)
    clips, values = extreme(u, k=3)
    assert clips[0].tolist() == [1, 2, 0] and clips[1].tolist() == [0, 1, 2] and values[0].tolist() == [5, 5, 3]
    once, best = extreme(u, np.array([7, 8, 8, 7]), k=3)
    assert once[0].tolist() == [1, 0, -1] and np.isnan(best[0, 2])


@given(seed=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_statistics_hold_for_any_activations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, r = int(rng.integers(2, 60)), int(rng.integers(1, 9))
    u = rng.standard_normal((n, r)).astype(np.float32).round(1)
    clips, values = extreme(u)
    real = clips >= 0
    assert real.sum(1).tolist() == [min(n, 50)] * r
    assert (np.diff(np.where(real, values, np.nan), axis=1)[:, : min(n, 50) - 1] <= 0).all()
    assert all(len(set(row[ok])) == ok.sum() for row, ok in zip(clips, real, strict=True))
    assert (histograms(u, 10).sum(1) == n).all()
    labels = rng.integers(-1, 3, n)
    means = class_means(u, labels[:, None] == np.arange(3))
    for c in range(3):
        if (labels == c).any():
            assert np.allclose(means[:, c], u[labels == c].mean(0), atol=1e-5)
        else:
            assert np.isnan(means[:, c]).all()


def test_dead_neurons_are_flagged() -> None:
    u = np.stack([np.full(10, 2.5), np.arange(10.0)], 1).astype(np.float32)
    found = moments(u)
    assert found["dead"].tolist() == [True, False] and found["skewness"][0] == 0


def test_last_layer_scores() -> None:
    eye = np.eye(4, dtype=np.float32)
    best = np.array([[0, 1, 2, 3], [2, 1, 0, 3], [-1, -1, -1, -1]])
    classes, concepts = ["dog", "clock_tick", "rain"], ["dog", "clock tick", "rain", "cat"]
    found = last_layer_scores(best, concept_truth(ClassMap(()), classes, concepts), eye)
    assert found == {
        "top1": pytest.approx(100 / 3),
        "top5": pytest.approx(200 / 3),
        "cos": pytest.approx(1 / 3),
        "classes": 3,
    }
    assert last_layer_scores(best, concept_truth(ClassMap(()), ["x", "y", "z"], ["dog"]), eye[:1])["classes"] == 0
    animals = ClassMap((("Animal", "cat"), ("Animal", "rain"), ("Tick", "clock tick")))
    right = concept_truth(animals, ["dog", "Animal", "Tick"], concepts)
    assert right.astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0]]
    mapped = last_layer_scores(best, right, eye)
    assert mapped["top1"] == pytest.approx(200 / 3) and mapped["cos"] == pytest.approx(2 / 3), "one class, two labels"


def test_captions_are_cleaned() -> None:
    assert clean_caption("A dog barks. " + "it goes on and on and on again " * 4) == "A dog barks."
    assert clean_caption("  two\n lines ") == "two lines" and clean_caption("") is None and clean_caption(None) is None
    assert readable_title("20091211.barking.stairs.wav") == "barking stairs"
    assert readable_title("Dog barking at night (nice reflection).wav") == "Dog barking at night (nice reflection)"
    assert readable_title("A dog in the yard") == "A dog in the yard"


def test_concept_sets_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "concepts.txt"
    path.write_text("# sounds\ndog\nclock tick\n\n")
    assert concept_set(str(path), []) == ["dog", "clock tick"]
    assert concept_set("classes", ["a"]) == ["a"]
    assert [len(concept_set(name, [])) for name in ("esc50", "urbansound8k", "gtzan")] == [50, 10, 10]
    phrases = concept_set("sound-phrases", [])
    assert len(phrases) >= 500 and all(1 <= len(p.split()) <= 8 for p in phrases)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="holds no concept"):
        concept_set(str(path), [])
    path.write_text("clock tick\ndog\nclock_tick\n")
    with pytest.raises(ConfigError, match="more than once: clock tick"):
        concept_set(str(path), [])
    with pytest.raises(ConfigError, match="no labels"):
        concept_set("classes", [])
    with pytest.raises(ConfigError, match="can't be read"):
        concept_set(str(tmp_path / "none.txt"), [])
