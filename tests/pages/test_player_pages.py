"""The player on the pages: traces over clips, a sentence where there are none, one component, sounds of one session."""

from __future__ import annotations

import gc
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from and_core import open_dissection, pipeline
from and_core.pipeline.traces import TraceTaker
from and_core.store.dissection import Dissection
from and_core.store.traces import Trace
from pages.ui import player
from pages.ui.media import media_routes
from tests.conftest import ROOT, small_config, tone
from tests.dashboard import app, page_html


@pytest.fixture(autouse=True)
def at_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))


def test_every_clip_of_a_neuron_has_its_trace_level_and_stretch(dissection: Dissection) -> None:
    neuron = "layer2_intermediate/412"
    test = app(dissection="small", layer="layer2_intermediate", unit="412").run()
    assert not test.exception
    text = page_html(test)
    assert text.count('class="and-trace"') == 6 and 'data-and-do="all"' in text and "All clips share one scale" in text
    top = dissection.extreme_clips(neuron)[0]
    start, stop = dissection.traces(neuron)[top.clip.index].stretch(top.clip.seconds) or (0, 0)
    level = dissection.clip_row(top.clip.index)["level"]
    assert f'data-and-level="{level:.1f}" data-and-fires="{start:.3f},{stop:.3f}"' in text
    classifier = page_html(app(dissection="small", layer="fc", unit="3").run())
    assert "one value a clip" in classifier and 'class="and-trace"' not in classifier


def test_a_trace_is_drawn_from_the_lowest_to_the_highest_value() -> None:
    line = unquote(player.trace_line(Trace(np.array([-1, 0, 1, np.nan], np.float32)), -1.0, 1.0))
    assert re.findall(r"points='([^']*)'", line) == ["0,94 33,50 67,6"] * 2, "what is not heard has no line"


def test_a_dissection_without_traces_says_how_to_make_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    with monkeypatch.context() as older:  # as it was before there were traces
        older.setattr(TraceTaker, "write", lambda self, writer, layers: None)
        pipeline.run(small_config(), root=tmp_path, only=["clips", "activations", "neurons", "captions"])
    test = app().run()
    assert not test.exception
    text = page_html(test)
    assert f"<code>{player.AGAIN}</code>" in text and "/clips/small/" in text and 'class="and-trace"' not in text
    again = pipeline.run(small_config(), root=tmp_path, only=["activations"], force=True)
    d = open_dissection("small", root=tmp_path)
    assert again.computed == ["activations"] and d.has_traces and d.has("neurons"), "what rests on them stays"


def test_no_page_has_a_native_player() -> None:
    pages = [*(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    assert len(pages) > 20 and not [p for p in pages if re.search(r"(?<!\bd)\.audio\(", p.read_text())]


def test_a_sound_of_a_session_is_served_while_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(Starlette(routes=media_routes()))
    state: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", state)
    card = player.sound(tone(0.5), 16_000, "<b>mine</b>", note="loud")
    assert "<b>mine" not in card and "&lt;b&gt;mine" in card and "loud" in card
    address = re.findall(r'src="([^"]*)"', card)
    assert [a.rpartition(".")[2] for a in address] == ["jpg", "flac"]
    picture, sound = (client.get(a) for a in address)
    assert picture.content[:2] == b"\xff\xd8" and sound.content[:4] == b"fLaC"
    assert client.get(address[1], headers={"Range": "bytes=0-3"}).content == b"fLaC"
    assert sound.headers["cache-control"] == "no-store"
    assert player.sound(tone(0.5), 16_000, "<b>mine</b>", note="loud") == card, "equal sounds have one address"
    for wrong in ("/sounds/x.flac", address[1].replace("flac", "exe"), "/sounds/%00.jpg"):
        assert client.get(wrong).status_code == 404
    first = address[1]
    for i in range(player.HELD):
        player.hold(bytes([i]))
    gc.collect()
    assert client.get(first).status_code == 404, "a session holds a bounded number"
    last = player.hold(b"x")
    state.clear()
    gc.collect()
    assert client.get(f"{last}.flac").status_code == 404, "it goes with the session"
