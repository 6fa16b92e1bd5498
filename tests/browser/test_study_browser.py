"""What a rater does, in a real Chromium: keyboard alone, faults of the server, two tabs, zoom, and axe-core over every
step."""

from __future__ import annotations

import json
import sqlite3
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
from tests.studies import begin

pytestmark = pytest.mark.browser
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt install chromium)", allow_module_level=True)
if expect is None:
    pytest.skip("playwright is not installed (pip install -e '.[test]')", allow_module_level=True)


def no_violations(page, what: str) -> None:
    """axe-core finds nothing against WCAG 2.1 A and AA."""
    axe = pytest.importorskip(
        "axe_playwright_python.base", reason="axe-playwright-python is not installed (pip install -e '.[test]')"
    )
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(f"{script}\n;0")
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    assert len(found["passes"]) > 5
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == [], what


def test_a_whole_session_by_keyboard_with_axe_at_every_step(study, server: Server, new_page) -> None:
    page = new_page()
    page.goto(f"{server.url}/join/{study.join_token}")
    no_violations(page, "join")
    page.keyboard.press("Tab")
    page.keyboard.type("finch")
    page.keyboard.press("Enter")
    page.wait_for_selector("#agree")
    link = page.url
    no_violations(page, "consent")
    press(page, "Enter")
    expect(page.locator("#alert")).to_contain_text("Tick")
    page.locator("#agree").focus()
    press(page, "Space", "Enter")
    page.wait_for_selector("#count-beeps")
    no_violations(page, "volume")
    place = next(p for p in [study.study.place(link.rpartition("/")[2])] if p)
    press(page, "1")
    page.locator("#count-beeps").focus()
    page.keyboard.type("99")
    press(page, "Enter")
    expect(page.locator("#alert")).to_contain_text("not their number")
    press(page, "1")
    page.locator("#count-beeps").focus()
    page.keyboard.type(str(Session(study.study, place).beep_count()))
    press(page, "Enter")
    page.wait_for_selector("blockquote")
    press(page, "s", "Enter")  # not a clip was heard
    expect(page.locator("#need")).to_contain_text("Listen to clip 1, 2, 3")
    assert len(all_answers(study.study)) == 0
    total = Session(study.study, place).state()["total"]
    asked: set[str] = set()
    for position in range(total):
        at(page, position)
        question = page.inner_text("#question")
        if question not in asked and position:
            assert page.evaluate("document.activeElement.id") == "question"  # a screen reader begins with what is asked
            no_violations(page, question)
        asked.add(answer_by_keys(page))
    expect(page.locator("h1")).to_contain_text("Thank you")
    no_violations(page, "done")
    assert len(asked) == 6
    rows = all_answers(study.study).query("rater == 'finch'")
    assert len(rows) == total and set(rows["task"]) == {"write", "intruder", "present", "choose", "fit", "captions"}
    assert rows.loc[rows["task"] == "write", "response"].tolist() == ['"123 quiet buzz, asdf"'] * 2
    page.goto(link)  # the same link, later
    expect(page.locator("h1")).to_contain_text("Thank you")


def test_undo_pause_faults_and_shortcuts_off(study, server: Server, new_page) -> None:
    token, place = begin(study.study, "wren")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    for position in range(3):
        at(page, position)
        answer_by_keys(page)
    at(page, 3)
    press(page, "u")
    at(page, 2)
    answer_by_keys(page)
    at(page, 3)
    rows = all_answers(study.study).query("rater == 'wren' and kind == 'answer'")
    assert rows["live"].tolist().count(False) == 1 and len(rows) == 4
    press(page, "p")
    page.wait_for_selector("dialog[open]")
    no_violations(page, "pause")
    press(page, "Enter")
    expect(page.locator("dialog")).not_to_be_visible()
    press(page, "b")
    page.wait_for_selector("dialog[open] #which")
    no_violations(page, "report")
    page.locator("#which").select_option(index=2)
    page.locator("#note").fill("<b>crackles</b>")
    page.locator("dialog .go").click()
    expect(page.locator("#status")).to_have_text("Reported, thank you.")
    kinds = [e.kind for e in Session(study.study, place).events]
    assert {"pause", "resume", "flag", "undo"} <= set(kinds)
    page.locator("#keys").click()
    press(page, "1", "u")
    page.wait_for_function(
        "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))"
    )  # keys would have done their work
    at(page, 3)
    assert page.evaluate("[...document.querySelectorAll('.clip.on')].length") == 0
    page.reload()
    at(page, 3)  # resumed, and the choice about shortcuts with it
    expect(page.locator("#keys")).to_have_text("Shortcuts: off")


def test_an_answer_stays_in_the_page_until_the_database_takes_it(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "owl")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    at(page, 0)
    holder = sqlite3.connect(study.study.database.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    answer_by_keys_without_feedback(page)
    expect(page.locator("#alert")).to_contain_text("Not saved yet")
    assert len(all_answers_of(study, holder, "owl")) == 0
    holder.execute("COMMIT")
    page.wait_for_selector(".feedback")
    expect(page.locator("#alert")).to_have_text("")
    read_feedback(page)
    at(page, 1)
    listen(page)
    server.kill()  # and now the server goes, with the next answer unsaved, and the page is opened anew after it is back
    press(page, "s", "Enter")
    expect(page.locator("#alert")).to_contain_text("can't be reached")
    server.start()
    page.close()
    again = new_page(page.context)
    again.goto(f"{server.url}/r/{token}")
    at(again, 2)
    rows = all_answers(study.study).query("rater == 'owl'")
    assert rows["position"].tolist() == [0, 1]


def all_answers_of(study, holder: sqlite3.Connection, rater: str) -> list:
    return holder.execute(
        "SELECT e.id FROM event e JOIN claim c ON c.rater_id = e.rater_id WHERE c.pseudonym = ? AND e.kind = 'answer'",
        (rater,),
    ).fetchall()


def test_what_is_being_saved_can_not_be_edited(study, server: Server, new_page) -> None:
    token, _ = begin(study.study, "swift")
    skip_to(study.study, token, "write")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    listen(page)
    page.locator("#text").fill("first version")
    page.context.set_offline(True)
    page.locator("#go").click()
    expect(page.locator("#alert")).to_contain_text("Not saved yet")
    expect(page.locator("#text")).to_be_disabled()
    expect(page.locator("main input[type=checkbox]")).to_be_disabled()
    press(page, "n")
    page.context.set_offline(False)
    expect(page.locator("#status")).to_have_text("Saved.")
    rows = all_answers(study.study).query("rater == 'swift' and task == 'write' and not none")
    assert rows["response"].tolist()[-1] == '"first version"'


def test_a_reload_a_closed_tab_and_a_new_link_keep_what_was_heard_chosen_and_written(
    study, server: Server, new_page
) -> None:
    token, _ = begin(study.study, "heron")
    for task in ("write", "present", "fit"):
        skip_to(study.study, token, task)
        page = new_page()
        page.goto(f"{server.url}/r/{token}")
        listen(page)
        if task == "fit":
            press(page, "d")
        elif task == "present":
            for box in page.locator(".yesno").all():
                box.locator("input[value=no]").check()
        else:
            page.locator("#text").fill("a half-written \u0645\u06cc\u200c\u0634\u0648\u062f")
        expect(page.locator("#need")).to_have_text("")
        page.reload()
        expect(page.locator("#need")).to_have_text("")
        page.close()
        token = study.study.invite("heron")
        again = new_page(page.context)
        again.goto(f"{server.url}/r/{token}")
        expect(again.locator("#need")).to_have_text("")
        expect(again.locator(".clip small").first).to_have_text("heard")
        again.locator("#go").click()
        expect(again.locator("#status")).to_have_text("Saved.")
        saved = json.loads(all_answers(study.study).query("rater == 'heron'").iloc[-1]["response"])
        assert saved == {"write": "a half-written \u0645\u06cc\u200c\u0634\u0648\u062f", "fit": 3}.get(task, saved)
        assert task != "present" or saved == [False] * len(saved)


def test_a_text_is_written_saved_and_left_by_keys_and_clips_play_in_a_row(study, server: Server, new_page) -> None:
    token, place = begin(study.study, "siskin")
    skip_to(study.study, token, "write")
    page = new_page()
    page.goto(f"{server.url}/r/{token}")
    page.wait_for_selector("#text")
    position = Session(study.study, place).position
    expect(page.locator("#count")).to_contain_text("left")
    press(page, "0")  # all clips, one after the other
    for clip in range(page.locator(".clip").count()):
        expect(page.locator(".clip small").nth(clip)).to_have_text("heard")
    page.locator("#text").focus()
    page.keyboard.type("a hum0")
    press(page, "Escape")
    assert page.evaluate("document.activeElement.id") == "question"
    press(page, "1")  # a key again, no letter
    page.wait_for_selector(".clip.on")
    assert page.input_value("#text") == "a hum0"
    page.locator("#text").focus()
    press(page, "Control+Enter")
    at(page, position + 1)
    rows = all_answers(study.study).query("rater == 'siskin' and task == 'write' and kind == 'answer'")
    assert rows["response"].tolist()[-1] == '"a hum0"'
