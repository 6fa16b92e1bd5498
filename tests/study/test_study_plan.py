"""Human studies: what a plan may say, and what is drawn from it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core import open_dissection
from and_core.errors import StudyError
from and_core.study.assign import assign, overlap
from and_core.study.draw import Item, draw_items
from and_core.study.plan import TASKS, load_plan, make_plan
from tests.conftest import ROOT
from tests.studies import items_of, small_plan, small_study


@pytest.fixture(scope="module")
def drawn(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """A study whose plan is looked at; nobody answers it."""
    return small_study(cache, tmp_path_factory.mktemp("drawn"), methods=["TAB", "DB", "SUM"])


# -- the plan
# ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"methods": ["XYZ"]}, "XYZ"),
        ({"raters": 2}, "raters_per_item"),
        ({"tasks": ["sing"]}, "sing"),
        ({"clips": 2}, "clips"),
        ({"clips": 9}, "clips"),
        ({"name": "../x"}, "name"),
        ({"methods": ["DB"], "tasks": ["choose"]}, "choose"),
        ({"dissections": []}, "dissections"),
        ({"dances": 1}, "dances"),
        ({"methods": ["DB", "DB"]}, "twice"),
        ({"exclusion": {"known_below": 9}}, "known_below"),
        ({"texts": {"DB": "x.csv"}}, "DB"),
        ({"neurons": {"chosen": ["layer0_output/3", "layer0_output/3"]}}, "twice"),
    ],
)  # fmt: skip
def test_a_wrong_plan_is_refused_by_name(change: dict, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        make_plan({"name": "x", "dissections": ["small"], **change})


def test_plans_of_the_examples_are_read_and_bad_files_told(tmp_path: Path) -> None:
    for path in (ROOT / "examples" / "study").glob("*.yaml"):
        assert load_plan(path).dissections
    for name, content in (("gone.yaml", None), ("list.yaml", "- 1"), ("broken.yaml", "a: [")):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(StudyError, match=name):
            load_plan(tmp_path / name)


def test_items_ask_what_the_plan_says(drawn, cache: Path) -> None:
    study, d = drawn.study, open_dissection("small", root=cache)
    neurons = {i["truth"]["neuron"] for i in items_of(study, "write")}
    assert len(neurons) == 8 and all("_output/" in n and "attention" not in n for n in neurons)  # 2 of each of 4 blocks
    for item in items_of(study, "fit"):
        truth = item["truth"]
        high = [top.clip.index for top in d.extreme_clips(truth["neuron"], "high", 3)]
        assert truth["clips"] == high and item["shown"]["description"]
        if truth["method"] == "DB":
            assert item["shown"]["description"] == d.closed_concepts(truth["neuron"])[0].name.replace("_", " ")
    for item in items_of(study, "intruder"):
        values = d.activations(item["truth"]["neuron"])
        assert item["truth"]["expected"] == 0 and values[item["truth"]["clips"][0]] <= np.median(values)
    for item in items_of(study, "present"):
        ranks = np.argsort(np.argsort(-d.activations(item["truth"]["neuron"]))).tolist()
        quarters = [ranks[c] // 6 for c in item["truth"]["clips"]]
        assert quarters == [0, 1, 2, 3]  # 24 clips: one of each quarter
    for item in items_of(study, "choose"):
        assert len(set(item["shown"]["options"])) == len(item["truth"]["methods"]) >= 2
    for item in items_of(study, "captions"):
        assert item["shown"]["captions"] == [d.caption(c) for c in item["truth"]["clips"]]


def test_controls_have_a_known_answer(drawn, cache: Path) -> None:
    study, d = drawn.study, open_dissection("small", root=cache)
    known, off, attention = (items_of(study, "fit", c) for c in ("known", "mismatched", "attention"))
    assert (len(known), len(off), len(attention)) == (2, 2, 1)
    for item in known:
        assert {d.clips[c].label.replace("_", " ") for c in item["truth"]["clips"]} == {item["shown"]["description"]}
    for item in off:
        texts = {
            i["shown"]["description"] for i in items_of(study, "fit") if i["truth"]["neuron"] == item["truth"]["neuron"]
        }
        assert item["shown"]["description"] not in texts
    assert attention[0]["truth"]["expected"][0] in attention[0]["shown"]["description"]
    assert sum((i["control"] or "").startswith("training-") for i in study.items.values()) == 2


def test_the_same_plan_draws_the_same_study_and_another_seed_another(drawn, cache: Path, tmp_path: Path) -> None:
    again = small_study(cache, tmp_path / "again")
    other = small_study(cache, tmp_path / "other", seed=1)
    assert again.study.fingerprint == drawn.study.fingerprint != other.study.fingerprint
    assert again.owner_token != drawn.owner_token


@given(st.integers(1, 60), st.integers(3, 12), st.integers(1, 3), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_overlap_is_exact_and_balanced(count: int, raters: int, per_item: int, seed: int) -> None:
    items = [Item("fit", "d", [0, 1, 2]) for _ in range(count)]
    lists = overlap(items, raters, per_item, seed)
    assert Counter(i for mine in lists for i in mine) == dict.fromkeys(range(count), per_item)
    assert all(len(set(mine)) == len(mine) for mine in lists)
    assert max(map(len, lists)) - min(map(len, lists)) <= 1


@given(st.integers(0, 10**6), st.floats(0, 0.5))
@settings(max_examples=25, deadline=None)
def test_lists_go_task_by_task_with_every_control_and_repeats_apart(seed: int, repeats: float) -> None:
    items = [
        Item(task, "d", [0, 1, 2, 3], options=["a", "b"] if task == "choose" else [])
        for task in TASKS
        for _ in range(6)
    ]
    items += [Item("fit", "d", [0, 1, 2], control=c) for c in ("attention", "mismatched", "training-known")]
    lists = assign(items, 4, 2, repeats, seed)
    for slots in lists:
        assert slots[0].item == len(items) - 1  # training first
        order = [TASKS.index(items[s.item].task) for s in slots[1:]]
        assert order == sorted(order)
        assert {len(items) - 2, len(items) - 3} <= {s.item for s in slots}
        for place, slot in enumerate(slots):
            assert sorted(slot.clip_order) == list(range(len(items[slot.item].clips))) and sorted(
                slot.option_order
            ) == list(range(len(items[slot.item].options)))
            if slot.repeat_of is not None:
                assert (
                    slots[slot.repeat_of].item == slot.item
                    and slots[slot.repeat_of].repeat_of is None
                    and place > slot.repeat_of
                )
        able = {s.item for s in slots if items[s.item].control is None and items[s.item].task != "write"}
        assert sum(s.repeat_of is not None for s in slots) == round(repeats * len(able))
    assert lists == assign(items, 4, 2, repeats, seed)
    assert len({tuple(tuple(s.clip_order) for s in slots) for slots in lists}) > 1


def test_texts_of_ones_own_are_rated_beside_the_methods(cache: Path, tmp_path: Path) -> None:
    d = open_dissection("small", root=cache)
    (tmp_path / "human.csv").write_text('neuron,text\nlayer0_output/3,"low, steady hum"\nlayer1_output/5,=cmd|x\n')
    plan = small_plan(
        methods=["DB", "human"],
        texts={"human": str(tmp_path / "human.csv")},
        neurons={"chosen": ["layer0_output/3", "layer2_output/7"]},
        tasks=["fit"],
    )
    items, skipped = draw_items(plan, [d])
    assert [i.description for i in items if i.truth.get("method") == "human"] == ["low, steady hum"]
    assert any("layer2_output/7" in s.name and "human" in s.reason for s in skipped)
    for content, reason in (
        ("neuron\nx\n", "text"),
        ("neuron,text\nlayer9/1,x\n", "layer9"),
        ("neuron,text\n", "no description"),
        (None, "can't be read"),
    ):
        path = tmp_path / "bad.csv"
        path.unlink(missing_ok=True)
        if content:
            path.write_text(content)
        with pytest.raises(StudyError, match=reason):
            draw_items(plan.model_copy(update={"texts": {"human": str(path)}}), [d])


@pytest.mark.parametrize(
    "controls", [{"known": 0, "training": 0, "mismatched": 0, "attention": 0}, {"known": 0, "training": 1}]
)
def test_no_more_controls_than_asked_for(controls: dict, cache: Path) -> None:
    d = open_dissection("small", root=cache)
    items, _ = draw_items(small_plan(controls=controls), [d])
    wanted = small_plan(controls=controls).controls
    assert (
        sum(i.control is not None for i in items)
        == wanted.known + wanted.training + wanted.mismatched + wanted.attention
    )
    items, _ = draw_items(small_plan(tasks=["write"]), [d])
    assert all(i.control is None and i.task == "write" for i in items)
