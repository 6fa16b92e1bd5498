# ruff: noqa: F811  # fixtures that come from another module
"""A journey in a real Chromium: a neuron's tuning is seen and heard, sounds are played to it, its answer follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from and_core.query.tuning import best_tuned_neuron
from tests.browser.test_browser import context, faultless_in_both_themes, open_page, page, settle, title  # noqa: F401  # fixtures
from tests.serving import dashboard_server

pytestmark = pytest.mark.browser
ANSWER = "document.querySelector('[data-and-played]')?.dataset.andPlayed"


@pytest.fixture(scope="module")
def server(played) -> Iterator[str]:
    with dashboard_server(played.folder.parent) as url:
        yield url


def test_from_tuning_curves_to_a_sound_that_is_played_to_the_neuron(server: str, page, played) -> None:
    best = best_tuned_neuron(played)
    open_page(page, f"{server}/tuning?dissection=small", ".and-sound")
    assert page.locator("[data-and-neuron]").first.get_attribute("data-and-neuron") == str(best)
    page.locator(".and-sound .and-play").first.click()
    page.wait_for_function("[...document.querySelectorAll('.and-sound audio')].some(a => a.currentTime > 0)")
    page.locator(".st-key-tuning_header a", has_text="Play to it").click()
    page.wait_for_selector("[data-and-played]")
    settle(page)
    assert title(page).startswith("Play to it") and page.url.split("?")[0].endswith("/play")
    before = page.evaluate(ANSWER)
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"before => {ANSWER} !== before", arg=before)
    settle(page)
    page.locator(".st-key-tuning_header a", has_text="Its tuning").click()
    page.wait_for_selector(".st-key-area .js-plotly-plot")
    assert page.locator("[data-and-neuron]").first.get_attribute("data-and-neuron") == str(best), "the neuron stays"
    assert page.faults == []


@pytest.mark.parametrize("path", ["tuning", "play"])
def test_tuned_pages_have_no_faults_of_labels_and_contrast(server: str, page, path: str) -> None:
    open_page(page, f"{server}/{path}?dissection=small")
    for theme in faultless_in_both_themes(page):
        main = "document.querySelector('[data-testid=stMain]')"
        assert page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0, theme
