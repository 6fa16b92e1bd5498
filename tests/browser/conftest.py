"""What the tests of this room share."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from and_core.study.session import Session
from tests.serving import Server
from tests.studies import answer, small_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


try:
    from playwright import sync_api
except ImportError:
    sync_api = None  # type: ignore[assignment]  # the tests of this room say so and skip

PATIENCE = 120_000  # milliseconds until a state that does not come is a fault: a busy machine is none
expect: Any = getattr(sync_api, "expect", None)
if expect is not None:
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


def answer_by_keys_without_feedback(page) -> None:
    listen(page)
    if page.locator("textarea#text").count():
        page.locator("#text").fill("a hum")
        page.locator("#go").click()
    else:
        press(page, "s", "Enter")
