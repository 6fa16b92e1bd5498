"""Every page under Streamlit's own test runner, with and without data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from and_core import pipeline
from and_core.query.search import Query, rank_neurons
from pages.ui import html
from pages.ui.media import media_routes
from pages.ui.palette import palette_routes
from tests.conftest import small_config
from tests.dashboard import app, page_html
from tests.tiny import tiny_ast

PAGES = ["pages/concepts.py"]


@pytest.fixture(autouse=True)
def at_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))


def test_neurons_page_shows_a_neuron_from_its_address(dissection) -> None:
    test = app(dissection="small", layer="layer2_intermediate", unit="412").run()
    assert not test.exception
    text = page_html(test)
    neuron = "layer2_intermediate/412"
    assert "layer 2 <span>/</span> intermediate <span>/</span> 412" in text
    for top in dissection.extreme_clips(neuron) + dissection.extreme_clips(neuron, "low"):
        assert (
            html.text(top.caption) in text
            and f"/clips/small/{top.clip.index}.flac" in text
            and f"{top.activation:+.2f}" in text
        )
    for point in dissection.summary(neuron):
        assert html.text(point.text) in text
    assert dissection.closed_concepts(neuron)[0].name.replace("_", " ") in text
    assert "synthetic" in text and "not run" in text and "Random clips share" in text


def test_steps_jumps_and_search() -> None:
    test = app(layer="fc", unit="0").run()
    test.button(key="next").click().run()
    assert test.session_state["unit"] == 1 and test.session_state["layer"] == "fc"
    test.button(key="prev").click().run()
    test.button(key="prev").click().run()
    assert test.session_state["layer"] == "layer3_output" and test.session_state["unit"] == 127
    test.button(key="random").click().run()
    assert not test.exception
    test.selectbox(key="layer").set_value("fc").run()
    assert test.session_state["unit"] <= 39 and not test.exception


def shown(test) -> str:
    return f"{test.session_state['layer']}/{test.session_state['unit']}"


def test_a_search_opens_the_surest_and_the_steps_go_through_it(dissection) -> None:
    test = app(layer="fc", unit="0").run()
    test.text_input(key="q").set_value("rain").run()
    ranked = rank_neurons(dissection, Query(text="rain", by="either"))
    names = [str(dissection.neuron_id(int(i))) for i in ranked.neurons]
    assert len(names) > 2 and shown(test) == names[0]
    assert [e.label for e in test.expander if e.label.startswith("Neuron 1 of")]
    test.button(key="next").click().run()
    test.button(key="next").click().run()
    assert shown(test) == names[2] and f"Neuron 3 of {len(names)}" in " ".join(e.label for e in test.expander)
    test.button(key="prev").click().run()
    test.button(key="prev").click().run()
    test.button(key="prev").click().run()
    assert shown(test) == names[-1], "both ends meet"
    test.text_input(key="q").set_value("short metallic clicks").run()
    assert "no explanation has these words" in " ".join(e.label for e in test.expander), "meaning, by itself"
    test.text_input(key="q").set_value("zqx")
    test.session_state["by"] = "words"
    test.run()
    assert "No neuron fits" in page_html(test) and not test.exception
    linked = app(q="rain").run()
    assert shown(linked) == names[0], "a link to a search opens its first"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"dissection": "nope", "layer": "fc", "unit": "3"}, "There is no dissection “nope” here."),
        ({"layer": "nope", "unit": "3"}, "small has no layer “nope”."),
        ({"layer": "fc", "unit": "40000"}, "fc of small has no neuron “40000”"),
        ({"unit": "<b>"}, "has no neuron “&lt;b&gt;”"),
        ({"with_concept": "nope"}, "No neuron of small has the closed concept “nope”."),
    ],
)
def test_an_address_that_names_what_is_not_here_says_so_and_changes_nothing(
    query: dict[str, str], sentence: str
) -> None:
    plain = app().run()
    test = app(**query).run()
    assert not test.exception and sentence in page_html(test) and "Nothing was changed." in page_html(test)
    assert shown(test) == shown(plain) and test.session_state["dissection"] == "small"
    test.button(key="next").click().run()
    assert "Nothing was changed." not in page_html(test), "said once"


def test_bad_addresses_fall_back_or_say_so() -> None:
    for query in (
        {"layer": "nowhere", "unit": "3"},
        {"unit": "99999999"},
        {"unit": "-4"},
        {"unit": "<img src=x>"},
        {"dissection": "../../etc"},
        {"dissection": "a\0b"},
        {"similarity": "sine"},
        {"clips": "7"},
    ):
        test = app(**query).run()
        assert not test.exception, query
        assert "<img src=x>" not in page_html(test)


def test_all_similarity_functions_and_numbers_of_clips() -> None:
    test = app().run()
    for name in ("cos", "rank_reorder", "soft_wpmi"):
        test.session_state["similarity"] = name
        test.run()
        assert f">{name}</span></small>" in page_html(test) and not test.exception
    wide = app(clips="10").run()
    assert page_html(wide).count('data-and-clip="') == 20 and not wide.exception


@pytest.mark.parametrize("page", PAGES)
def test_other_pages(page: str) -> None:
    test = app().run().switch_page(page).run()
    assert not test.exception
    assert "stands in the" in page_html(test)


def test_concepts_page_from_an_adjective_and_its_table(dissection) -> None:
    test = app().run().switch_page("pages/concepts.py").run()
    test.session_state["from"] = "adjective"
    test.run()
    assert not test.exception and "is among the" in page_html(test)
    text = page_html(test)
    assert "Table 2" in text and "Table 7" in text and "paper BEATs-frozen" in text
    assert "<td>72 / 60 / 0.83</td>" in text and "<td>96 / 100 / 0.98</td>" in text, (
        "the paper's numbers stand beside ours"
    )
    ours = {(r["method"], r["similarity"]): r for r in dissection.document("last_layer/scores")}
    for method, similarity in (("DB", "cos"), ("TAB", "cos_cubed")):
        row = ours[(method, similarity)]
        cell = f"{row['top1']:.3g} / {row['top5']:.3g} / {row['cos']:.2f}"
        assert f"<tr><td>{method}</td><td>{similarity}</td><td>{cell}</td>" in text
    assert "<tr><td>ICL</td><td>-</td><td>not run</td>" in text, "what is not run has no number"
    assert "one neuron at a time" in text


def test_concepts_page_shows_by_which_classes_a_tagger_hears(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "What the tagger hears" not in page_html(app().run().switch_page("pages/concepts.py").run())
    shutil.copytree(cache / "small", tmp_path / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    network = tiny_ast(tmp_path / "net", id2label={0: "Bark", 1: "Music", 2: "Engine"})
    ears = {"kind": "tagger", "target": {"kind": "ast", "checkpoint": network}}
    stages = ["sounds", "tab", "last_layer", "explanations"]
    pipeline.run(small_config(audio_encoder=ears), root=tmp_path, only=stages)
    test = app().run().switch_page("pages/concepts.py").run()
    assert not test.exception
    text = page_html(test)
    assert "What the tagger hears for each concept" in text and "concepts match no class" in text
    shown = next(frame.value for frame in test.dataframe if "weight" in frame.value)
    assert list(shown.columns) == ["concept", "class", "weight", "how", "similarity"]
    assert set(shown["class"]) <= {"Bark", "Music", "Engine"} and (shown["weight"] > 0).any()


def test_stages_that_were_not_run_are_plain_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    test = app().run()
    assert "Nothing dissected yet" in page_html(test) and "and-dissect demo" in page_html(test) and not test.exception
    pipeline.run(small_config(), root=tmp_path, only=["clips"])
    assert "has not been run yet" in page_html(app().run())
    pipeline.run(small_config(), root=tmp_path, only=["activations", "neurons"])
    test = app().run()
    text = page_html(test)
    assert (
        not test.exception
        and "Not explained yet" in text
        and "Not summarised yet" in text
        and "Not scored yet" in text
        and "no caption" in text
    )
    concepts = app().run().switch_page("pages/concepts.py").run()
    assert not concepts.exception and "has not been run yet" in page_html(concepts)


def test_a_damaged_dissection_is_said_so(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    for file in (tmp_path / "small" / "artifacts").glob("captions-*/captions.parquet"):
        file.write_bytes(file.read_bytes()[:-1])
    test = app().run()
    assert not test.exception and "&#x27;captions/captions&#x27; is truncated" in page_html(test)


def test_the_palette_offers_addresses_and_takes_nothing_for_markup(dissection) -> None:
    client = TestClient(Starlette(routes=palette_routes()))
    rows = client.get("/jump/small", params={"q": "layer2_intermediate/412"}).json()
    assert rows[0]["kind"] == "neuron" and "layer=layer2_intermediate&unit=412" in rows[0]["href"]
    first = client.get("/jump/small", params={"q": "rain"}).json()[0]
    assert first["kind"] == "closed concept" and first["href"].endswith("from=concept&chosen_concept=rain")
    assert client.get("/jump/small", params={"q": "glossary"}).json()[0]["href"].startswith("/glossary")
    answer = client.get("/jump/none", params={"q": "<b>"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert [row["kind"] for row in answer.json()] == ["search"] and len(client.get("/jump/x").json()) > 5


def test_media_routes() -> None:
    client = TestClient(Starlette(routes=media_routes()))
    whole = client.get("/clips/small/3.flac")
    assert (
        whole.status_code == 200
        and whole.content[:4] == b"fLaC"
        and whole.headers["x-content-type-options"] == "nosniff"
    )
    assert client.get("/highest/small/7.flac").content[:4] == b"fLaC"
    assert all(client.get(f"/highest/small/{x}").status_code == 404 for x in ("999999.flac", "x.flac", "7.jpg"))
    part = client.get("/clips/small/3.flac", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert client.get("/clips/small/3.flac", headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    assert client.get("/clips/small/3.flac", headers={"Range": "bytes=99999999-"}).status_code == 416
    assert client.get("/clips/small/3.jpg").headers["content-type"] == "image/jpeg"
    for path in (
        "/clips/small/24.flac",
        "/clips/small/x.flac",
        "/clips/small/3.exe",
        "/clips/none/3.flac",
        "/clips/..%2fsmall/3.flac",
        "/clips/%00/3.flac",
        "/clips/<b>/3.jpg",
    ):
        answer = client.get(path)
        assert answer.status_code == 404 and "<b>" not in answer.headers.get("content-type", ""), path
        assert not answer.headers["content-type"].startswith("text/html")
