"""The stage, the table, the live dial and the page of steering, on the small dissection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection, pipeline
from and_core.figures.steering import agreement_figure, dose_figure
from and_core.query.steering import most_moving_neuron, names_what_it_moves, pushed_classes
from and_core.steer.live import dose_response, upstream
from tests.conftest import command, small_config, with_stage
from tests.dashboard import app, page_html, page_text

BRIEF = {"clips": 8, "checked": 2}


@pytest.fixture(scope="module")
def steered(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    return with_stage(cache, tmp_path_factory.mktemp("steered"), "steering", BRIEF)


@pytest.fixture(autouse=True)
def at_cache(steered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(steered.folder.parent))


def test_every_neuron_has_its_pushes_and_dials_agree(steered) -> None:
    effect, table = np.asarray(steered.pushes), steered.pushed.to_pandas()
    assert effect.shape == (steered.neuron_count, len(steered.target_classes))
    alive = ~steered.dead
    assert np.isfinite(effect[alive]).all() and np.isnan(effect[~alive]).all() and not table["effective"][~alive].any()
    fc = next(layer for layer in steered.layers if layer.kind == "fc")
    up = table["up_class"][fc.offset : fc.offset + fc.size]
    assert (up[alive[fc.offset :]] == np.array(steered.target_classes)[alive[fc.offset :]]).all()
    checks = [row["spearman"] for row in steered.steering_layers if row["spearman"] is not None]
    assert len(checks) == len(steered.layers) and np.median(checks) > 0.95
    linear = [row["spearman"] for row in steered.steering_layers if row["layer"].endswith("_output")]
    assert min(linear) > 0.95, "what is added to these passes no activation function at once"
    assert command("table", "steering", "small").startswith("0 ")
    named = any(row["headlines"] for row in steered.steering_layers)
    answer = command("figure", "steering", "small", "--out", str(steered.folder.parent / "figures"))
    assert answer.startswith("0 ") if named else "holds nothing to draw" in answer
    assert len(agreement_figure(steered).data) == 2


def test_a_second_run_gives_the_same_bytes(steered) -> None:
    before = np.asarray(steered.pushes).tobytes()
    root = steered.folder.parent
    pipeline.run(small_config(steering=BRIEF), root=root, only=["steering"], force=True)
    assert np.asarray(open_dissection("small", root=root).pushes).tobytes() == before


def test_a_dial_moves_the_class_of_a_classifier_unit(steered) -> None:
    neuron = next(steered.neuron_id(layer.offset + 1) for layer in steered.layers if layer.kind == "fc")
    response = dose_response(steered, neuron, (-2.0, 0.0, 2.0))
    assert response.shares[:, 1].argmax() == 2 and response.shares[:, 1].argmin() == 0
    assert response.flips[1] == 0 and np.isnan(response.random[1]).all() and np.isfinite(response.random[[0, 2]]).all()
    far = dose_response(steered, neuron, (-50.0, 0.0, 50.0))
    assert far.beyond.tolist() == [True, False, True], "beyond anything seen is said"
    assert len(dose_figure(far, steered.target_classes).data) >= 2
    first = steered.neuron_id(0)
    assert upstream(steered, first) == [], "nothing stands before the first layer"
    rows = upstream(steered, neuron)
    assert rows and all(row.layer == steered.layers[-2].name for row in rows)
    assert [row.attribution for row in rows] == sorted((row.attribution for row in rows), reverse=True)


def test_the_page_opens_on_what_moves_its_own_class_and_turns_it(steered) -> None:
    test = app(dissection="small").switch_page("pages/steering.py").run()
    assert not test.exception
    neuron = most_moving_neuron(steered)
    assert (test.session_state["layer"], test.session_state["unit"]) == (neuron.layer, neuron.unit)
    name, change = max(pushed_classes(steered, neuron, 99), key=lambda row: row[1])
    assert name.replace("_", " ") in page_html(test) and f"{change:+.2f}" in page_html(test)
    charts = len(test.get("plotly_chart"))
    test.button(key="turn").click().run()
    assert not test.exception and len(test.get("plotly_chart")) == charts + 1
    test.button(key="look_upstream").click().run()
    assert not test.exception and "without it this neuron falls by" in page_html(test)
    assert names_what_it_moves(steered, steered.index(neuron)) in (True, False, None)


def test_the_neurons_page_says_it_in_one_line(steered) -> None:
    test = app(dissection="small", layer="layer3_output", unit="5").switch_page("pages/neurons.py").run()
    assert not test.exception and "What it does to the decision" in page_html(test)
    charts = len(test.get("plotly_chart"))
    test = (
        app(dissection="small", layer="layer3_output", unit="5", by_dose="true").switch_page("pages/neurons.py").run()
    )
    assert not test.exception and len(test.get("plotly_chart")) == charts + 1, "a link opens the curve"


def test_a_dissection_without_the_stage_says_how_it_is_made(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small").switch_page("pages/steering.py").run()
    assert not test.exception and "and-dissect run CONFIG.yaml --only steering" in page_text(test)
