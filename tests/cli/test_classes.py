"""`and-dissect classes`: from two vocabularies to a file that the configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from and_core.cli.main import app
from and_core.config import load_config
from and_core.datasets.base import ClipRef
from and_core.registry import identifying
from tests.conftest import command
from tests.tiny import tiny_ast

CLASSES = ["Animal", "Dog", "Siren", "Tick, tick-tock"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A network with four classes beside synthetic clips of three labels."""
    network = tiny_ast(
        tmp_path / "ast",
        num_labels=4,
        id2label=dict(enumerate(CLASSES)),
        label2id={c: i for i, c in enumerate(CLASSES)},
    )
    path = tmp_path / "mine.yaml"
    settings = {
        "name": "mine",
        "dataset": {"kind": "synthetic", "per_category": 1, "categories": ["dog", "rain", "siren"]},
        "target": {"kind": "ast", "checkpoint": network},
        "encoder": {"kind": "minilm", "model": "bundled"},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def test_weights_for_concepts_are_written_and_read_again(config: Path) -> None:
    settings = yaml.safe_load(config.read_text())
    without = command("concepts", str(config), "--yes")
    assert without.startswith("1 ") and "audio_encoder.kind=None hears by no classes" in without
    settings["audio_encoder"] = {"kind": "tagger", "target": settings["target"]}
    config.write_text(yaml.safe_dump(settings))
    done = command("concepts", str(config), "--yes")
    assert done.startswith("0 ") and "3 of 3 concepts" in done and done.endswith("map: mine.concepts.csv"), done
    written = config.with_name("mine.concepts.csv")
    rows = [row.rsplit(",", 1)[0] for row in written.read_text().splitlines()]
    assert rows[:2] == ["concept,class,weight,how", "dog,Dog,1.00,name"] and "siren,Siren,1.00,name" in rows
    assert all(",embedding" in row for row in rows if row.startswith("rain"))
    settings["audio_encoder"]["map"] = written.name
    config.write_text(yaml.safe_dump(settings))
    again = config.with_name("again.csv")
    assert command("concepts", str(config), "--yes", "-o", str(again)).startswith("0 ")
    assert "dog,Dog,1.00,file" in again.read_text()
    assert "is there already" in command("concepts", str(config), "--yes")


def test_a_map_is_proposed_confirmed_written_named_and_checked(config: Path) -> None:
    written = config.with_name("mine.classes.csv")
    refused = CliRunner().invoke(app, ["classes", str(config)], input="n\n")
    assert refused.exit_code == 1 and not written.exists()
    shown = " ".join(refused.output.split())
    assert "labels without a class: rain (1)" in shown and "classes without a label: Tick, tick-tock (1)" in shown
    done = command("classes", str(config), "--yes")
    assert done.startswith("0 ") and done.endswith("class_map: mine.classes.csv"), done
    assert [row.rsplit(",", 1)[0] for row in written.read_text().splitlines()] == [
        "class,label,how",
        "Dog,dog,name",
        "Animal,dog,parent",
        "Siren,siren,name",
    ]
    config.write_text(config.read_text() + "class_map: mine.classes.csv\n")
    assert load_config(config).class_map == written
    checked = command("classes", str(config), "--check")
    assert checked.startswith("0 ") and "3 pairs" in checked and "1 of 3 labels without a class: rain" in checked
    written.write_text("class,label\nDogs,dog\n")
    wrong = command("classes", str(config), "--check")
    assert wrong.startswith("1 ") and "line 2: class='Dogs' is no class of the network; nearest: Dog" in wrong


def test_a_file_that_is_there_is_never_replaced_without_asking(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("mine")
    refused = command("classes", str(config), "--yes", "--out", str(own))
    assert refused.startswith("1 ") and "is there already" in refused and own.read_text() == "mine"
    assert CliRunner().invoke(app, ["classes", str(config), "--out", str(own)], input="n\n").exit_code == 1
    assert own.read_text() == "mine"
    assert CliRunner().invoke(app, ["classes", str(config), "--out", str(own)], input="y\n").exit_code == 0
    assert own.read_text().startswith("class,label,how,similarity\nDog,dog,")


def test_names_that_are_equal_need_no_file(config: Path) -> None:
    text = config.read_text()
    settings = yaml.safe_load(text)
    settings["dataset"]["categories"] = ["siren"]
    config.write_text(yaml.safe_dump(settings))
    assert "no class map is needed" in command("classes", str(config)) and not list(config.parent.glob("*.csv"))
    assert "1 pairs of a class and a label" in command("classes", str(config), "--check")


def test_labels_of_a_reference() -> None:
    assert ClipRef("a", "dog").labels == ("dog",) and ClipRef("a").labels == ()
    assert ClipRef("a", labels=("dog", "rain")).labels == ("dog", "rain")


def test_without_a_class_map_results_stay(config: Path) -> None:
    plain = load_config(config)
    assert "class_map" not in identifying(type(plain), plain.model_dump(mode="json"))
