"""The pages Tuning and Play to it under Streamlit's own test runner."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from and_core.query.tuning import TuningQuery, best_tuned_neuron, find_tuned, tuning_of
from and_core.tuning.compose import Dials
from and_core.uploads.played import play, strongest
from tests.dashboard import app, page_html, page_text


@pytest.fixture(autouse=True)
def at_cache(played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(played.folder.parent))


def opened(page: str, **query: str):
    test = app(dissection="small", **query).switch_page(f"pages/{page}.py").run()
    assert not test.exception
    return test


def test_the_tuning_page_opens_on_the_neuron_that_is_tuned_best(played) -> None:
    test = opened("tuning")
    best = best_tuned_neuron(played)
    assert (test.session_state["layer"], test.session_state["unit"]) == (best.layer, best.unit)
    text = page_text(test)
    row = tuning_of(played, best).row
    assert "Of pure tones it rises most at" in text and f"by {row['best_frequency_height']:.1f} SD" in text
    assert page_html(test).count("/sounds/") >= 4, "the strongest and the weakest stimulus, each with its picture"
    assert len(test.get("plotly_chart")) >= 10


def test_the_tuning_page_shows_a_neuron_from_its_address_and_finds_others(played) -> None:
    test = opened("tuning", layer="fc", unit="2")
    assert "fc <span>/</span> 2" in page_html(test)
    frame = test.dataframe[0].value
    assert frame["open"].iloc[0].startswith("/tuning?dissection=small&layer=")
    test.button_group(key="tuned_by").set_value("rising").run()
    assert not test.exception
    rising = find_tuned(played, TuningQuery(direction="rising"))
    first = played.neuron_id(int(rising[0]))
    shown = test.dataframe[0].value.iloc[0]
    assert (shown["layer"], shown["unit"]) == (first.layer, first.unit)
    assert any(f"{len(rising):,} of" in caption.value for caption in test.caption)


def test_a_dissection_without_the_stage_says_how_it_is_made(cache, monkeypatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    assert "and-dissect run CONFIG.yaml --only tuning" in page_text(opened("tuning"))
    assert "Move a dial" in page_text(opened("play")), "sounds can be played all the same"


def test_dials_begin_at_the_best_tone_and_what_they_make_is_heard(played) -> None:
    test = opened("play")
    best = best_tuned_neuron(played)
    row = tuning_of(played, best).row
    frequency = test.select_slider(key="play_frequency").value
    assert abs(np.log2(frequency / row["best_frequency"])) <= 1 / 24 + 1e-6
    assert test.slider(key="play_level").value == row["best_frequency_level"]
    text = page_html(test)
    expected = play(played, Dials(frequency, row["best_frequency_level"]))
    value = float(re.search(r'data-and-played="([-.\d]+)"', text)[1])
    assert value == pytest.approx(float(expected.activations[played.index(best)]), abs=2e-4)
    assert str(strongest(played, expected)[0][0]) in {button.label.replace("\\", "") for button in test.button}
    other = strongest(played, expected)[1][0]
    next(b for b in test.button if b.key == "played_1").click().run()
    assert (test.session_state["layer"], test.session_state["unit"]) == (other.layer, other.unit)
    assert test.select_slider(key="play_frequency").value == frequency, "the dials stay"
    test.session_state["layer"], test.session_state["unit"] = best.layer, best.unit
    test.run()
    test.select_slider(key="play_width").set_value(10.0).run()
    assert not test.exception
    moved = float(re.search(r'data-and-played="([-.\d]+)"', page_html(test))[1])
    noise = play(played, Dials(frequency, row["best_frequency_level"], 10.0))
    assert moved == pytest.approx(float(noise.activations[played.index(best)]), abs=2e-4) and moved != value


def test_a_sound_is_answered_quickly(played) -> None:
    play(played, Dials())
    seconds = []
    for frequency in (200.0, 400.0, 800.0, 1600.0, 3200.0):
        start = time.perf_counter()
        strongest(played, play(played, Dials(frequency, rate=8.0)))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3
