"""A sound of one's own: decoding, what the network makes of it, and that nothing is kept unasked.

And the pages of listening.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from and_core import open_dissection, pipeline
from and_core.errors import ArtifactError, DataError
from and_core.uploads import sound as own
from pages.ui.media import media_routes, part_url
from tests.conftest import ROOT, small_config, tone
from tests.dashboard import page_html, page_text


def sound(wave: np.ndarray, rate: int = 16_000, form: str = "WAV", **more: str) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, wave, rate, format=form, **more)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def root(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the small dissection, listened to."""
    made = tmp_path_factory.mktemp("own")
    shutil.copytree(cache / "small", made / "small")
    pipeline.run(small_config(listening={"components": 5, "epochs": 1, "measured": 4}), root=made)
    return made


@pytest.fixture
def d(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AND_CACHE", str(root))
    return open_dissection("small", root=root)


def files(root: Path) -> set[Path]:
    return {p for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("form", "rate"), [("WAV", 8_000), ("FLAC", 48_000), ("OGG", 22_050), ("MP3", 44_100), ("AIFF", 16_000)]
)
def test_every_common_format_is_read(form: str, rate: int) -> None:
    found = own.read_sound(sound(tone(1.0, rate), rate, form), "x")
    assert found.rate == rate and len(found.wave) / rate == pytest.approx(1.0, abs=0.1)
    assert found.identity == own.read_sound(sound(tone(1.0, rate), rate, form), "y").identity


def test_formats_that_soundfile_can_not_read_go_through_ffmpeg(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    (tmp_path / "a.wav").write_bytes(sound(tone(1.0)))
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), str(tmp_path / "a.m4a")], check=True)
    assert len(own.read_sound((tmp_path / "a.m4a").read_bytes(), "a.m4a").wave) > 10_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"), (b"no sound at all, only a "
                         b"text", "not readable"), (sound(np.zeros(16_000, np.float32)), "silent"),
        (sound(np.zeros(0, np.float32)), "0 samples"),
        (sound(tone(61.0, 8_000), 8_000), "too long"),
        (sound(tone(2.0))[:20_000], "truncated"),
        (sound(np.full(100, np.nan, np.float32), subtype="FLOAT"), "NaN"),
    ],
)  # fmt: skip
def test_sounds_that_can_not_be_used_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        own.read_sound(data, "x")


def test_a_probing_clip_brought_in_fires_as_it_did(d) -> None:
    clip = 5
    found = own.react(d, own.read_sound(d.audio(clip), "clip"))
    for layer in d.layers:
        assert found.activations[layer.offset : layer.offset + layer.size] == pytest.approx(
            d.clip_activations(clip, layer.name), abs=2e-3
        )
    assert (
        found.probabilities is not None and found.probabilities.sum() == pytest.approx(1) and len(found.classes) == 40
    )


def test_unusual_neurons_are_those_far_above_their_mean(d) -> None:
    active = d.table("neurons/statistics")["mean"].to_numpy().copy()
    std = d.table("neurons/statistics")["std"].to_numpy()
    alive = int(np.flatnonzero(std > 0)[7])
    active[alive] += 6 * std[alive]
    rows = own.unusual(d, active, most=3)
    assert d.index(rows[0]["neuron"]) == alive and rows[0]["deviations"] == pytest.approx(6) and rows[0]["below"] > 0.9
    assert all(row["neuron"].layer != "fc" for row in own.unusual(d, active, most=50))


def test_short_and_long_sounds_go_through(d) -> None:
    for seconds in (0.01, 20.0):
        found = own.react(d, own.read_sound(sound(tone(seconds)), "x"))
        assert np.isfinite(found.activations).all() and found.heard <= 3.1


def test_unlearning_a_concept_changes_what_is_said(d) -> None:
    heard = own.read_sound(d.audio(0), "x")
    after, count = own.without_concept(d, heard, "clock_tick")
    assert after.sum() == pytest.approx(1) and count > 0
    assert own.react(d, heard).probabilities == pytest.approx(
        own.react(d, heard).probabilities
    )  # the network is whole again


def test_nothing_is_kept_unless_asked_for(d, root: Path) -> None:
    before = files(root)
    heard = own.read_sound(sound(tone(1.0)), "x")
    own.react(d, heard)
    own.without_concept(d, heard, "dog")
    assert files(root) == before
    path = own.keep(root, heard, "mine")
    assert files(root) - before == {path} and own.kept_sounds(root) == ["mine"]
    with pytest.raises(DataError, match="mine"):
        own.keep(root, heard, "mine")
    for name in ("../x", "a/b", ""):
        with pytest.raises(ArtifactError):
            own.keep(root, heard, name)
    own.forget(root, "mine")
    assert files(root) == before


def test_parts_of_clips_are_served_and_bad_addresses_refused(d) -> None:
    client = TestClient(Starlette(routes=media_routes()))
    neuron = d.neuron_id(700)
    clip = d.extreme_clips(neuron)[0].clip.index
    kinds = {"kept.flac": "audio/flac", "rest.flac": "audio/flac", "map.jpg": "image/jpeg"}
    for what, kind in kinds.items():
        found = client.get(part_url(d, neuron, clip, what))
        assert found.status_code == 200 and found.headers["content-type"] == kind and len(found.content) > 1_000
    for bad in ("none/x/1/1/map.jpg", "small/fc/0/1/map.jpg", "..%2f/x/1/1/map.jpg"):
        assert client.get(f"/parts/{bad}").status_code == 404, bad
    for bad in ("99999/1/map.jpg", "1/99999/map.jpg", "1/1/whole.flac", "x/1/map.jpg"):
        assert client.get(f"/parts/small/{neuron.layer}/{bad}").status_code == 404, bad


def page(name: str, **query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).switch_page(f"pages/{name}.py")
    for key, value in {"dissection": "small", **query}.items():
        test.query_params[key] = value
    return test.run()


def test_the_listen_page_takes_a_decision_apart(d) -> None:
    test = page("listen", listen_class="dog")
    assert not test.exception, test.exception
    text = page_text(test)
    assert (
        "The network says" in text
        and ("Components by relevance" in text or "o positive evidence" in text)
        and "How faithful" in str(test.expander)
    )
    if test.checkbox:
        test.checkbox[0].uncheck().run()
        assert not test.exception and "What is left" in page_html(test)


def test_a_page_without_listening_says_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = page("listen")
    assert not test.exception and "listening: {}" in page_html(test)


def test_your_sound_from_upload_to_the_neurons_page(d) -> None:
    from pages.ui.own import KEY, Own

    test = page("sound")
    assert not test.exception and "nothing is stored" in page_html(test)
    test.session_state[KEY] = Own(own.read_sound(d.audio(3), "mine.wav"), {})
    test.run()
    assert not test.exception, test.exception
    assert "The network takes it for" in page_html(test) and "fire unusually" in page_html(test)
    test.selectbox(key="own_concept").select("dog").run()
    assert not test.exception and "are silenced" in page_html(test)
    test.switch_page("pages/neurons.py").run()
    assert not test.exception and "your sound" in str(
        [c.proto for c in test.main if c.type == "plotly_chart"] or test.get("plotly_chart")[0].proto
    )


def test_the_neurons_page_shows_where_it_fires_and_what_moves_it(d) -> None:
    test = page("neurons", layer="layer2_intermediate", unit="41")
    test.session_state["where_it_fires"] = True
    test.session_state["what_moves_it"] = True
    test.run()
    assert not test.exception, test.exception
    text = page_html(test)
    if "kept.flac" in text:  # the test runner opens expanders by their state where it can
        assert "map.jpg" in text and "soft mask" in text


def test_an_unusual_neuron_opens_whatever_was_looked_at_before(d) -> None:
    from pages.ui.own import KEY, Own, reaction

    mine = Own(own.read_sound(d.audio(3), "mine.wav"), {})
    reaction(d, mine)
    wanted = [
        "layer0_output/7",
        "layer1_output/0",
        "layer0_output/0",
        "layer3_intermediate/511",
        "layer2_intermediate/0",
    ]
    (found,) = mine.reactions.values()
    for deviations, neuron in enumerate(reversed(wanted), 50):
        found.activations[d.index(neuron)] = deviations * 100.0
    for i, neuron in enumerate(wanted):
        test = page("neurons", layer="layer2_intermediate", unit="412")
        assert "412" in page_html(test)
        test.session_state[KEY] = mine
        test.switch_page("pages/sound.py").run()
        at = next(j for j in range(12) if test.button(key=f"open_{j}").label.replace("\\", "") == neuron)
        test.button(key=f"open_{at}").click().run()
        assert not test.exception, test.exception
        layer, unit = neuron.split("/")
        assert (test.session_state["layer"], test.session_state["unit"]) == (layer, int(unit)), (i, neuron)
        assert f"{d.layer(layer).title.split(' / ')[-1]} <span>/</span> {unit}</h1>" in page_html(test)
