"""What a rater meets when things go wrong, in a real Chromium: two tabs, dead servers, quick presses."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_core.study.answers import all_answers
from and_core.study.session import Session
from tests.browser.conftest import (
    CHROMIUM,
    answer_by_keys,
    answer_by_keys_without_feedback,
    at,
    expect,
    listen,
    press,
    read_feedback,
    skip_to,
)
from tests.serving import Server
from tests.studies import begin, small_study

pytestmark = pytest.mark.browser
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt install chromium)", allow_module_level=True)
if expect is None:
    pytest.skip("playwright is not installed (pip install -e '.[test]')", allow_module_level=True)


def test_two_quick_presses_do_not_skip_what_a_good_answer_would_have_been(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "lark")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    at(page, 0)
    listen(page)
    press(page, "s", "Enter", "Enter", "Enter")
    page.wait_for_selector(".feedback")
    press(page, "Enter")
    page.wait_for_function(
        "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))"
    )
    expect(page.locator(".feedback")).to_be_visible()
    read_feedback(page)
    at(page, 1)


def test_what_is_too_long_is_said_and_nothing_is_cut(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "crane")
    skip_to(study.study, token, "write")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    listen(page)
    page.locator("#text").fill("\U0001f426" * 2001)
    expect(page.locator("#need")).to_have_text("At most 2000 characters can be saved; these are 2001.")
    assert len(page.locator("#text").input_value().encode()) == 4 * 2001
    page.locator("#text").fill("\u96e8")
    expect(page.locator("#need")).to_have_text("")
    page.locator("#text").fill("\u200d\u200d\u200d")
    expect(page.locator("#need")).to_have_text("Write what they share.")


def test_players_are_given_back(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "stork")
    page = new_page()
    page.add_init_script(
        "const Own = Audio; window.made = []; window.Audio = function (...a) { const one = new Own(...a); "
        "window.made.push(one); return one; };"
    )
    page.goto(f"{server.url}/r/{token}")
    for position in range(4):
        at(page, position)
        answer_by_keys(page)
    at(page, 4)
    made, held = page.evaluate("[window.made.length, window.made.filter(a => a.hasAttribute('src')).length]")
    assert made >= 12 and held == page.locator(".clip").count()
    expect(page.locator("#alert")).to_have_text("")


def test_two_tabs_of_one_rater_give_one_answer_an_item(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "jay")
    one = new_page()
    two = new_page(one.context)
    for page in (one, two):
        page.goto(f"{server.url}/r/{token}")
        at(page, 0)
    answer_by_keys(one)
    at(one, 1)
    answer_by_keys_without_feedback(two)
    expect(two.locator("#alert")).to_contain_text("another tab")
    at(two, 1)
    assert all_answers(study.study).query("rater == 'jay'")["position"].tolist() == [0]


def test_at_200_percent_and_on_a_telephone_nothing_is_cut_off(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "tit")
    for size in ({"width": 640, "height": 480}, {"width": 360, "height": 740}):  # 1280 x 960 at 200 %
        page = new_page()
        page.set_viewport_size(size)
        page.goto(f"{server.url}/r/{token}")
        at(page, 0)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for name in ("#go", "#undo", "#pause", "#report", ".clip >> nth=2", "input[name=answer] >> nth=5"):
            page.locator(name).scroll_into_view_if_needed()
            box = page.locator(name).bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= size["width"] + 1, name


def test_one_clip_sounds_at_a_time(study, server: Server, browser) -> None:
    token, _ = begin(study.study, "rook")
    context = browser.new_context()
    page = context.new_page()  # at its own speed
    page.goto(f"{server.url}/r/{token}")
    at(page, 0)
    press(page, "1")
    expect(page.locator(".clip button").first).to_have_attribute("aria-label", "Pause Clip 1")
    press(page, "2")
    expect(page.locator(".clip button").nth(1)).to_have_attribute("aria-label", "Pause Clip 2")
    expect(page.locator(".clip button").first).to_have_attribute("aria-label", "Play Clip 1")
    expect(page.locator(".clip small").first).to_have_text("go on listening")
    context.close()


def test_captions_and_descriptions_are_never_markup(cache: Path, tmp_path: Path, new_page) -> None:
    evil = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
    (tmp_path / "evil.csv").write_text(f'neuron,text\nlayer0_output/3,"{evil}"\n')
    plan = {
        "methods": ["evil"],
        "texts": {"evil": str(tmp_path / "evil.csv")},
        "neurons": {"chosen": ["layer0_output/3"]},
        "tasks": ["fit"],
    }
    study = small_study(
        cache,
        tmp_path / "root",
        **plan,
        raters=3,
        title=evil,
        consent=evil,
        controls={"training": 0, "known": 0, "mismatched": 0, "attention": 0},
    ).study
    token = study.invite("a")
    with Server(tmp_path / "root") as running:
        page = new_page()
        page.goto(f"{running.url}/r/{token}")
        expect(page.locator(".consent")).to_have_text(evil)
        Session(study, study.place(token)).record({"kind": "consent", "uuid": "consent-1", "agreed": True})
        session = Session(study, study.place(token))
        session.record({"kind": "volume", "uuid": "volume-1", "count": session.beep_count()})
        page.reload()
        expect(page.locator("blockquote")).to_have_text(evil)
        assert page.evaluate("window.hacked") is None
