"""The player in a real Chromium: play, seek, loop, region, keys, a row, levels, A/B, the trace under the playhead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.test_browser import context, open_page, page, settle, sync_api  # noqa: F401 - fixtures
from tests.serving import dashboard_server

pytestmark = pytest.mark.browser
AUDIO = "[...document.querySelectorAll('.and-card audio')]"
PLAYING = f"{AUDIO}.findIndex(a => !a.paused)"


@pytest.fixture(scope="module")
def server(cache: Path) -> Iterator[str]:
    with dashboard_server(cache) as url:
        yield url


@pytest.fixture
def neuron(server, page):  # noqa: F811
    open_page(page, f"{server}/neurons?dissection=small&layer=layer2_intermediate&unit=100", ".and-card")
    settle(page)
    page.wait_for_function("window.andPlayer")
    return page


def plays(page, number: int, patience: int | None = None) -> None:  # noqa: F811
    page.wait_for_function(f"{PLAYING} === {number} && {AUDIO}[{number}].currentTime > 0.02", timeout=patience)
    assert page.evaluate(f"{AUDIO}.filter(a => !a.paused).length") == 1, "one clip sounds at a time"


def play_a_row(page, patience: int = 20_000) -> None:  # noqa: F811
    page.get_by_role("button", name="Play all").first.click()
    for number in (0, 1, 2):
        plays(page, number, patience)
        page.evaluate(f"{AUDIO}[{number}].currentTime = 2.9")
    page.wait_for_function(f"{PLAYING} === -1", timeout=patience)


def near(page, number: int, seconds: float, within: float = 0.35) -> None:  # noqa: F811
    at = page.evaluate(f"{AUDIO}[{number}].currentTime")
    assert seconds - 0.05 <= at <= seconds + within, at


def test_a_clip_is_shown_large_with_axes_playhead_and_trace(neuron) -> None:
    page = neuron  # noqa: F811
    assert page.locator(".and-card .and-trace").count() == 6, "the trace is there before anything plays"
    page.keyboard.press("1")
    plays(page, 0)
    dock = page.locator(".and-dock")
    assert dock.locator(".and-dock-hz span").all_inner_texts() == ["250 Hz", "1 kHz", "2 kHz", "4 kHz", "8 kHz"]
    assert dock.locator(".and-dock-s span").all_inner_texts()[0] == "0 s" and dock.locator(".and-trace").count() == 1
    page.wait_for_function(
        "parseFloat(document.querySelector('.and-dock .head').style.left) > 3 && "
        "document.querySelector('.and-dock .head').style.left === document.querySelector('.and-card .head').style.left"
    )
    box = dock.locator(".and-dock-view").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 30)
    near(page, 0, 1.5)
    page.keyboard.press("Space")
    page.wait_for_function(f"{PLAYING} === -1")
    page.keyboard.press("Space")
    plays(page, 0)
    page.keyboard.press("Escape")
    page.wait_for_function(f"{PLAYING} === -1 && !document.querySelector('.and-dock')")
    assert page.faults == []


def test_a_region_is_dragged_heard_and_looped(neuron) -> None:
    page = neuron  # noqa: F811
    box = page.locator(".and-pic").nth(1).bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 60, steps=4)
    page.mouse.up()
    plays(page, 1)
    near(page, 1, 0.6)
    assert page.locator(".and-region").count() == 2, "on the card and in the large view"
    page.wait_for_function(f"{PLAYING} === -1")
    near(page, 1, 0.6)
    page.keyboard.press("l")
    page.evaluate(
        f"window.turns = 0; {AUDIO}[1].addEventListener('seeked', () => {{ window.turns += 1; }})",
    )
    page.keyboard.press("Space")
    page.wait_for_function("window.turns >= 2")
    assert page.evaluate(PLAYING) == 1, "it goes round"
    page.keyboard.press("l")
    page.wait_for_function(f"{PLAYING} === -1")
    assert page.faults == []


def test_where_it_fires_is_the_stretch_around_the_maximum_of_the_trace(neuron) -> None:
    page = neuron  # noqa: F811
    page.keyboard.press("2")
    plays(page, 1)
    page.keyboard.press("f")
    start, stop = (float(v) for v in page.locator(".and-card").nth(1).get_attribute("data-and-fires").split(","))
    near(page, 1, start)
    assert 0 <= start < stop <= 3.01 and stop - start >= 0.49
    page.wait_for_function(f"{PLAYING} === -1")
    assert page.faults == []


def test_a_row_plays_through_levels_match_and_two_clips_are_compared_at_one_place(neuron) -> None:
    page = neuron  # noqa: F811
    for attempt in range(3):  # a part of the page that is drawn anew under a sound stops it: then from the beginning
        try:
            play_a_row(page)
            break
        except sync_api.TimeoutError:
            assert attempt < 2, "the row stopped each time"
            page.keyboard.press("Escape")
    page.keyboard.press("1")
    plays(page, 0)
    assert page.evaluate(f"{AUDIO}.every(a => a.volume === 1)"), "loudness is kept unless levels are matched"
    levels = [float(c.get_attribute("data-and-level")) for c in page.locator(".and-card[data-and-level]").all()]
    page.keyboard.press("m")
    wanted = max(10 ** ((min(levels) - levels[0]) / 20), 0.063)
    assert page.evaluate(f"{AUDIO}[0].volume") == pytest.approx(wanted, abs=0.002)
    page.keyboard.press("a")
    page.keyboard.press("3")
    plays(page, 2)
    page.keyboard.press("b")
    assert page.locator(".and-ab").all_inner_texts() == ["A", "B"]
    page.evaluate(f"{AUDIO}[2].currentTime = 1.2")
    page.keyboard.press("x")
    plays(page, 0)
    near(page, 0, 1.2)
    page.keyboard.press("x")
    plays(page, 2)
    assert page.evaluate(f"{AUDIO}[2].currentTime") >= 1.15
    assert page.faults == []


def test_keys_have_a_sheet_and_do_nothing_while_one_types(neuron) -> None:
    page = neuron  # noqa: F811
    page.keyboard.press("?")
    page.wait_for_selector("dialog.and-sheet[open]")
    page.keyboard.press("1")
    assert page.evaluate(PLAYING) == -1
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('dialog.and-sheet')")
    page.locator('input[type="text"]').first.click()
    page.keyboard.type("1 lab")
    assert page.evaluate(PLAYING) == -1 and page.locator(".and-dock").count() == 0
    page.keyboard.press("Escape")
    assert page.faults == []


def test_another_neuron_stops_the_sound_and_closes_the_player(neuron) -> None:
    page = neuron  # noqa: F811
    page.keyboard.press("1")
    plays(page, 0)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('h1.and').innerText.includes('101')")
    page.wait_for_function(f"!document.querySelector('.and-dock') && {PLAYING} === -1")
    assert page.faults == []
