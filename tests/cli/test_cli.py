"""`and-dissect` as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from and_core.cli.main import app
from and_core.pipeline import STAGE_NAMES
from tests.conftest import ROOT, small_config

run = CliRunner().invoke


@pytest.fixture
def config(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AND_CACHE", str(cache))
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_config().model_dump(mode="json")))
    return path


def test_run_status_validate_list_info(config: Path) -> None:
    done = run(app, ["run", str(config)])
    assert done.exit_code == 0 and "small: 0 stages computed" in done.output
    assert run(app, ["status", str(config)]).output.count("done") == len(STAGE_NAMES) - 9
    assert "0 faults" in run(app, ["validate", "small"]).output
    listed = run(app, ["list"]).output
    assert "small" in listed and "3112" in listed
    info = run(app, ["info", "small"]).output
    assert "pooling" in info and "cls" in info and "closed" in info
    neuron = run(app, ["info", "small", "--neuron", "fc/1"]).output
    assert "high 1" in neuron and "clips:" in neuron
    table = run(app, ["table", "last-layer", "small"]).output
    assert "not run" in table and "100" in table


def test_errors_are_one_line_and_name_the_fault(config: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["info", "nowhere"], "no dissection at"),
        (["info", "../small"], "is not allowed"),
        (["info", "small", "--neuron", "fc/4000"], "unit=4000 is out of range"),
        (["run", str(tmp_path / "no.yaml")], "no configuration at"),
        (["run", str(config), "--only", "clip"], "stage='clip' is not known"),
        (
            ["table", "nine", "small"],
            "table='nine' is not known; allowed: last-layer, unlearning, importance, clusters",
        ),
    ):
        done = run(app, arguments)
        assert done.exit_code == 1, arguments
        text = " ".join(done.output.split())
        assert message in text and "Traceback" not in text, text


def test_a_data_set_is_checked(config: Path) -> None:
    done = run(app, ["data", "check", str(config)])
    assert done.exit_code == 0 and "24 clips, 4 classes, 5 folds, 24 sources" in " ".join(done.output.split())


def test_only_from_and_force(config: Path) -> None:
    later = len(STAGE_NAMES) - STAGE_NAMES.index("last_layer") - 6  # nothing is judged, planted, played or steered
    assert "1 stages computed" in run(app, ["run", str(config), "--only", "last_layer", "--force"]).output
    assert f"{later} stages computed" in run(app, ["run", str(config), "--from", "last_layer"]).output


def test_the_example_configurations_are_valid() -> None:
    from and_core.config import load_config

    paths = sorted(
        p for p in (ROOT / "examples").rglob("*.yaml") if p.parent.name != "study"
    )  # plans of studies: test_study
    assert paths
    for path in paths:
        assert load_config(path).name


def test_help_lists_the_verbs() -> None:
    done = subprocess.run([sys.executable, "-m", "and_core.cli", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    for verb in ("demo", "run", "status", "validate", "list", "info", "table", "app"):
        assert verb in done.stdout
