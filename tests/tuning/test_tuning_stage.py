"""The stage `tuning` over real and made networks: what it leaves, going on after a fault, difficult networks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from and_core import open_dissection, pipeline
from and_core.config import TuningConfig
from and_core.errors import NotComputed, TargetError
from and_core.figures.catalogue import TABLES
from and_core.figures.gallery import draw
from and_core.pipeline import tuning as stage
from and_core.query.tuning import TuningQuery, best_tuned_neuron, find_tuned, in_words, stimulus_of, tuning_of
from and_core.query.word_tuning import words_against_tuning
from and_core.targets.base import TARGETS
from and_core.tuning.presentation import presentation
from and_core.tuning.stimulus import Stimulus
from tests.conftest import BRIEF, small_config

CONFIG = TuningConfig(**BRIEF)


def test_it_leaves_responses_and_statistics_of_every_neuron(played) -> None:
    d = played
    notes = d.notes("tuning")
    assert d.tuning.num_rows == d.neuron_count and d.stimuli.num_rows == notes["presentations"]
    assert notes["fill"] == "stretch" and notes["length"] == pytest.approx(3.015) and notes["seed"] == 0
    assert d.stimulus_activations(7, 9).shape == (notes["presentations"], 2)
    assert list(d.validate()) == []
    about = d.receptive_fields_about["layers"]
    assert about["fc"] == {"lags": 1, "step": 0.0} and about["layer0_output"]["step"] > 0, "one vector a clip: no time"
    assert d.receptive_fields.shape == (d.neuron_count, max(x["lags"] for x in about.values()), 25)
    assert pipeline.run(small_config(tuning=BRIEF), root=d.folder.parent, only=["tuning"]).unchanged == ["tuning"]


def test_one_neuron_is_read_as_it_was_played(played) -> None:
    d = played
    neuron = best_tuned_neuron(d)
    t = tuning_of(d, neuron)
    index = d.index(neuron)
    raw = d.stimulus_activations(index, index + 1)[:, 0]
    silence = raw[t.design.silence].mean()
    first = t.design.tones[1, 4]
    rows = t.design.rows(np.array(first))
    assert t.at(first) == pytest.approx((raw[rows].mean() - silence) / d.activation_std[index], rel=1e-4)
    assert t.row["strongest_response"] == pytest.approx(t.mean[t.row["strongest"]], rel=1e-4)
    assert in_words(stimulus_of(d, int(first))).startswith("tone of ")


def test_neurons_are_looked_for_by_what_they_are_tuned_to(played) -> None:
    d = played
    table = d.tuning.to_pandas()
    low = find_tuned(d, TuningQuery(frequency=(300.0, 900.0)))
    assert len(low) and table["best_frequency"][low].between(300, 900).all() and (table["sign"][low] > 0).all()
    rising = find_tuned(d, TuningQuery(direction="rising", layers=("fc",)))
    assert (table["rises_more"][rising] > 0).all() and all(d.neuron_id(int(i)).layer == "fc" for i in rising)
    assert np.all(np.diff(table["rises_more"][rising]) <= 0)


def test_tables_and_figures_are_drawn(played) -> None:
    made = TABLES["tuning"](played)
    assert len(made.rows) == played.neuron_count and made.rows[0]["strongest"]
    assert len(made.parts[0].cells) == len(played.layers)
    assert set(draw(played, "tuning")) == {"tuning-best-frequency-by-depth", "tuning-kinds-by-depth"}
    areas = [name for name in draw(played, "tuning-neurons") if name.endswith("-area")]
    assert len(areas) == len(played.layers)


def test_words_are_compared_with_what_was_measured(played) -> None:
    rows = words_against_tuning(played)
    assert rows and [abs(row["delta"]) for row in rows] == sorted((abs(row["delta"]) for row in rows), reverse=True)
    row = next(row for row in rows if row["property"] == "tone_noise")
    has = np.array([row["word"] in text.split(", ") for text in played.explanation_table["adjectives"].to_pylist()])
    values = played.tuning["tone_noise"].to_numpy(zero_copy_only=False)
    known = np.isfinite(values)
    one, other = values[known & has], values[known & ~has]
    assert row["delta"] == pytest.approx(np.sign(one[:, None] - other).mean(), abs=1e-6)
    expected = "not shown" if row["q"] >= 0.05 else "yes" if row["delta"] * row["side"] > 0 else "no"
    assert row["agrees"] == expected and row["layers"] <= row["of"] <= len(played.layers)


def test_without_the_stage_the_command_is_said(dissection) -> None:
    with pytest.raises(NotComputed, match="'tuning' of 'small' has not been run yet; run: and-dissect run"):
        best_tuned_neuron(dissection)


def test_a_run_that_was_stopped_goes_on_and_ends_alike(played, cache: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(cache / "small", tmp_path / "small")
    through, calls = stage.passes, []

    def breaking(*given):
        calls.append(given[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        yield from through(*given)

    monkeypatch.setattr(stage, "passes", breaking)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(small_config(tuning=BRIEF), root=tmp_path, only=["tuning"])
    monkeypatch.setattr(stage, "passes", lambda *given: calls.append(given[2]) or through(*given))
    pipeline.run(small_config(tuning=BRIEF), root=tmp_path, only=["tuning"])
    assert [part.start for part in calls].count(0) == 1, "what was finished is not run again"
    again = open_dissection("small", root=tmp_path)
    assert again.tuning.equals(played.tuning)
    assert np.array_equal(again.stimulus_activations(0, 40), played.stimulus_activations(0, 40))


class Difficult(nn.Module):
    """A network of three units that refuses what is short, knows no silence, or cuts loud sound."""

    def __init__(self, least: int = 0) -> None:
        super().__init__()
        self.least, self.layer = least, nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] < self.least:
            raise ValueError(f"at least {self.least} samples")
        return self.layer(torch.stack([x.abs().mean(1), x.diff(dim=1).abs().mean(1)], 1))


def target(network: nn.Module, prepare=torch.from_numpy, rate: int = 8000):
    made: Any = TARGETS.create(small_config(target={"kind": "module", "title": "difficult", "rate": rate}).target)
    made.bind(network, prepare)
    made.load("cpu")
    return made


def test_a_network_that_wants_longer_sounds_gets_them() -> None:
    how = presentation(target(Difficult(5000)), TuningConfig(seconds=0.2), 3.0)
    assert how.lengthened and how.seconds == 0.8 and how.fill is None and "refuses shorter" in how.sentence()
    short = target(Difficult())
    short.network.least = 8000 * 100
    with pytest.raises(TargetError, match="takes no stimulus: it fails on noise of"):
        presentation(short, CONFIG, 3.0)


@pytest.mark.parametrize(("fill", "seconds"), [("auto", 2.5), ("stretch", 2.5), ("repeat", 1.0), ("pad", 1.0)])
def test_a_fixed_length_is_filled_as_asked_for(fill: str, seconds: float) -> None:
    def prepare(waves: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.pad(waves, ((0, 0), (0, max(0, 20_000 - waves.shape[1]))))[:, :20_000])

    how = presentation(target(Difficult(), prepare), TuningConfig(fill=fill), 2.5)
    assert (how.seconds, how.length) == (seconds, 2.5) and how.fill == ("stretch" if fill == "auto" else fill)
    wave = how.wave(Stimulus("tone", "tone", frequency=440.0), 8000, 0)
    assert len(wave) == {"repeat": 20_000, "pad": 8000}.get(fill, 20_000)
    if fill == "repeat":
        assert np.array_equal(wave[:8000], wave[8000:16_000])


def test_a_network_that_knows_no_silence_gets_faint_noise_for_it() -> None:
    def normalised(waves: np.ndarray) -> torch.Tensor:
        with np.errstate(invalid="ignore"):
            return torch.from_numpy(waves / waves.std(1, keepdims=True))

    how = presentation(target(Difficult(), normalised), CONFIG, 3.0)
    assert how.faint and "stands in for silence" in how.sentence()
    wave = how.wave(Stimulus("silence", "silence"), 8000, 0)
    assert 0 < np.abs(wave).max() < 1e-3
    assert not presentation(target(Difficult()), CONFIG, 3.0).faint


def test_a_level_that_does_not_get_through_is_said() -> None:
    def alike(waves: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(waves / np.maximum(waves.std(1, keepdims=True), 1e-9))

    how = presentation(target(Difficult(), alike), CONFIG, 3.0)
    assert how.level_removed and "flat level functions are the front end's" in how.sentence()
    cut = presentation(target(Difficult(), lambda w: torch.from_numpy(w.clip(-0.05, 0.05).round(3))), CONFIG, 3.0)
    assert not cut.level_removed
    plain = presentation(target(Difficult()), CONFIG, 3.0)
    assert not plain.level_removed and not plain.level_cut
