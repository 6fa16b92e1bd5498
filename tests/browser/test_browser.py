"""Journeys in a real Chromium, against the real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from and_core import open_dissection, pipeline
from pages.ui.setup import PAGES
from tests.conftest import small_config, tone
from tests.serving import dashboard_server

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt install chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e '.[test]')")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
]
PATIENCE = 120_000  # milliseconds until a state that does not come is a fault: a busy machine is none
READY = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
EVIL = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on two dissections: a plain one, and one whose labels, file names and captions are markup."""
    root = tmp_path_factory.mktemp("browser")
    pipeline.run(small_config(listening={"weights": "demo", "measured": 4}), root=root)
    captions = {}
    for i in range(10):
        folder, name = root / "sounds" / (EVIL if i % 2 else "dog"), f"{EVIL}{i}.wav"
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(folder / name, tone(1.0, hz=200 + 150 * i) * np.float32(0.2 + 0.08 * i), 16_000)
        captions[name] = f"{EVIL} is loud. <script>window.hacked=2</script> <b>markup</b> a bell ringing."
    (root / "captions.json").write_text(json.dumps(captions))
    (root / "concepts.txt").write_text(f"{EVIL}\nbell\ndog\n")
    pipeline.run(
        small_config(
            name="evil",
            k=2,
            dataset={"kind": "folder", "path": str(root / "sounds")},
            captions={"kind": "file", "path": str(root / "captions.json")},
            target={"kind": "ast"},
            seed=1,
            unlearning={"concepts": 1, "fair": 1, "importance": False},
            closed={"concepts": str(root / "concepts.txt")},
        ),
        root=root,
    )
    os.environ["AND_BROWSER_CACHE"] = str(root)
    with dashboard_server(root) as url:
        yield url


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory):
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": 1440, "height": 900},
        )
        chromium.set_default_timeout(PATIENCE)
        chromium.grant_permissions(["clipboard-read", "clipboard-write"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(context):
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda e: page.faults.append(f"{e} {(e.stack or '')[-300:]}"))
    page.on(
        "request",
        lambda r: (
            page.faults.append(f"outside: {r.url}")
            if not r.url.startswith(("http://127.0.0.1", "data:", "blob:"))
            else None
        ),
    )
    yield page
    page.close()


def open_page(page, url: str, expect: str = "h1.and") -> None:
    page.goto(url)
    page.wait_for_selector(READY)
    page.wait_for_selector(expect)
    settle(page)


def settle(page) -> None:
    """Wait until the page has been finished and unchanged in size for a quarter of a second: what it does under load
    takes as long as it takes."""
    page.wait_for_function(
        """ready => {
          const main = document.querySelector('[data-testid="stMain"]'), now = performance.now();
          const size = () => `${main.scrollHeight} ${main.querySelectorAll('*').length}`;
          const state = document.querySelector(ready) && main ? size() : '';
          if (state !== window.andState) { window.andState = state; window.andSince = now; }
          return state !== '' && now - window.andSince > 250;
        }""",
        arg=READY,
    )


def press(page, key: str, until: str) -> None:
    """Press a key until what it does is seen: one pressed before the page listens to keys is lost."""
    for _ in range(6):
        page.keyboard.press(key)
        try:
            page.wait_for_function(until, timeout=20_000)
            return
        except sync_api.TimeoutError:
            continue
    raise AssertionError(f"{key} does nothing: not {until}")


def title(page) -> str:
    return " ".join(page.inner_text("h1.and").split())


def test_from_the_first_page_to_a_neuron_that_is_heard(server: str, page) -> None:
    """A new user hears a neuron at once, reads what it fires on, and opens it; an old address still leads there."""
    lost = []
    page.on("response", lambda r: lost.append(r.url) if r.status >= 400 else None)
    page.on("console", lambda m: lost.append(m.text) if m.type == "error" else None)
    began = time.monotonic()
    open_page(page, f"{server}/?dissection=small", ".and-one .and-card")
    page.locator(".and-one .and-play").first.click()
    page.wait_for_function("(() => { const a = document.querySelector('.and-one audio'); return a.currentTime > 0 })()")
    heard = time.monotonic() - began
    neuron = page.locator("[data-and-neuron]").first
    name, said = neuron.get_attribute("data-and-neuron"), neuron.locator(".and-headline").inner_text()
    neuron.locator("a", has_text="/").click()
    page.wait_for_selector(f'[data-and-neuron="{name}"] .and-headline')
    assert "/neurons?" in page.url and page.locator(".and-headline").first.inner_text() == said
    open_page(page, f"{server}/neurons?dissection=small", ".and-card")
    assert page.locator("[data-and-neuron]").first.get_attribute("data-and-neuron") == name, "the page opens on it too"
    open_page(page, f"{server}/?dissection=small&layer=fc&unit=3", ".and-card")
    assert title(page) == "fc / 3" and "/neurons?" in page.url
    assert page.faults == [] and lost == [] and heard < 60, (heard, lost)


def test_a_term_is_explained_by_pointer_and_by_keys(server: str, page) -> None:
    open_page(page, f"{server}/neurons?dissection=small&layer=fc&unit=3", ".and-term")
    term, tip = page.locator('.and-term:has-text("wpmi"), .and-term:has-text("cos")').first, page.locator("#and-tip")
    term.focus()
    page.wait_for_function("!document.getElementById('and-tip').hidden")
    assert "mutual information" in tip.inner_text() and term.get_attribute("aria-describedby") == "and-tip"
    page.keyboard.press("Escape")
    page.wait_for_function("document.getElementById('and-tip').hidden")
    page.locator(".and-term").last.hover()
    page.wait_for_function("!document.getElementById('and-tip').hidden")
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 1440 and page.faults == []


PATHS = ("", *(Path(path).stem for path, label in PAGES if label != "Start"))


@pytest.mark.parametrize("path", PATHS)
def test_pages_have_no_faults_of_labels_and_contrast(server: str, page, path: str) -> None:
    open_page(page, f"{server}/{path}?dissection=small")
    assert list(faultless_in_both_themes(page)) == ["light", "dark"]


def faultless_in_both_themes(page) -> Iterator[str]:
    """Yield each theme, wide and on a phone, once axe has found no fault in it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for theme, width, height in (("light", 1440, 900), ("dark", 390, 844)):
        page.evaluate("theme => window.andTheme.set(theme)", theme)
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        found = axe.run(page, options=RULES)
        assert len(found.response["passes"]) > 5
        faults = {v["id"]: [n["html"][:160] for n in v["nodes"]][:4] for v in found.response["violations"]}
        assert faults == {}, theme
        yield theme
    page.evaluate("window.andTheme.set('system')")


def test_the_theme_is_switched_without_a_flash_and_remembered(server: str, page) -> None:
    ground = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    open_page(page, f"{server}/glossary?dissection=small", ".and-theme")
    light = page.evaluate(ground)
    page.evaluate("window.andSame = document.querySelector('h1.and')")
    page.get_by_role("radio", name="Dark").click()
    page.wait_for_function(f"{ground} !== '{light}'")
    dark = page.evaluate(ground)
    assert page.evaluate("andSame.isConnected"), "nothing is drawn anew"
    page.add_init_script(
        "window.andGrounds = []; (function look() { if (document.documentElement) andGrounds.push(getComputedStyle("
        "document.querySelector('[data-testid=stApp]') || document.documentElement).backgroundColor); "
        "requestAnimationFrame(look); })()"
    )
    open_page(page, f"{server}/kept?dissection=small", ".and-theme")
    assert page.evaluate(ground) == dark, "on another page, opened cold"
    grounds = page.evaluate("[...new Set(andGrounds)].map(c => Math.max(...c.match(/\\d+/g).slice(0, 3).map(Number)))")
    assert grounds and max(grounds) < 60, grounds
    page.get_by_role("radio", name="Dark").press("ArrowLeft")
    page.get_by_role("radio", name="Light", checked=True).press("ArrowLeft")
    page.wait_for_function(f"{ground} === '{light}'")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ground} === '{dark}'")
    assert page.faults == []


def test_first_page_from_cold_sees_and_hears(server: str, page) -> None:
    open_page(page, f"{server}/neurons?dissection=small", ".and-card")
    assert page.locator(".and-card").count() == 6 and page.locator("h1.and").count() == 1
    page.wait_for_function(
        "[...document.querySelectorAll('.and-pic img')].every(i => i.complete && i.naturalWidth > 0)"
    )
    first, second = page.locator(".and-play").nth(0), page.locator(".and-play").nth(1)
    first.click()
    page.wait_for_function(
        "(() => { const a = document.querySelectorAll('audio')[0]; return !a.paused && a.readyState >= 2 && "
        "a.currentTime > 0.05 })()"
    )
    assert page.evaluate("document.querySelectorAll('audio')[0].duration") == pytest.approx(3.0, abs=0.05)
    second.click()
    page.wait_for_function("!document.querySelectorAll('audio')[1].paused")
    assert page.evaluate("[...document.querySelectorAll('audio')].filter(a => !a.paused).length") == 1, (
        "only one clip sounds at a time"
    )
    page.locator(".and-pic").nth(2).click(position={"x": 60, "y": 20})
    page.wait_for_function(
        "(() => { const a = document.querySelectorAll('audio')[2]; return !a.paused && a.currentTime > 0.5 })()"
    )
    assert page.faults == []


def test_keys_and_buttons_step_and_the_address_follows(server: str, page) -> None:
    open_page(page, f"{server}/neurons?layer=fc&unit=3", ".and-card")
    assert title(page) == "fc / 3"
    press(page, "ArrowRight", "document.querySelector('h1.and').innerText.includes('4')")
    assert "unit=4" in page.url and "layer=fc" in page.url
    settle(page)
    page.get_by_role("button", name="Prev").click()
    page.wait_for_function("document.querySelector('h1.and').innerText.includes('3')")
    page.locator(".and-copylink").click()
    page.wait_for_function("document.querySelector('.and-copylink').innerText === 'Copied'")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "dissection=" in link and "layer=fc" in link, "nothing is left to a default"
    open_page(page, link, ".and-card")
    assert title(page) == "fc / 3" and page.faults == []


def test_a_caption_opens_and_tells_what_was_measured(server: str, page) -> None:
    open_page(page, f"{server}/neurons?layer=fc&unit=30", ".and-card")
    details = page.locator(".and-card details").first
    details.locator("summary").click()
    assert details.evaluate("d => d.open")
    assert "Measured." in details.inner_text()


def test_a_deep_link_to_another_page_opens_cold(server: str, page) -> None:
    open_page(page, f"{server}/concepts?dissection=small", ".and-headline")
    assert page.inner_text("h1.and") == "Concepts" and "stands in the headline" in page.inner_text(".and-headline")
    about = page.inner_text(".and-prov")
    page.get_by_role("link", name="Neurons", exact=True).click()
    page.wait_for_selector(".and-card")
    assert page.inner_text(".and-prov") == about and page.faults == [], "the dissection stays"


@pytest.mark.parametrize(
    "path", ["/", "/neurons", "/concepts", pytest.param("/unlearning?strategy=random", marks=pytest.mark.slow)]
)
def test_markup_in_data_makes_no_element(server: str, page, path: str) -> None:
    open_page(page, f"{server}{path}{'&' if '?' in path else '?'}dissection=evil&q=bell", "h1.and")
    settle(page)
    if "random" in path:
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_selector(".and-figures")
    for details in page.locator(".and-card details summary").all():
        details.click()
    assert "<img" in page.inner_text('[data-testid="stMain"]'), "the text itself is shown"
    assert page.evaluate("window.hacked === undefined")
    assert page.locator('img[src="x"]').count() == 0 and page.locator(".and-card b b, .and-card summary b").count() == 0


@pytest.mark.parametrize(
    "query", ["dissection=../../etc", "dissection=%00", f"layer={EVIL}&unit=1", "unit=<b>1</b>", f"q={EVIL}"]
)
def test_bad_addresses_do_no_harm(server: str, page, query: str) -> None:
    open_page(page, f"{server}/neurons?{query}", "h1.and")
    assert page.evaluate("window.hacked === undefined") and page.locator('img[src="x"]').count() == 0
    assert page.locator('[data-testid="stException"]').count() == 0


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844)])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/neurons?layer=layer2_attention_output&unit=100",
        "/listen?dissection=small",
        "/concepts",
        "/unlearning?strategy=DB&concept=siren",
        "/importance?dissection=small",
        "/words?dissection=small",
        "/layers?dissection=small",
        "/strategies?dissection=small",
    ],
)
def test_nothing_sticks_out(server: str, page, width: int, height: int, path: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    open_page(page, server + path, "h1.and")
    settle(page)
    overflow = page.evaluate("""() => {
      const main = document.querySelector('[data-testid="stMain"]'), right = window.innerWidth + 1;
      const all = [...main.querySelectorAll('h1, button, input:not([type=range]), .and-card, .and-box, .and-h')];
      const beyond = box => box.width > 0 && box.right > right;
      const out = all.filter(e => beyond(e.getBoundingClientRect()) && !e.closest('[data-testid="stDataFrame"]'));
      return { scroll: main.scrollWidth - main.clientWidth, out: out.map(e => e.className || e.tagName) };
    }""")
    assert overflow == {"scroll": 0, "out": []}


def test_a_click_on_the_map_opens_the_neuron_and_its_words_lead_back(server: str, page) -> None:
    open_page(page, f"{server}/layers?dissection=small", ".js-plotly-plot")
    page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullLayout?.xaxis !== undefined")
    settle(page)
    target = page.evaluate("""() => {
      const drawn = document.querySelector('.js-plotly-plot'), axes = drawn._fullLayout;
      const corner = drawn.getBoundingClientRect();
      const place = (t, x, i) => [axes.xaxis.l2p(x), axes.yaxis.l2p(t.y[i]), t.customdata[i]];
      const points = drawn._fullData.flatMap(t => Array.from(t.x, (x, i) => place(t, x, i)));
      const alone = p => Math.min(...points.map(q => q === p ? 1e9 : Math.hypot(q[0] - p[0], q[1] - p[1])));
      const [, [x, y, neuron]] = points.map(p => [alone(p), p]).sort((a, b) => b[0] - a[0])[0];
      return { x: corner.x + axes.xaxis._offset + x, y: corner.y + axes.yaxis._offset + y, neuron };
    }""")
    page.mouse.move(target["x"], target["y"])
    page.wait_for_selector(".hoverlayer .hovertext", state="attached")
    page.mouse.click(target["x"], target["y"])
    d = open_dissection("small", root=Path(os.environ["AND_BROWSER_CACHE"]))
    neuron = d.neuron_id(int(target["neuron"]))
    page.wait_for_function("unit => new URLSearchParams(location.search).get('unit') === unit", arg=str(neuron.unit))
    assert f"layer={neuron.layer}" in page.url
    page.wait_for_selector(f'[data-and-neuron="{neuron}"]')
    said = next(i for i in range(d.neuron_count) if any(w["acoustic"] for w in d.words(d.neuron_id(i))))
    neuron = d.neuron_id(said)  # one with a word
    open_page(page, f"{server}/neurons?dissection=small&layer={neuron.layer}&unit={neuron.unit}", "a.and-chip")
    word = page.locator("a.and-chip").first.inner_text()
    page.locator("a.and-chip").first.click()
    page.wait_for_selector(f'.and-headline mark:has-text("{word}")')


def test_spectrograms_can_be_off_and_more_clips_shown(server: str, page) -> None:
    open_page(page, f"{server}/neurons?dissection=small&pictures=false&clips=10", ".and-card")
    assert page.locator(".and-card").count() == 20 and page.locator(".and-pic img").count() == 0


def test_the_reader_sees_the_same_as_the_page(server: str, page) -> None:
    d = open_dissection("small", root=Path(os.environ["AND_BROWSER_CACHE"]))
    open_page(page, f"{server}/neurons?dissection=small&layer=fc&unit=7", ".and-card")
    shown = [
        int(x) for x in page.evaluate("[...document.querySelectorAll('[data-and-clip]')].map(e => e.dataset.andClip)")
    ]
    assert shown == [t.clip.index for t in d.extreme_clips("fc/7") + d.extreme_clips("fc/7", "low")]


def test_unlearning_from_choice_to_checkpoint(server: str, page, tmp_path: Path) -> None:
    link = f"{server}/unlearning?dissection=small&concept=rain&strategy=DB&top=2"
    open_page(page, link)
    assert "Not run yet" in page.inner_text('[data-testid="stMain"]')
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_selector(".and-figures", timeout=3 * PATIENCE)  # torch and the network are loaded, and run four times
    assert "concept=rain" in page.url and "top=2" in page.url
    page.wait_for_selector(".js-plotly-plot")
    page.wait_for_function("document.querySelectorAll('.and-verdict').length >= 2")
    page.locator(".and-play").first.click()
    page.wait_for_function("[...document.querySelectorAll('audio')].some(a => !a.paused && a.readyState >= 2)")
    page.get_by_role("button", name="Keep in the dissection").click()
    page.get_by_role("button", name="Kept; forget it").wait_for()
    settle(page)  # a button that is being drawn again takes no click
    with page.expect_download() as mask:
        page.get_by_role("button", name="Mask and effect (JSON)").click()
    assert json.loads(Path(mask.value.path()).read_text())["effect"]["concept"] == "rain"
    with page.expect_download() as checkpoint:
        page.get_by_role("button", name="Make the pruned checkpoint").click()
        page.get_by_role("button", name="Pruned checkpoint (ZIP)").wait_for(timeout=3 * PATIENCE)
        settle(page)
        page.get_by_role("button", name="Pruned checkpoint (ZIP)").click()
    with zipfile.ZipFile(checkpoint.value.path()) as archive:
        assert {"pruned/README.md", "pruned/ablation.json", "pruned/model.safetensors", "pruned/config.json"} <= set(
            archive.namelist()
        )
    other = page.context.new_page()
    open_page(other, link, ".and-figures")
    assert other.get_by_role("button", name="Run", exact=True).count() == 0, "the link opens the kept result"
    other.close()
    assert page.faults == []


def test_a_sound_of_ones_own_from_upload_to_a_neuron_and_a_decision(server: str, page, tmp_path: Path) -> None:
    sf.write(tmp_path / "mine.wav", tone(1.0, hz=700), 16_000)
    open_page(
        page, f"{server}/neurons?dissection=small&layer=layer2_intermediate&unit=500", ".and-card"
    )  # what was looked at before has no say
    page.get_by_role("link", name="Your sound").click()
    page.locator('input[type="file"]').wait_for(state="attached")
    page.set_input_files('input[type="file"]', tmp_path / "mine.wav")
    link = page.locator(".st-key-unusual_1 button")
    layer, unit = link.inner_text().split("/")
    link.click()
    d = open_dissection("small", root=Path(os.environ["AND_BROWSER_CACHE"]))
    sync_api.expect(page.locator("h1.and")).to_have_text(re.compile(rf"{d.layer(layer).title}\s*/\s*{unit}"))
    page.wait_for_function(
        "document.querySelector('.js-plotly-plot')?.textContent.includes('your sound')"
    )  # it came along
    page.get_by_text("Where in its clips it fires").click()
    with page.expect_response(lambda r: "kept.flac" in r.url) as heard:
        page.get_by_role("button", name="kept").first.click()
    assert heard.value.ok and heard.value.headers["content-type"] == "audio/flac"
    page.get_by_role("link", name="Listen").click()
    page.get_by_text("What you hear").wait_for()
    page.get_by_text("Bring a sound of your own").click()
    page.set_input_files('input[type="file"]', tmp_path / "mine.wav")
    page.wait_for_function(
        "[...document.querySelectorAll('.and-h')].some(h => h.innerText.toLowerCase().includes('mine.wav'))"
    )
    assert page.faults == []
