"""The first page, and what every page opens on where nobody has chosen: under Streamlit's own test runner."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from and_core import pipeline
from and_core.query.cluster_names import cluster_names
from and_core.query.flips import clearest_unlearning
from and_core.query.openings import leading_cluster, leading_concept, surest_neuron, totals, unclear_neuron
from and_core.store.composition import Composed
from and_core.store.headline import Headline
from pages.ui import html, scores, terms
from pages.ui.address import BaseAddress
from tests.conftest import small_config
from tests.dashboard import app, page_html, page_text, start


@pytest.fixture(autouse=True)
def at_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))


def test_the_first_page_shows_a_neuron_one_that_is_unclear_and_an_unlearning(dissection) -> None:
    d = dissection
    test = start(dissection="small").run()
    assert not test.exception
    markup, text = page_html(test), page_text(test)
    for neuron, clips in ((surest_neuron(d), 3), (unclear_neuron(d), 3)):
        assert f'data-and-neuron="{neuron}"' in markup and html.text(d.headline(neuron).text) in text
        for top in d.extreme_clips(neuron, "high", clips):
            assert f"/clips/small/{top.clip.index}.flac" in markup
    count = totals(d)
    for number, what in (
        (count.named, "are named"),
        (count.described, "are described"),
        (count.unclear, "stay unclear"),
    ):
        assert f"{number:,} {what}" in text
    best = clearest_unlearning(d)
    how = {"DB": "by captions", "TAB": "by sound", "OCP": "by their summaries"}[best.strategy]
    assert f"{best.count:,} neurons tied to {best.concept.replace('_', ' ')} {how} are silenced" in text
    assert "No prediction flips" in text and "The largest fall is from" in text and "fair random" in text
    doors = {link.proto.label: link.proto.page for link in test.get("page_link") if "**" in link.proto.label}
    assert list(doors.values()) == ["neurons", "unlearning", "studies"] and "Browse" in next(iter(doors))


def test_an_old_address_of_a_neuron_opens_it() -> None:
    test = start(dissection="small", layer="layer2_intermediate", unit="412", clips="10").run()
    assert not test.exception and "layer 2 <span>/</span> intermediate <span>/</span> 412" in page_html(test)
    assert page_html(test).count('data-and-clip="') == 20, "with all that was chosen"
    assert "What does each neuron" in page_html(start(dissection="small").run())


def test_pages_open_on_what_their_data_show_best(dissection) -> None:
    d = dissection
    neurons = app(dissection="small").run()
    surest = surest_neuron(d)
    assert (neurons.session_state["layer"], neurons.session_state["unit"]) == (surest.layer, surest.unit)
    named = app(dissection="small", layer=surest.layer).run()
    assert named.session_state["unit"] == 0, "an address that names a layer means its first neuron"
    concepts = app(dissection="small").run().switch_page("pages/concepts.py").run()
    assert concepts.session_state["chosen_concept"] == leading_concept(d)
    words = app(dissection="small").run().switch_page("pages/words.py").run()
    number = leading_cluster(d)
    assert words.session_state["cluster"] == number and html.text(cluster_names(d)[number]) in page_html(words)
    unlearning = app(dissection="small").run().switch_page("pages/unlearning.py").run()
    best = clearest_unlearning(d)
    chosen = unlearning.session_state["concept"], unlearning.session_state["strategy"]
    assert chosen == (best.concept, best.strategy) and "Change by class" in page_html(unlearning)
    other = app(dissection="small", concept="dog").switch_page("pages/unlearning.py").run()
    assert other.session_state["concept"] == "dog" and other.session_state["strategy"] == "OCP"


def test_what_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    assert "Nothing dissected yet" in page_html(start().run())
    pipeline.run(small_config(unlearning=None, scores=None), root=tmp_path, only=["clips", "activations", "neurons"])
    bare = start().run()
    assert not bare.exception and "Its neurons are not explained yet" in page_html(bare)
    assert "Nothing has been unlearned here yet" in page_html(bare)
    shutil.rmtree(tmp_path / "small")
    shutil.copytree(cache / "small", tmp_path / "small")
    manifest = tmp_path / "small" / "manifest.json"
    content = json.loads(manifest.read_text())
    for stage in ("unlearning", "map", "scores", "confidence", "clusters", "interpretability", "tab"):
        content["stages"].pop(stage)
    manifest.write_text(json.dumps(content))
    assert not start().run().exception and not app().run().exception


def test_one_verdict_and_its_meter_everywhere(dissection) -> None:
    sure = Headline("hand_saw", "PC", 0.974, {"loud": 0.71}, True)
    shown = scores.verdict(sure)
    assert html.meter(0.974) in shown and "loud .71, hand saw .97" in shown
    assert 'class="and-meter sure"' in html.meter(0.6) and 'class="and-meter unsure"' in html.meter(0.599)
    assert html.points_of(0.9996) == ".99" and html.points_of(1.0) == "1.00"
    assert html.meter_text(0.74) == "\u25ae" * 7 + "\u25af" * 3 + " .74" and html.meter_text(None) == ""
    assert sure.certainty == 0.974 and Headline("rain", "PC", 0.2, {"loud": 0.7}, True).certainty == 0.7
    assert (
        Headline("rain", "PC", 0.2, {}, True).certainty == 0.2
        and Headline(None, None, None, {}, True).certainty is None
    )
    two = Composed("or", "dog", "siren", 0.4, 0.93)
    several = Headline("dog", "PC", 0.2, {}, True, composition=two)
    assert several.certainty is None and "AUROC 0.93" in re.sub("<[^>]+>", "", scores.verdict(several))
    assert "is not known here" in scores.verdict(Headline("rain", "DB", None, {}, False))


def test_terms_are_explained_from_the_glossary_wherever_they_stand() -> None:
    shown = html.explained("Gap <b> of fair random, wpmi", "fair-random", "wpmi", "gap", "no-such-term")
    assert shown.count('class="and-term" tabindex="0"') == 3 and "&lt;b&gt;" in shown
    assert html.text(terms.term("fair-random").text) in shown and re.sub("<[^>]+>", "", shown) == (
        "Gap &lt;b&gt; of fair random, wpmi"
    )
    assert html.explained("nothing to explain", "wpmi") == "nothing to explain"
    anchors = {entry.anchor for entry in terms.terms()}
    pages = "".join(path.read_text() for path in Path(html.__file__).parents[1].rglob("*.py"))
    used = set(re.findall(r'(?:term|meaning)\([^()]*?"([a-z-]+)"\)', pages))
    assert {"dose", "tau", "top-k", "confidence"} <= used and used <= anchors, used - anchors


def test_the_browser_is_told_where_the_servers_routes_begin() -> None:
    page = "<!DOCTYPE html><html><head><title>x</title></head></html>"
    routes = [Route("/neurons", lambda r: HTMLResponse(page)), Route("/x", lambda r: PlainTextResponse("<head>"))]
    client = TestClient(BaseAddress(Starlette(routes=routes), "/base/"))
    answer = client.get("/neurons", headers={"accept": "text/html", "accept-encoding": "gzip"})
    assert '<head><script>window.__streamlit = { BACKEND_BASE_URL: location.origin + "/base" };' in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content) and "etag" not in answer.headers
    assert client.get("/x", headers={"accept": "text/html"}).text == "<head>"
    assert (
        client.get("/neurons").text == page and client.get("/none", headers={"accept": "text/html"}).status_code == 404
    )
