"""What a rater does, in a real Chromium: keyboard alone, faults of the server, two tabs, zoom, and axe-core over every
step."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from and_core.study.answers import all_answers
from and_core.study.session import Session
from tests.serving import Server
from tests.studies import answer, begin, small_study

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt install chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e '.[test]')")
expect = sync_api.expect
PATIENCE = 120_000  # milliseconds until a state that does not come is a fault: a busy machine is none
expect.set_options(timeout=PATIENCE)
FLAGS = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
FAST = (
    "const play = HTMLMediaElement.prototype.play; HTMLMediaElement.prototype.play = function () { "
    "this.playbackRate = 16; return play.call(this); };"
)


@pytest.fixture(scope="module")
def study(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    tasks = ["write", "intruder", "present", "choose", "fit", "captions"]
    plan = {
        "tasks": tasks,
        "neurons": {"chosen": ["layer0_output/3", "layer2_output/7"]},
        "methods": ["TAB", "DB"],
        "raters": 12,
        "controls": {"training": 1, "attention": 1, "mismatched": 1, "known": 1},
    }
    return small_study(
        cache, tmp_path_factory.mktemp("rate"), **plan, raters_per_item=12, spectrograms=True, repeats=0.0
    )


@pytest.fixture(scope="module")
def server(study) -> Iterator[Server]:
    with Server(study.study.folder.parents[1]) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser) -> Iterator[Callable]:
    contexts, faults = [], []

    def make(context=None, **options):
        if context is None:
            context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
            context.set_default_timeout(PATIENCE)
            context.add_init_script(FAST)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on(
            "request",
            lambda r: faults.append(f"outside: {r.url}") if not r.url.startswith("http://127.0.0.1") else None,
        )
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def listen(page) -> None:
    """Every clip, by its number."""
    page.wait_for_selector(".clip")
    for clip in range(page.locator(".clip").count()):
        press(page, str(clip + 1))
        expect(page.locator(".clip small").nth(clip)).to_have_text("heard")


def answer_by_keys(page) -> str:
    """One item from the keyboard alone; the question that was asked."""
    asked = page.inner_text("#question")
    practice = page.locator("main .mark").count()
    listen(page)
    if page.locator("textarea#text").count():
        page.locator("#text").focus()
        page.keyboard.type("123 quiet buzz, asdf")  # hotkeys never fire while typing
        press(page, "Tab", "Tab", "Enter")
    elif page.locator(".yesno").count():
        for clip in range(page.locator(".clip").count()):
            press(page, str(clip + 1), "y" if clip % 2 else "n")
        press(page, "Enter")
    else:
        press(page, "s", "Enter")
    if practice:
        read_feedback(page)
    return asked


def read_feedback(page) -> None:
    """What a good answer to a practice item would have been, then on."""
    page.wait_for_selector(".feedback")
    expect(page.locator("#go")).to_have_attribute("aria-disabled", "false")
    press(page, "Enter")


def skip_to(study, token: str, task: str) -> None:
    """Answer as the page would, until an item of a task that is no practice is at hand."""
    while True:
        session = Session(study, study.place(token))
        state = session.state()
        if state["item"]["task"] == task and not state["item"]["training"]:
            return
        session.record(answer(study, state))


def at(page, position: int) -> None:
    expect(page.locator("#count")).to_have_text(re.compile(rf"^{position} of"))


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


def answer_by_keys_without_feedback(page) -> None:
    listen(page)
    if page.locator("textarea#text").count():
        page.locator("#text").fill("a hum")
        page.locator("#go").click()
    else:
        press(page, "s", "Enter")


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
        Session(study, study.place(token)).record({"kind": "consent", "uuid": "consent-1", "agreed": True})  # type: ignore[arg-type]
        session = Session(study, study.place(token))  # type: ignore[arg-type]
        session.record({"kind": "volume", "uuid": "volume-1", "count": session.beep_count()})
        page.reload()
        expect(page.locator("blockquote")).to_have_text(evil)
        assert page.evaluate("window.hacked") is None
