"""Summaries, acoustic words and closed concepts by a language model, through the whole pipeline and onto the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection, pipeline
from and_core.config import RunConfig
from and_core.dissect.icl import match_concepts, read_answer
from and_core.dissect.points import clean_points
from and_core.dissect.prompts import BUNDLED, FIELDS, fill, load_prompts
from and_core.dissect.words import read_verdict
from and_core.errors import ConfigError
from and_core.reply import clean_reply as reply_of
from and_core.store.answers import AnswerCache
from tests.conftest import small_config
from tests.dashboard import app, page_html
from tests.fake_server import FakeServer

SUMMARY = (
    "Sure! Here are the points:\n1. Most of the clips hold a loud, barking dog.\n- The sound is short and "
    "regular in time.\n* Low hum.\nLet me know!"
)
LOW = "1. A quiet noise of rain is heard in most of them.\n2. The sound is short and regular in time."


def say(prompt: str) -> str:
    if "have in common" in prompt:
        return SUMMARY if len(prompt) % 2 else LOW
    if "Can the adjective" in prompt:
        return "Maybe." if '"barking"' in prompt else f"{'No' if 'quiet' in prompt else 'Yes'}, because of its meaning."
    return "The clips bark.\nAnswer: " + (
        "puppy" if "holds one concept" in prompt else "dog; puppy; a completely unrelated thing; rain; siren"
    )


def config(url: str, **changes: object) -> RunConfig:
    llm = {"kind": "server", "base_url": url, "model": "fake", "retries": 0, "in_flight": 8}
    layers = {"target": {"kind": "ast", "trained_folds": [2, 3, 4, 5], "layers": ["layer3_output", "fc"]}}
    return small_config(
        **{"llm": llm, "summarizer": {"kind": "llm", "samples": 2}, "audio_encoder": None, **layers, **changes}
    )


@pytest.mark.slow
def test_the_whole_way_from_captions_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeServer(say)
    with fake.serve() as url:
        pipeline.run(config(url), root=tmp_path)
        first = sum(fake.asked.values())
        again = pipeline.run(config(url), root=tmp_path, start="summaries")
        assert "summaries" in again.computed and sum(fake.asked.values()) == first, "nothing is asked twice"
        other = pipeline.run(config(url, name="other"), root=tmp_path, force=True)
        assert "open" in other.computed and sum(fake.asked.values()) == first, "nor for another dissection"
    d = open_dissection("small", root=tmp_path)
    points = d.table("summaries/points").to_pylist()
    assert {p["text"] for p in points} == {
        "Most of the clips hold a loud, barking dog.",
        "The sound is short and regular in time.",
        "A quiet noise of rain is heard in most of them.",
    }
    assert all(p["count"] is None for p in points), "nobody counted the clips"
    remarks = d.table("summaries/remarks")
    assert np.nanmin(remarks["agreement"].to_numpy()) > 0.999 and set(remarks["failed"].to_pylist()) == {""}
    words = {w["word"]: w for w in d.table("open/adjectives").to_pylist()}
    assert words["loud"]["acoustic"] is True and words["loud"]["reason"] == "because of its meaning."
    assert d.notes("open")["judge"] == "llm" and d.notes("icl")["layers"] == ["fc"]
    fc = d.layer("fc")
    names = d.document("texts/concepts")
    for unit in range(3):
        answers, why = d.icl_answers(f"fc/{unit}")
        if why:
            assert why == "calibration left no point to show"
            continue
        assert [a["concept"] for a in answers[:1]] == ["dog"] and any(a["how"] == "none" for a in answers)
        assert d.icl_answers(f"fc/{unit}", "top1")[0][0]["how"] == "nearest"
        assert names[d.array("icl/top1")[fc.offset + unit, 0]] == "dog"
    row = next(r for r in d.document("last_layer/scores") if r["method"] == "ICL")
    assert 0 < row["top1"] <= 100 and row["classes"] == 4
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    test = app(dissection="small", layer="fc", unit="0")
    shown = page_html(test.run())
    assert (
        not test.exception
        and ">ICL</span></th>" in shown
        and "Agreement of several answers: 1.00" in shown
        and "language model" in shown
    )
    assert "of 3 clips:" not in shown.split("Summary, calibrated")[1].split("Closed concepts")[0]


def test_what_failed_is_told_kept_apart_and_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(prompt: str, tries: int) -> str:
        return "fail" if "have in common" in prompt and tries == 1 and len(prompt) % 3 == 0 else ""

    fake = FakeServer(say, behave=behave)
    with fake.serve() as url:
        settings = config(url, summarizer={"kind": "llm", "temperature": 0.0})
        pipeline.run(settings, root=tmp_path)
        d = open_dissection("small", root=tmp_path)
        failed = d.table("summaries/remarks").to_pylist()
        assert (
            failed
            and all("500" in r["failed"] for r in failed)
            and d.notes("summaries")["failed_answers"] == len(failed)
        )
        assert d.has("explanations"), "the run went on where it could"
        one = failed[0]
        assert d.summary(d.neuron_id(one["neuron"]), one["side"]) == [] and "500" in str(
            d.failed_summary(d.neuron_id(one["neuron"]), one["side"])
        )
        states = dict(pipeline.status(settings, tmp_path))
        assert states["summaries"] == "answers missing" and states["calibration"] == "done"
        given = sum(fake.asked.values())
        again = pipeline.run(settings, root=tmp_path)
        assert {"summaries", "calibration", "explanations"} <= set(again.computed)
        assert all(n == 1 for p, n in fake.asked.items() if len(p) % 3) and sum(fake.asked.values()) > given
        d = open_dissection("small", root=tmp_path)
        assert (
            d.table("summaries/remarks").num_rows == 0
            and dict(pipeline.status(settings, tmp_path))["summaries"] == "done"
        )
        assert pipeline.run(settings, root=tmp_path).computed == []


def test_a_server_that_is_down_loses_nothing(tmp_path: Path) -> None:
    with FakeServer(say).serve() as url:
        pass
    settings = config(url, open={"judge": "lexicon"})
    pipeline.run(settings, root=tmp_path)
    d = open_dissection("small", root=tmp_path)
    assert (
        d.has("closed")
        and d.closed_concepts("fc/0")
        and "could not be reached" in d.table("summaries/remarks")["failed"].to_pylist()[-1]
    )
    assert not any(r["method"] == "ICL" and r["top1"] > 0 for r in d.document("last_layer/scores")), (
        "no number stands in for an answer"
    )


def test_settings_that_need_a_language_model_say_so(tmp_path: Path) -> None:
    for changes, message in (
        ({"summarizer": {"kind": "llm"}}, "summarizer.kind='llm' needs a language model"),
        ({"open": {"judge": "llm"}}, "open.judge='llm' needs"),
        (
            {"audio_encoder": {"kind": "minilm"}},
            "audio_encoder.kind='minilm' is not known; allowed: clap, pe_audio, small_clap",
        ),
        ({"prompts": str(tmp_path / "none")}, "is no folder"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            pipeline.run(small_config(**changes), root=tmp_path)


def test_points_are_cleaned_by_rule() -> None:
    assert clean_points(SUMMARY) == [
        "Most of the clips hold a loud, barking dog.",
        "The sound is short and regular in time.",
    ]
    running = (
        "Hello! The clips share a deep engine noise. They all grow louder towards the end. A person speaks far "
        "away in two. I hope this helps!"
    )
    assert clean_points(running) == [
        "The clips share a deep engine noise.",
        "They all grow louder towards the end.",
        "A person speaks far away in two.",
    ]
    cut = "The clips share a deep engine noise. They all grow louder towards the end. In the background there is a"
    assert clean_points(cut, cut=True) == [
        "The clips share a deep engine noise.",
        "They all grow louder towards the end.",
    ]
    kept = [
        "Hi-hat cymbals keep a fast and steady rhythm.",
        "Great tits and other birds sing in most clips.",
        "Okay sounds of a crowd are heard here.",
    ]
    assert clean_points("\n".join(kept)) == kept, "words that only begin like a greeting stay"
    for chat in (
        "Based on the descriptions provided, the commonalities among these audio clips are as follows.",
        "Certainly! I would be glad to name what they share:",
        "The common features of these clips are:",
        "Here is what all of the clips share.",
        "I have summarized what these descriptions say.",
    ):
        assert clean_points(chat) == [], chat
    assert clean_points("Dogs bark loudly in here") == [] and clean_points("") == []
    assert clean_points("**Loudness:** the sounds are mostly loud and clear") == [
        "Loudness: the sounds are mostly loud and clear"
    ]
    assert clean_points("\n".join(["The sound is loud and it is high."] * 3)) == ["The sound is loud and it is high."]


@pytest.mark.parametrize(
    ("answer", "count", "names"),
    [
        ("Because.\nAnswer: dog", 1, ["dog"]),
        ("Answer: cat\nNo, wait.\n**Answer:** dog.", 1, ["dog"]),
        ("Answer: dog; cat; 3. rain", 5, ["dog", "cat", "rain"]),
        ("answer: dog, cat", 5, ["dog", "cat"]),
        ("I think\nit is rain", 1, ["it is rain"]),
        ("Answer: none", 1, []),
        ("Answer: none of these", 5, []),
        ("", 1, []),
        ("Answer: a; b; c; d; e; f; g", 5, list("abcde")),
        ("Answer:\n1. sea_waves\n2. rain\n3. wind", 5, ["sea_waves", "rain", "wind"]),
        ("Answer: 1. sea_waves 2. rain", 5, ["sea_waves", "rain"]),
        ("Answer:\n- rain\n- wind\nThat is all.", 5, ["rain", "wind"]),
        ("**Answer: dog**", 1, ["dog"]),
        ("Answer: dog\n\nI hope this helps!", 1, ["dog"]),
        ("The answer: it barks.\nAnswer: crow", 1, ["crow"]),
    ],
)
def test_answers_are_read(answer: str, count: int, names: list[str]) -> None:
    assert read_answer(answer, count) == names


def test_an_answer_cut_in_its_reasoning_names_nothing() -> None:
    assert read_answer("Reasoning: The clips hold short, sudden barks, unlike rain, so", 5, cut=True) == []
    assert read_answer("It barks.\nAnswer: dog; cr", 5, cut=True) == ["dog", "cr"]


def test_answers_are_matched_exactly_first_then_by_meaning_and_never_replaced() -> None:
    concepts = ["dog", "church_bells", "rain"]
    vectors = np.eye(3, dtype=np.float32)

    def near(texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0.8, 0.1] if "bell" in t else [0.2, 0.2, 0.3] for t in texts], np.float32)

    found = match_concepts(["Church Bells", "bells ringing", "unicorn", "dog", "DOG"], concepts, near, vectors, 0.5)
    assert [(c.said, c.concept, c.how) for c in found] == [
        ("Church Bells", 1, "exact"),
        ("unicorn", -1, "none"),
        ("dog", 0, "exact"),
    ]
    assert match_concepts(["bells ringing"], concepts, near, vectors, 0.5)[0][1:3] == (1, "nearest")


def test_thinking_aloud_is_no_answer() -> None:
    assert reply_of("<think>\nDogs? Rain?\n</think>\n\nYes, it can.").text == "Yes, it can."
    assert (
        "still thinking" in str(reply_of("<think>\nDogs? Rain?").error)
        and reply_of("<think>x</think>  ").error == "the answer is empty"
    )


@pytest.mark.slow
def test_a_failed_sample_is_asked_again_even_where_another_is_there(tmp_path: Path) -> None:
    first: dict[str, int] = {}

    def behave(prompt: str, tries: int) -> str:
        first.setdefault(prompt, 0)
        first[prompt] += 1
        return "fail" if "have in common" in prompt and first[prompt] == 1 and len(prompt) % 3 == 0 else ""

    fake = FakeServer(say, behave=behave)
    with fake.serve() as url:
        settings = config(url, open={"judge": "lexicon"})
        pipeline.run(
            settings, root=tmp_path, only=["clips", "activations", "neurons", "captions", "texts", "summaries"]
        )
        d = open_dissection("small", root=tmp_path)
        rows = d.table("summaries/remarks").to_pylist()
        assert any(r["missing"] and not r["failed"] for r in rows) and d.notes("summaries")["failed_answers"]
        pipeline.run(settings, root=tmp_path, only=["summaries"])
    assert "failed_answers" not in open_dissection("small", root=tmp_path).notes("summaries")


def test_verdicts_are_read() -> None:
    assert read_verdict("Yes, it can.") == (True, "it can.") and read_verdict("**No.** It is a colour.")[0] is False
    assert read_verdict("Yesterday it rained")[0] is None and read_verdict("It depends")[0] is None


def test_prompts_may_be_replaced_and_are_checked(tmp_path: Path) -> None:
    assert set(load_prompts()) == set(FIELDS) == {p.stem for p in BUNDLED.glob("*.txt")}
    (tmp_path / "summary.txt").write_text("In $$5: $captions")
    assert fill(load_prompts(str(tmp_path))["summary"], captions="$count {x}", count=3) == "In $5: $count {x}"
    assert load_prompts(str(tmp_path))["icl_top1"] == load_prompts()["icl_top1"]
    for text, message in (
        ("no field", "it must have"),
        ("$captions $word", "may only have"),
        ("$captions $ x", "it must have"),
    ):
        (tmp_path / "summary.txt").write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_prompts(str(tmp_path))
    (tmp_path / "summary.txt").unlink()
    (tmp_path / "summery.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"holds summery.txt; allowed: summary.txt"):
        load_prompts(str(tmp_path))


def test_a_given_answer_is_never_overwritten(tmp_path: Path) -> None:
    answers = AnswerCache(tmp_path)
    answers.put("k", "m", "p", 0, None, "down", False)
    answers.put("k", "m", "p", 0, "fine", None, False)
    answers.put("k", "m", "p", 0, None, "down again", False)
    assert answers.get(["k", "none"]) == {"k": ("fine", None, False)} and AnswerCache(tmp_path).counts() == (1, 0)
