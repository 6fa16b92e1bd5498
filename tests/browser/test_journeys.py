# ruff: noqa: F811  # fixtures that come from another module
"""Journeys through the dashboard: searching, going back, jumping, comparing, keeping, correcting."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from and_core import open_dissection
from and_core.kept.changes import read_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import keep_edit
from and_core.kept.lists import stars
from tests.browser.test_browser import context, open_page, page, settle, title  # noqa: F401  # fixtures among them
from tests.serving import dashboard_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def root(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the journeys may write to."""
    root = tmp_path_factory.mktemp("journeys")
    shutil.copytree(cache / "small", root / "small")
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    with dashboard_server(root) as url:
        yield url


def test_search_and_step_through_what_it_gives(server: str, page) -> None:
    open_page(page, f"{server}/neurons?dissection=small&layer=fc&unit=0", ".and-card")
    at = "(() => { const b = document.querySelector('.st-key-next').getBoundingClientRect(); return [b.x, b.y] })()"
    before = page.evaluate(at)
    page.get_by_label("Search").first.fill("siren")
    page.keyboard.press("Enter")
    page.get_by_text("Neuron 1 of").wait_for()
    settle(page)
    assert "q=siren" in page.url and title(page) != "fc / 0" and page.evaluate(at) == before, "buttons stay in place"
    first = title(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Neuron 2 of").wait_for()
    page.get_by_text("Neuron 2 of").click()
    box = page.locator('[data-testid="stDataFrame"]:visible').first.bounding_box()
    settle(page)
    page.mouse.click(box["x"] + 14, box["y"] + 53)
    page.get_by_text("Neuron 1 of").wait_for()
    assert title(page) == first and "q=siren" in page.url and page.faults == []


def test_back_and_forward_return_to_each_view(server: str, page) -> None:
    views = []

    def seen() -> None:
        settle(page)
        views.append((page.evaluate("location.href"), title(page), page.locator("[data-and-neuron]").count()))

    open_page(page, f"{server}/neurons?layer=fc&unit=3", ".and-card")
    seen()
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("document.querySelector('h1.and').innerText.includes('4')")
    seen()
    page.get_by_label("Search").first.fill("siren")
    page.keyboard.press("Enter")
    page.get_by_text("Neuron 1 of").wait_for()
    seen()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Neuron 2 of").wait_for()
    seen()
    for name in ("Layers", "Concepts", "Words and clusters", "Glossary"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_function("name => document.querySelector('h1.and')?.innerText === name", arg=name)
        seen()
    assert len({url for url, *_ in views}) == len(views)
    for step, order in (("back", views[-2::-1]), ("forward", views[1:])):
        for url, name, neurons in order:
            page.go_back() if step == "back" else page.go_forward()
            page.wait_for_function(
                "w => document.querySelector('h1.and')?.innerText.split(/\\s+/).join(' ') === w", arg=name
            )
            settle(page)
            assert page.evaluate("location.href") == url, "one step, one view"
            assert title(page) == name and page.locator("[data-and-neuron]").count() == neurons
    assert page.faults == []


def test_open_sections_and_chosen_bars_are_part_of_a_view(server: str, page) -> None:
    opened = "[...document.querySelectorAll('details[open]:not(.and-prov)')].length"
    open_page(page, f"{server}/neurons?layer=layer2_intermediate&unit=412", ".and-card")
    page.get_by_text("Mean activation by class").click()
    page.wait_for_function(f"{opened} === 1 && location.search.includes('by_class=true')")
    settle(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('h1.and').innerText.includes('413')")
    settle(page)
    page.go_back()
    page.wait_for_function(f"{opened} === 1 && document.querySelector('h1.and').innerText.includes('412')")
    settle(page)
    page.go_back()
    page.wait_for_function(f"{opened} === 0 && document.querySelector('h1.and').innerText.includes('412')")
    plot = ".st-key-by_class_change .js-plotly-plot"
    open_page(page, f"{server}/unlearning", plot)
    bars = page.locator(f"{plot} .bars .point path")
    chosen = "[...document.querySelectorAll('.and-h span')].map(h => h.innerText).find(t => /^clips of/i.test(t)) || ''"
    seen = [page.evaluate(chosen)]
    names = page.locator(f"{plot} .xtick text").all_text_contents()
    assert len(names) == bars.count()
    others = [i for i, name in enumerate(names) if name.replace("_", " ").lower() not in seen[0].lower()]
    for number in others[:2]:
        bars.nth(number).scroll_into_view_if_needed()
        box = bars.nth(number).bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_function(f"was => ({chosen}) !== was && ({chosen})", arg=seen[-1])
        settle(page)
        seen.append(page.evaluate(chosen))
    for was in seen[-2::-1]:
        page.go_back()
        page.wait_for_function(f"was => ({chosen}) === was", arg=was)
        settle(page)
    assert page.faults == []


def test_the_palette_jumps_by_keyboard(server: str, page) -> None:
    open_page(page, f"{server}/neurons?layer=fc&unit=3", ".and-card")
    for typed, until in (
        ("2 inter 412", "document.querySelector('h1.and')?.innerText.includes('412')"),
        ("words and", "document.querySelector('h1.and')?.innerText === 'Words and clusters'"),
        ("rain", "document.querySelector('.and-headline mark')?.innerText === 'rain'"),
    ):
        page.keyboard.press("Control+k")
        page.wait_for_selector(".and-palette[open] li")
        page.keyboard.type(typed)
        page.wait_for_function(
            "t => document.querySelector('.and-palette li[aria-selected=true] b')?.innerText.toLowerCase().includes(t)",
            arg=typed.split()[-1],
        )
        page.keyboard.press("Enter")
        page.wait_for_function(until)
        settle(page)
    page.go_back()
    page.wait_for_function("document.querySelector('h1.and')?.innerText === 'Words and clusters'")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    assert page.locator(".and-palette[open]").count() == 0 and page.faults == []


def test_two_neurons_are_compared_by_address_and_one_is_starred(server: str, page, root: Path) -> None:
    open_page(page, f"{server}/neurons?layer=layer2_intermediate&unit=412", ".and-card")
    page.locator(".st-key-actions").get_by_role("link", name="Compare").click()
    page.get_by_text("Its places in the same network").wait_for()
    settle(page)
    address = page.evaluate("location.href")
    assert "layer=layer2_intermediate" in address and "with_unit=" in address
    assert page.locator("h2.and").count() == 2 and page.locator(".and-card").count() == 12
    second = page.locator("h2.and").nth(1).inner_text()
    page.locator(".st-key-place_1 button").click()
    page.wait_for_function("was => document.querySelectorAll('h2.and')[1].innerText !== was", arg=second)
    settle(page)
    page.go_back()
    page.wait_for_function("was => document.querySelectorAll('h2.and')[1]?.innerText === was", arg=second)
    settle(page)
    page.locator("h2.and a").first.click()
    page.wait_for_function("document.querySelector('h1.and')?.innerText.includes('412')")
    settle(page)
    page.get_by_role("button", name="Keep").click()
    page.get_by_label("Note").fill("a <b>bell</b>")
    page.locator(".st-key-keep_it button").click()
    page.get_by_text("Starred: a <b>bell</b>").wait_for()
    (star,) = stars(KeptFile(root))
    assert (star.neuron, star.note) == ("layer2_intermediate/412", "a <b>bell</b>")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Kept").click()
    page.get_by_role("button", name="Lists (JSON)").wait_for()
    with page.expect_download() as lists:
        page.get_by_role("button", name="Lists (JSON)").click()
    assert json.loads(Path(lists.value.path()).read_text()) == [star.row()]
    assert page.faults == []


def test_a_corrected_caption_and_label_are_run_and_what_it_changed_is_shown(server: str, page, root: Path) -> None:
    d = open_dissection("small", root=root)
    neuron, mended = "layer2_intermediate/412", "A person is snoring loudly. It is deep and slow."
    for top in d.extreme_clips(neuron)[1:]:
        keep_edit(KeptFile(root), "small", "caption", top.clip.name, top.caption or "", mended, "Ada")
    top = d.extreme_clips(neuron)[0]
    open_page(page, f"{server}/neurons?layer=layer2_intermediate&unit=412", ".and-card")
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("As it should be").fill(mended)
    page.get_by_role("button", name="Keep the correction").click()
    page.get_by_text("The caption of").wait_for()
    page.locator(".st-key-correct_kind").get_by_text("label").click()
    field = page.get_by_role("combobox", name="As it should be")
    field.fill("whale song")
    field.press("Enter")
    field.press("Tab")
    page.get_by_role("button", name="Keep the correction").click()
    page.get_by_text("The label of").wait_for()
    page.keyboard.press("Escape")
    settle(page)  # a popover that is closing takes the click
    page.get_by_role("link", name="Kept").click()
    page.wait_for_function("document.querySelector('h1.and')?.innerText === 'Kept'")
    page.get_by_role("button", name="Run what depends on the corrections").click()
    page.get_by_text("What the last run changed").wait_for(timeout=240_000)
    settle(page)
    again = open_dissection("small", root=root)
    assert again.extreme_clips(neuron)[0].caption == mended and top.caption != mended
    assert "captions" in page.inner_text('[data-testid="stMain"]').split("Run anew:")[1]
    assert set(again.extreme_clips(neuron)[0].clip.labels) == {*top.clip.labels, "whale song"}
    assert "clips labelled whale song" in {figure.what for figure in read_changes(KeptFile(root), "small")["figures"]}
    assert again.manifest.stages["activations"].key == d.manifest.stages["activations"].key
    assert page.faults == []


def test_a_phone_hears_a_neuron_opens_it_and_turns_an_unlearning(server: str, page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    narrow = "document.querySelector('[data-testid=\"stMain\"]').scrollWidth <= innerWidth"
    open_page(page, f"{server}/?dissection=small", ".and-one .and-card")
    badge = page.get_by_text("synthetic", exact=False).locator("visible=true").first.bounding_box()
    assert badge["y"] < 844 and page.evaluate(narrow), "whose sounds these are is in sight at once"
    page.locator(".and-one .and-play").first.click()
    page.wait_for_function("[...document.querySelectorAll('.and-one audio')].some(a => a.currentTime > 0)")
    neuron = page.locator("[data-and-neuron]").first
    name = neuron.get_attribute("data-and-neuron")
    neuron.locator("a", has_text="/").click()
    page.wait_for_selector(f'[data-and-neuron="{name}"] .and-headline')
    settle(page)
    assert page.evaluate(narrow)
    open_page(page, f"{server}/unlearning?dissection=small&concept=rain&strategy=DB&top=3", "h1.and")
    slider = page.get_by_role("slider", name="Share of the chosen neurons", exact=False).first
    slider.wait_for(timeout=60_000)  # torch and the network are loaded
    settle(page)
    before = slider.get_attribute("aria-valuetext") or slider.get_attribute("aria-valuenow")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "([s, before]) => (s.getAttribute('aria-valuetext') || s.getAttribute('aria-valuenow')) !== before",
        arg=[slider.element_handle(), before],
    )
    settle(page)
    assert page.evaluate(narrow) and page.faults == []
