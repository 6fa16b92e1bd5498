"""The owner's page of human studies under Streamlit's own test runner."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from and_core.study.session import Session
from and_core.study.simulate import simulate
from and_core.study.study import list_studies, open_study
from tests.conftest import ROOT
from tests.dashboard import page_html
from tests.studies import answer, begin, small_study


@pytest.fixture
def root(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    monkeypatch.delenv("AND_STUDY_DATABASE", raising=False)
    (tmp_path / "small").symlink_to(cache / "small")
    return tmp_path


def studies(**query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    test.switch_page("pages/studies.py")
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def test_without_a_study_the_page_says_how_to_make_one(root: Path) -> None:
    test = studies()
    assert not test.exception and "and-dissect study new examples/study/simulated.yaml" in page_html(test)


def test_a_study_is_set_up_and_its_tokens_are_shown_once(root: Path) -> None:
    test = studies()
    test.text_input[0].set_value("mine")
    next(n for n in test.number_input if n.label == "Neurons per block").set_value(1)
    next(n for n in test.number_input if n.label == "Clips per item").set_value(3)
    test.button[0].click().run()
    assert not test.exception and list_studies(root) == ["mine"], page_html(test)
    owner = test.code[0].value
    assert open_study("mine", root=root).owned_by(owner) and "/join/" in test.code[1].value
    test.run()
    assert not any(owner in code.value for code in test.code)
    test.text_input[0].set_value("mine")
    next(n for n in test.number_input if n.label == "Clips per item").set_value(3)
    test.button[0].click().run()
    assert "already" in page_html(test)
    test.text_input[0].set_value("../evil")
    test.button[0].click().run()
    assert "name" in page_html(test) and list_studies(root) == ["mine"]


def test_the_owners_views_need_the_token(root: Path) -> None:
    made = small_study(root, root, tasks=["write", "fit"])
    _, place = begin(made.study, "blue finch")
    for position in range(4):
        session = Session(made.study, place)
        session.record(answer(made.study, session.state(), position))
    for view in ("Progress", "Results", "Items", "Export", "Plan"):
        test = studies(study="study", view=view)
        assert (
            "blue finch" not in page_html(test)
            and not test.dataframe
            and "was shown when the study was made" in page_html(test)
        )
        test.text_input[0].set_value("wrong")
        test.button[0].click().run()
        assert test.error[0].value.startswith("That is not")
        test.text_input[0].set_value(made.owner_token)
        test.button[0].click().run()
        assert not test.exception, test.exception
    test = studies(study="study")
    test.text_input[0].set_value(made.owner_token)
    test.button[0].click().run()
    assert "blue finch" in test.dataframe[0].value["rater"].tolist() and "4 of" in page_html(test)


def test_every_view_of_a_simulated_study_says_that_it_is_one(root: Path) -> None:
    made = small_study(root, root, simulated={})
    simulate(made.study)
    for view, expected in (
        ("Progress", "By item"),
        ("Results", "Table 3 (simulated raters)"),
        ("Items", "Answers"),
        ("Export", "rows, one an answer"),
        ("Plan", "Plan"),
    ):
        test = studies(study="study", view=view)
        assert not test.exception and expected in page_html(test) and "simulated raters" in page_html(test), view
    test = studies(study="study", view="Results", everybody="true")
    assert (
        not test.exception
        and "3.24" in page_html(test)
        and "Krippendorff" in page_html(test)
        and "Automatic scores against ratings" in page_html(test)
    )
    button = next(b for b in test.button if "Compare written texts" in b.label)
    button.click().run()
    assert not test.exception and "0.57" in page_html(test) and "MiniLM" in page_html(test)


def test_a_study_that_is_gone_or_damaged_is_told(root: Path) -> None:
    made = small_study(root, root, tasks=["fit"])
    path = made.study.database.path
    assert path is not None
    path.unlink()
    test = studies(study="study")
    assert not test.exception and "no database" in page_html(test)


def test_the_owner_previews_the_raters_page(root: Path) -> None:
    made = small_study(root, root, tasks=["fit"], simulated={})
    test = studies(study=made.study.name)
    button = next(b for b in test.button if b.label == "Preview as a rater")
    button.click().run()
    assert not test.exception
    (link,) = test.get("link_button")
    assert link.proto.url.startswith("http://127.0.0.1:") and "/r/" in link.proto.url
