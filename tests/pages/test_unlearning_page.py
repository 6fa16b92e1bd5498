"""The Unlearning and Feature importance pages under Streamlit's test runner: choose, run, wait, cancel, keep."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from and_core import Dissection, open_dissection, pipeline
from and_core.audio.media import read_flac
from and_core.unlearn.dose import SHARES, first_flip, under_doses
from and_core.unlearn.evaluator import open_evaluator
from and_core.unlearn.live import queue
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import inputs_of, kept
from and_core.unlearn.runs import read_split
from and_core.unlearn.selection import select_neurons
from pages.ui.ablation import request_of
from pages.ui.pins import pin_of
from tests.conftest import small_config
from tests.dashboard import app, page_html


@pytest.fixture(autouse=True)
def root(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, since results are kept in it."""
    shutil.copytree(cache / "small", tmp_path / "cache" / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class HeldDissection(Dissection):
    """A dissection that is not read on until it is let go: whatever runs on it keeps the queue busy."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go = threading.Event()

    def array(self, name: str):
        if name.startswith("split/"):
            self.go.wait(30)
        return super().array(name)


def page(**query: str) -> AppTest:
    test = app(**query).run().switch_page("pages/unlearning.py")
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def pins(test: AppTest) -> list[str]:
    value = test.query_params["pin"]
    return value if isinstance(value, list) else [value]


def test_up_to_three_results_are_pinned_side_by_side_and_stand_in_the_address() -> None:
    concept = open_dissection("small").unlearning_runs["concept"][0].as_py()
    test = page(concept=concept, strategy="TAB")
    test.button(key="pin").click().run()
    assert pins(test) == [pin_of(AblationRequest(concept=concept, strategy="TAB"))]
    assert f"TAB of {concept}</a>" in page_html(test) and test.button(key="pin").label == "Unpin"
    for strategy in ("DB", "OCP"):
        test.selectbox(key="strategy").set_value(strategy).run()
        test.button(key="pin").click().run()
    assert len(pins(test)) == 3 and "3 of at most 3" in page_html(test) and not test.exception
    test.button(key="unpin_1").click().run()
    assert [dict(parse_qsl(pin))["strategy"] for pin in pins(test)] == ["TAB", "OCP"]
    broken = page(concept="dog", strategy="TAB", pin="concept=dog&dose=x")
    assert "dose=&#x27;x&#x27; is no number" in page_html(broken) and not broken.exception


@pytest.mark.parametrize(
    "request_",
    [
        AblationRequest(concept="dog", strategy="DB", top=5, dose=0.35, choose_on="all", how="mean"),
        AblationRequest(concept="rain", synonyms=0.6, leave_shared=True),
        AblationRequest(strategy="random", share=0.125, seed=7),
        AblationRequest(strategy="list", neurons=("fc/1", "fc/2")),
        AblationRequest(strategy="criterion", criterion="verb"),
    ],
)
def test_a_request_comes_back_from_its_address(request_: AblationRequest) -> None:
    back = request_of(pin_of(request_))
    assert {**back.settled(), "share": round(back.share, 5)} == {
        **request_.settled(),
        "share": round(request_.share, 5),
    }


def until_done(test: AppTest, request: AblationRequest, d: Dissection, kind: str = "run") -> AppTest:
    key = request.key(kind, inputs_of(d))
    for _ in range(6000):
        job = queue().find(key)
        if job is not None and job.state not in ("queued", "running"):
            break
        time.sleep(0.05)
    return test.run()


def button(test: AppTest, label: str):
    return next(b for b in test.button if b.label == label)


def test_a_run_from_choice_to_result_and_back_by_link(root: Path) -> None:
    d = open_dissection("small", root=root)
    request = AblationRequest(concept="rain", strategy="DB", top=2)
    count = select_neurons(d, request).count
    test = page(dissection="small", concept="rain", strategy="DB", top="2")
    assert (
        not test.exception
        and f"{count:,} of 3,072 hidden neurons" in page_html(test)
        and "Not run yet: DB of rain" in page_html(test)
    )
    assert "The effect is measured on" in page_html(test) and "fold 1" in page_html(test)
    button(test, "Run").click().run()
    test = until_done(test, request, d)
    text = page_html(test)
    assert not test.exception and "Change by class" in text and "before and after" in text and "Gap" in text
    assert "and-verdict" in text and "/clips/small/" in text
    button(test, "Draw the dose curve").click().run()
    test = until_done(test, request, d, "dose")
    assert not test.exception and not [b for b in test.button if b.label == "Draw the dose curve"]
    button(test, "Keep in the dissection").click().run()
    assert [r for _, _, r in kept(open_dissection("small", root=root))] == [request]
    again = page(dissection="small", concept="rain", strategy="DB", top="2")
    assert (
        "Kept in this dissection" in page_html(again)
        and "Change by class" in page_html(again)
        and not [b for b in again.button if b.label == "Run"]
    )
    button(again, "Kept; forget it").click().run()
    assert not kept(open_dissection("small", root=root)) and not again.exception
    again.session_state["unit_of_change"] = "probabilities"
    again.run()
    assert not again.exception


def test_waiting_has_a_place_and_can_be_given_up(root: Path) -> None:
    held = HeldDissection(root / "small")
    other = queue().submit(held, "run", AblationRequest(concept="dog", strategy="DB", top=4), "another user")
    d, request = open_dissection("small", root=root), AblationRequest(concept="siren", strategy="DB", top=4)
    try:
        test = page(dissection="small", concept="siren", strategy="DB", top="4")
        button(test, "Run").click().run()
        assert not test.exception and "Change by class" not in page_html(test)
        job = queue().find(request.key("run", inputs_of(d)))
        assert job is not None and job.state == "queued" and queue().place(job) == 1
        button(test, "Cancel").click().run()
        assert (
            job.state == "cancelled"
            and "Cancelled; nothing of that run is kept" in page_html(test.run())
            and button(test, "Run")
        )
    finally:
        held.go.set()
    for _ in range(6000):
        if other.state == "done":
            break
        time.sleep(0.05)
    assert other.state == "done", "the other user's run went on"


def test_what_can_not_be_run_is_said(root: Path) -> None:
    none = page(dissection="small", strategy="list")
    assert "No neuron is selected" in page_html(none) and button(none, "Run").disabled and not none.exception
    wrong = page(dissection="small", strategy="list", neurons="layer99/4")
    assert "is not in a hidden layer" in page_html(wrong) and not wrong.exception
    whole = page(dissection="small", strategy="list", neurons=" ".join(f"layer0_output/{i}" for i in range(128)))
    assert "All neurons of layer 0 / output are selected" in page_html(whole)
    for strategy in ("OCP", "TAB", "adjective", "criterion", "random"):
        test = page(dissection="small", strategy=strategy)
        assert not test.exception and "hidden neurons" in page_html(test), strategy
    evil = page(dissection="small", concept="<img src=x>", strategy="magic", dose="900", share="-1")
    assert not evil.exception and "<img src=x>" not in page_html(evil)


def test_a_concept_that_is_no_class_has_no_change_of_its_own(root: Path, tmp_path: Path) -> None:
    concepts = tmp_path / "concepts.txt"
    concepts.write_text("rain\nmotor\nanimal\n")
    pipeline.run(
        small_config(closed={"concepts": str(concepts)}, unlearning={"concepts": 1, "fair": 1, "importance": False}),
        root=root,
    )
    d, request = open_dissection("small", root=root), AblationRequest(concept="animal", strategy="DB")
    test = page(dissection="small", concept="animal", strategy="DB")
    button(test, "Run").click().run()
    test = until_done(test, request, d)
    text = page_html(test)
    assert (
        not test.exception
        and "undefined" in text
        and "is no class of the network" in text
        and "Change by class" in text
        and "The concept&#x27;s clips" not in text
    )


def test_table_4_and_what_is_not_run(root: Path) -> None:
    text = page_html(page(dissection="small"))
    assert (
        "Table 4" in text
        and "<td>2808 / -10.73 / -6.83 / +3.90</td>" in text
        and "what this data says" in text
        and "and-dissect prune small --all" in text
    )
    shutil.rmtree(root / "small")
    pipeline.run(small_config(unlearning=None), root=root)
    bare = page(dissection="small")
    assert (
        not bare.exception
        and "no tested split yet" in page_html(bare)
        and "and-dissect prune small --all" in page_html(bare)
    )


def test_feature_importance(root: Path) -> None:
    test = app(dissection="small").run().switch_page("pages/importance.py").run()
    text = page_html(test)
    assert (
        not test.exception
        and "Figure 4 a" in text
        and "Figure 4 c" in text
        and "Loss of accuracy" in text
        and "<td>noun</td>" in text
    )
    shutil.rmtree(root / "small")
    pipeline.run(small_config(unlearning=None), root=root)
    bare = app(dissection="small").run().switch_page("pages/importance.py").run()
    assert not bare.exception and "and-dissect prune small --importance" in page_html(bare)


def test_one_sound_is_told_as_the_dose_grows(root: Path) -> None:
    d = open_dissection("small", root=root)
    request = AblationRequest(concept=d.concept_set[0], strategy="random", share=0.5)
    choice = select_neurons(d, request)
    clip = int(d.tested_clips[0])
    values = under_doses(d, *read_flac(d.audio(clip)), choice)
    assert values.shape == (len(SHARES), len(d.network_classes)) and np.allclose(values.sum(1), 1, atol=1e-5)
    split = read_split(d)
    assert np.allclose(values[0], split.probabilities(split.before)[0], atol=1e-4)  # the whole network
    evaluator = open_evaluator(d)
    half = evaluator.logits([choice.first(round(choice.count / 2), d.layers).masks])[0, :1]
    assert np.allclose(values[10], split.probabilities(half)[0], atol=1e-4)
    test = page(dissection="small", concept=request.concept, strategy="random", share="50")
    assert not test.exception and "drag, and read what the network takes it for" in page_html(test)
    assert f"With {choice.count:,} of the {choice.count:,} neurons silenced" in page_html(test)
    test.select_slider(key="story_dose").set_value(0).run()
    assert "With 0 of the" in page_html(test)


def test_a_first_flip_is_the_first_dose_with_another_class() -> None:
    values = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    assert first_flip(values) == 2 and first_flip(values[:2]) is None
