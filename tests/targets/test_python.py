"""Networks that a configuration names: built when they are needed, never by opening a dissection."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from and_core import open_dissection, pipeline
from and_core.config import PluginConfig, load_config
from and_core.errors import ConfigError, PermissionNeeded, TargetError
from and_core.store.permission import forget_permissions, permit
from and_core.targets import loaded
from and_core.targets.base import TARGETS
from and_core.targets.company import check_company
from tests.conftest import ROOT, command, small_config, tone
from tests.dashboard import app, page_html

EXAMPLE = ROOT / "examples" / "python_target"
NETWORK = """
import numpy as np, torch
from torch import nn
def prepare(waves): return torch.from_numpy(waves)[:, None, :1600]
def net():
    body = [nn.Conv1d(1, 4, 16, 8), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 2))
"""
WRONG = {  # body of the factory -> what the message holds
    "raise ValueError('no such size')": "raises ValueError: no such size",
    "import a_package_that_is_nowhere": "needs what is not installed.*a_package_that_is_nowhere",
    "return net()": "returns Sequential",
    "return 'net', prepare": "network is str",
    "return net(), 'prepare'": "prepare is str",
    "return net(), prepare, ['a', 'a']": "each once; 'a' is not",
    "return net(), prepare, ['a', 2]": "each once; 2 is not",
    "return net(), prepare, ['a', 'b', 'c']": "3 classes are given",
    "return net(), (lambda waves: waves)": "prepare gives ndarray",
    "return net(), (lambda waves: prepare(waves)[0])": r"prepare gives \(1, 1600\) for 2 clips|batch comes first|fails",
    "return net(), (lambda waves: 1 / 0)": "prepare fails on waveforms",
    "return nn.Sequential(net(), Noisy()), prepare": "other outputs on a second call",
}


def factory(folder: Path, body: str, name: str = "nets.py") -> str:
    noisy = "class Noisy(nn.Module):\n    def forward(self, x): return x + torch.rand_like(x)\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{NETWORK}{noisy}def build(**settings):\n    {body}\n")
    return f"{folder / name}:build"


def target(place: str, **settings: object):
    return TARGETS.create(PluginConfig(kind="python", factory=place, **settings))


@pytest.mark.parametrize("body", list(WRONG))
def test_a_wrong_factory_is_named_before_the_pass(body: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=WRONG[body]) as error:
        made = target(factory(tmp_path, body))
        made.load("cpu")
        check_company(made, 1.0)
    assert "\n" not in str(error.value)


def test_a_factory_that_is_not_there_is_named(tmp_path: Path) -> None:
    place = factory(tmp_path, "return net(), prepare")
    for wrong, message in (
        (place.replace(":build", ":built"), "no function 'built'; there are: .*build"),
        (f"{tmp_path / 'none.py'}:build", "the file can't be read"),
        ("a_package_that_is_nowhere.nets:build", "can't be imported"),
    ):
        with pytest.raises(TargetError, match=message):
            target(wrong).load("cpu")
    (tmp_path / "broken.py").write_text("def build(:")
    with pytest.raises(TargetError, match="SyntaxError"):
        target(f"{tmp_path / 'broken.py'}:build").load("cpu")
    for wrong in ("nets.py", ":build", "nets:", "nets:a b"):
        with pytest.raises(ConfigError, match="target.factory=.*allowed"):
            target(wrong)


def test_settings_weights_and_frames_reach_the_network(tmp_path: Path) -> None:
    place = factory(
        tmp_path,
        "torch.manual_seed(settings['seed']); return net(), prepare, None, (lambda n, s: np.linspace(0, s / 2, n + 1))",
    )
    one, two = target(place, settings={"seed": 1}), target(place, settings={"seed": 2})
    for made in (one, two):
        made.load("cpu")
    assert one.fingerprint() != two.fingerprint() and one.map_edges(1, 4, 2.0)[0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    two.save(tmp_path)
    again = target(place, settings={"seed": 1}, **two.saved_settings(tmp_path))
    again.load("cpu")
    assert again.fingerprint() == two.fingerprint()
    with torch.inference_mode():
        waves = [tone(0.3)]
        assert torch.equal(again.forward(again.features(waves)), two.forward(two.features(waves)))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(TargetError, match="target.weights=.*do not fit"):
        target(place, settings={"seed": 1}, weights=str(tmp_path / "model.safetensors")).load("cpu")


def test_the_factory_is_found_beside_the_configuration_and_its_place_identifies_nothing(tmp_path: Path) -> None:
    config = load_config(EXAMPLE / "config.yaml")
    made = TARGETS.create(config.target)
    assert config.target.model_dump()["factory"] == f"{EXAMPLE / 'nets.py'}:build"
    assert "factory" not in made.identifying_settings() and TARGETS.reaches(config.target) == [
        f"runs the code of {EXAMPLE / 'nets.py'}:build"
    ]


def test_the_documents_show_the_example_as_it_is() -> None:
    code = (EXAMPLE / "nets.py").read_text(encoding="utf-8").split("\n\n", 1)[1]
    assert code in (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("python")
    section = {"target": load_config(EXAMPLE / "config.yaml").target.model_dump(), "unlearning": {"concepts": 1}}
    pipeline.run(small_config(**section), root=root)
    return root


def test_opening_runs_no_code_and_live_work_asks_once(dissected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_permissions()
    loaded.forget_networks()
    for name in [name for name in sys.modules if name.startswith("and_factory_")]:
        monkeypatch.delitem(sys.modules, name)
    d = open_dissection("small", root=dissected)
    assert [layer.name for layer in d.layers] == ["0", "fc"] and d.headline("fc/0").text
    monkeypatch.setenv("AND_CACHE", str(dissected))
    test = app(dissection="small", layer="0", unit="1").run()
    assert not test.exception and not any(name.startswith("and_factory_") for name in sys.modules)
    with pytest.raises(PermissionNeeded, match="runs the code of .*nets.py:build"):
        loaded.open_target(d)
    assert "runs the code of" in command("prune", "small", "--concept", "dog", "--strategy", "DB")
    permit(d)
    assert loaded.open_target(d).fingerprint()[:16] == d.notes("activations")["checkpoint"]


def test_a_page_asks_by_name(dissected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_permissions()
    loaded.forget_networks()
    monkeypatch.setenv("AND_CACHE", str(dissected))
    test = app(dissection="small", layer="0", unit="1")
    test.session_state["where_it_fires"] = True
    test.run()
    assert "runs the code of" in page_html(test) and "nets.py:build" in page_html(test)
    next(button for button in test.button if button.label == "Run this code").click()
    test.session_state["where_it_fires"] = True
    test.run()
    assert not test.exception and "runs the code of" not in page_html(test)


def test_code_of_a_dissection_from_elsewhere_is_not_run(dissected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_HOME", str(dissected / "another"))  # another installation's key
    with pytest.raises(ConfigError, match="not made by this installation"):
        permit(open_dissection("small", root=dissected))
