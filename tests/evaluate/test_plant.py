"""Planted neurons: fitted to what is known, outside the probing set, added to the network without changing it, and
named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from and_core import open_dissection, pipeline
from and_core.config import PluginConfig, ProbeConfig
from and_core.dissect.probe import probe_mask
from and_core.errors import DataError, TargetError
from and_core.evaluate.planted_fit import cross_validated, fit_units
from and_core.evaluate.planted_report import confident_rows, lost_rows, summary_rows
from and_core.evaluate.planted_units import (
    EACH,
    Unit,
    auroc,
    can_be_told,
    choose_units,
    chosen_of_layer,
    halves_of,
    meant,
)
from and_core.pipeline.planting import SHARE, WORKSHOP, meanings, plant, readable_layers
from and_core.targets.base import TARGETS, layer_record
from tests.conftest import command, small_config

LABELS = [(("dog", "rain", "bell")[i % 3],) for i in range(90)]
WORDS = [frozenset({"loud"} if i % 2 else {"quiet"}) for i in range(90)]


def test_what_is_planted_and_what_it_means() -> None:
    units = choose_units(LABELS, WORDS, 0)
    kinds = [unit.kind for unit in units]
    assert (
        kinds.count("concept") == 3
        and kinds.count("property") == 2
        and kinds.count("negation") == 3
        and kinds.count("random") == 40
    )
    assert kinds.count("conjunction") == 6 and units == choose_units(LABELS, WORDS, 0)
    assert (
        meant(Unit("conjunction", "dog", "loud"), LABELS, WORDS).sum() == 15
        and meant(Unit("random"), LABELS, WORDS) is None
    )
    assert np.array_equal(~meant(Unit("negation", "dog"), LABELS, WORDS), meant(Unit("concept", "dog"), LABELS, WORDS))
    assert not [u for u in choose_units(LABELS[:6], WORDS[:6], 0) if u.kind != "random"], "too few clips to fit on"


def test_units_fire_on_what_they_are_fitted_to() -> None:
    rng = np.random.default_rng(0)
    place = {"dog": 0, "rain": 1, "bell": 2}
    x = rng.standard_normal((90, 12)).astype(np.float32)
    x[:, 11] = 4.0  # a dead neuron
    for i, label in enumerate(LABELS):
        x[i, place[label[0]]] += 4
        x[i, 5] += 4 * (i % 2)
    units = [
        Unit("concept", "dog"),
        Unit("property", word="loud"),
        Unit("conjunction", "dog", "loud"),
        Unit("negation", "dog"),
        Unit("random"),
    ]
    fitted = fit_units(x, units, LABELS, WORDS, 0)
    values = fitted.of(x)
    assert (
        np.allclose(values.mean(0), 0, atol=1e-3)
        and np.allclose(values.std(0), 1, atol=1e-3)
        and not fitted.weight[:, 11].any()
    )
    for i, unit in enumerate(units[:4]):
        assert auroc(values[:, i], meant(unit, LABELS, WORDS)) > 0.95
    assert np.array_equal(fitted.weight, fit_units(x, units, LABELS, WORDS, 0).weight) and fitted.valid.all()
    one = [0, 1, 3, 4]
    assert np.array_equal(fitted.weight[one], fitted.second_weight[one]), "one meaning: one read-out"
    assert np.allclose(fitted.some([2]).of(x)[:, 0], values[:, 2], atol=1e-5)
    assert np.isnan(auroc(values[:, 0], np.zeros(90, bool)))


def test_two_meanings_at_once_are_planted_where_a_layer_holds_both() -> None:
    rng = np.random.default_rng(0)
    dog = np.array([label == ("dog",) for label in LABELS])
    loud = np.arange(90) % 2 == 1
    x = rng.standard_normal((90, 6)).astype(np.float32)
    x[:, 0] += 4 * dog
    unit = Unit("conjunction", "dog", "loud")
    halves = halves_of(unit, LABELS, WORDS)
    assert halves is not None
    word, other = halves
    assert (
        np.array_equal(word, loud) and np.array_equal(other, dog) and halves_of(Unit("random"), LABELS, WORDS) is None
    )
    assert not fit_units(x, [unit], LABELS, WORDS, 0).valid[0], "no neuron of this layer hears loudness"
    x[:, 1] += 4 * loud
    fitted = fit_units(x, [unit], LABELS, WORDS, 0)
    values = fitted.of(x)[:, 0]
    assert fitted.valid[0] and min(auroc(values[dog], loud[dog]), auroc(values[loud], dog[loud])) > 0.95
    alone = values[dog & ~loud].mean(), values[loud & ~dog].mean()
    assert values[dog & loud].mean() - max(alone) > 1.5, "either alone does not move it"
    first = np.arange(90) < 45
    assert can_be_told(unit, LABELS, WORDS, first) and not can_be_told(unit, LABELS, WORDS, np.arange(90) < 5)
    assert can_be_told(Unit("random"), LABELS, WORDS, first)


def test_a_layer_takes_what_it_holds_and_so_many_of_a_kind() -> None:
    units = [Unit("pair", word=str(i), other="x") for i in range(2 * EACH["pair"])] + [Unit("concept", "dog")]
    valid = np.ones(len(units), bool)
    valid[1] = False
    chosen = chosen_of_layer(units, valid)
    assert chosen == [0, *range(2, EACH["pair"] + 1), len(units) - 1]


def test_a_penalty_is_chosen_on_left_out_folds() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 40))
    targets = np.stack([x[:, 0], rng.standard_normal(120)], 1)
    weight, predicted = cross_validated(x, targets, np.arange(120) % 5)
    assert np.corrcoef(predicted[:, 0], targets[:, 0])[0, 1] > 0.95 and weight.shape == (40, 2)
    assert abs(np.corrcoef(predicted[:, 1], targets[:, 1])[0, 1]) < 0.3, "noise can't be predicted"
    whole = np.linalg.solve(x.T @ x + 0.1 * np.eye(40), x.T @ (targets[:, 0] - targets[:, 0].mean()))
    assert np.allclose(weight[:, 0], whole, atol=0.05)


def test_the_network_is_read_and_not_changed(tmp_path: Path) -> None:
    own = TARGETS.create(PluginConfig(kind="ast"))
    own.load("cpu")
    size = own.all_modules()["layer1_output"].out_features
    torch.manual_seed(0)
    weight, bias = torch.randn(3, size), torch.randn(3)
    save_file({"layer1_output.weight": weight, "layer1_output.bias": bias}, str(tmp_path / "units.safetensors"))
    planted = TARGETS.create(
        PluginConfig(kind="planted", base={"kind": "ast"}, path=str(tmp_path / "units.safetensors"))
    )
    planted.load("cpu")
    assert (
        list(planted.all_modules()) == ["layer1_output_planted"]
        and planted.layers()[0].size == 3
        and planted.classes is None
    )
    waves = [np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1]
    from and_core.targets.hooks import Capture

    with torch.inference_mode():
        assert torch.equal(own.forward(own.features(waves)), planted.forward(planted.features(waves)))
    with (
        Capture(own.all_modules(), own.pool) as before,
        Capture(planted.hook_points(), planted.pool, "layer1_output_planted") as heard,
    ):
        before.run(lambda: own.forward(own.features(waves)))
        heard.run(lambda: planted.forward(planted.features(waves)))
    assert torch.allclose(
        heard.outputs["layer1_output_planted"], before.outputs["layer1_output"] @ weight.T + bias, atol=1e-4
    )
    other = TARGETS.create(
        PluginConfig(kind="planted", base={"kind": "ast", "pooling": "mean"}, path=str(tmp_path / "units.safetensors"))
    )
    assert planted.fingerprint() != other.fingerprint() != own.fingerprint()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"nowhere.weight": torch.zeros(2, 4), "nowhere.bias": torch.zeros(2)},
            "which the network has not|that the network has not",
        ),
        ({"layer0_output.weight": torch.zeros(2, 4), "layer0_output.bias": torch.zeros(2)}, "read 4 neurons"),
    ],
)
def test_units_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    save_file(tensors, str(tmp_path / "units.safetensors"))
    with pytest.raises(TargetError, match=message):
        TARGETS.create(
            PluginConfig(kind="planted", base={"kind": "ast"}, path=str(tmp_path / "units.safetensors"))
        ).load("cpu")
    with pytest.raises(TargetError, match="can't be read"):
        TARGETS.create(PluginConfig(kind="planted", base={"kind": "ast"}, path=str(tmp_path / "none"))).fingerprint()


def test_a_unit_fires_as_the_weaker_of_two_read_outs(tmp_path: Path) -> None:
    own = TARGETS.create(PluginConfig(kind="ast"))
    own.load("cpu")
    size = own.all_modules()["layer1_output"].out_features
    torch.manual_seed(0)
    tensors = {
        f"layer1_output.{name}": torch.randn(3, size) if name.endswith("weight") else torch.randn(3)
        for name in ("weight", "bias", "second_weight", "second_bias")
    }
    save_file(tensors, str(tmp_path / "units.safetensors"))
    path = str(tmp_path / "units.safetensors")
    planted = TARGETS.create(PluginConfig(kind="planted", base={"kind": "ast"}, path=path))
    planted.load("cpu")
    x = torch.randn(2, 7, size)
    one = x @ tensors["layer1_output.weight"].T + tensors["layer1_output.bias"]
    other = x @ tensors["layer1_output.second_weight"].T + tensors["layer1_output.second_bias"]
    made = planted.all_modules()["layer1_output_planted"](x)
    assert torch.allclose(made, torch.minimum(one, other), atol=1e-5) and planted.layers()[0].size == 3


def test_planting_from_command_to_table(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(cache / "small", tmp_path / "cache" / "small")  # the tests' own stays as it is
    cache = tmp_path / "cache"
    monkeypatch.setenv("AND_CACHE", str(cache))

    assert command("plant", "nothing").startswith("1 error: no dissection")
    answer = command("plant", "small")
    assert answer.startswith("0 ") and "Planted neurons: the concept" in answer and "Named with confidence" in answer, (
        answer[:500]
    )
    d = open_dissection("small-planted", root=cache)
    units = meanings(d)
    assert len(units) == d.neuron_count and {layer.block for layer in d.layers} == {0, 1, 2, 3}
    found = d.table("planted/findings").to_pandas()
    concepts = found[found["kind"] == "concept"]
    assert (concepts["auroc"] > 0.9).mean() > 0.7, "they fire on clips that they were not fitted on"
    assert concepts["DB/cos_cubed/top1"].mean() > 0.6, "chance is .25"
    fitting = open_dissection("fitting", root=cache / WORKSHOP / "small")
    assert fitting.manifest.stages["clips"].key != d.manifest.stages["clips"].key, "fitted on other clips"
    assert len(fitting.clips) == 400
    assert command("table", "planted", "small-planted", "--format", "csv").startswith("0 ")
    assert "has not been run yet" in command("table", "planted", "small")
    again = plant(open_dissection("small", root=cache))
    assert {n: s.key for n, s in again.manifest.stages.items()} == {n: s.key for n, s in d.manifest.stages.items()}, (
        "the same again"
    )
    with pytest.raises(DataError, match="holds no planted neurons"):
        meanings(open_dissection("small", root=cache))
    rows = summary_rows(found)
    assert {row["module"] for row in rows} == {"A", "B", "C"} and next(
        row["step"] for row in lost_rows(found)
    ) == "high clips earn it"
    one = confident_rows(found, "DB", "cos_cubed")
    assert one["threshold"] is None and one["planted confident and wrong %"] is None, "24 clips calibrate nothing"


def test_recordings_are_kept_apart_where_no_other_clips_can_be_had(tmp_path: Path) -> None:
    import soundfile as sf

    from tests.conftest import tone  # a folder of real files: half of it is for the fit

    rng = np.random.default_rng(0)
    for label, low in (("high", 2000), ("low", 200)):
        (tmp_path / "sounds" / label).mkdir(parents=True)
        for i in range(40):
            wave = tone(0.4, hz=low * (1 + 0.01 * i)) + 0.02 * rng.standard_normal(6400).astype(np.float32)
            sf.write(tmp_path / "sounds" / label / f"{i}.wav", wave, 16_000)
    config = small_config(
        dataset={"kind": "folder", "path": str(tmp_path / "sounds")},
        captions={"kind": "acoustic"},
        audio_encoder=None,
        scores={"draws": 10},
    )
    pipeline.run(config, root=tmp_path / "cache", only=["clips", "activations"])
    d = plant(open_dissection("small", root=tmp_path / "cache"))
    tops = np.asarray(d.array("neurons/high_clips"))
    about = json.loads((tmp_path / "cache" / WORKSHOP / "small" / "meaning.json").read_text())
    fitted = ~probe_mask(d.clips, ProbeConfig(without_share=SHARE), 0)
    assert about["fitted_on"] == fitted.sum() == 40 and not fitted[np.unique(tops[tops >= 0])].any(), (
        "no clip of the fit stands behind an explanation"
    )
    assert sum(d.notes("scores")["clips"]) == 40, "nor is any scored on"


def test_units_stand_at_several_depths() -> None:
    layers = [
        layer_record(name, 4, 4 * i)
        for i, name in enumerate(("layer0_fc1", "layer0_fc2", "layer1_fc1", "layer1_fc2", "fc"))
    ]
    every = {layer.name for layer in layers}
    assert [layer.name for layer in readable_layers(layers, every)] == ["layer0_fc2", "layer1_fc2"]
    assert [layer.name for layer in readable_layers(layers, every - {"layer1_fc2"})] == ["layer0_fc2", "layer1_fc1"], (
        "what is not linear can't be read"
    )
    assert [
        layer.name
        for layer in readable_layers([layer_record("plain", 4, 0), layer_record("fc", 2, 4)], {"plain", "fc"})
    ] == ["plain"]


def test_tables_without_anything_planted() -> None:
    found = pd.DataFrame(
        {"kind": ["random"], "auroc": [np.nan], "DB/cos/top1": [False], "DB confidence": [np.nan], "neuron": [0]}
    )
    row = confident_rows(found, "DB", "cos")
    assert row["threshold"] is None and row["planted confident and right %"] is None and lost_rows(found) == []
    few = pd.DataFrame(
        {
            "kind": ["concept"] * 10,
            "DB/cos/top1": [True] * 7 + [False] * 3,
            "DB confidence": [0.9] * 10,
            "neuron": range(10),
        }
    )
    assert confident_rows(few, "DB", "cos")["threshold"] is None, "seven of ten can't be confident and right"
    few.loc[7, "DB/cos/top1"] = True
    assert confident_rows(few, "DB", "cos")["planted confident and right %"] == 80
