"""Every command that stands in the README, the docs and the examples is run here from a fresh cache, or listed with the
reason why not."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from and_core import Dissection, open_dissection, pipeline
from and_core.cli.main import app
from and_core.config import make_config
from tests.conftest import BRIEF, ROOT, small_config

GENERATED = ROOT / "docs" / "commands.md"  # usage lines, written from the program itself
DOCUMENTS = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")}
    - {GENERATED}
)
COMMAND = re.compile(r"^\s*(and-dissect [^#\n]+?)\s*(?:#.*)?$|`(and-dissect [^`\n]+)`", re.MULTILINE)
ELSEWHERE = {  # command -> why this test does not run it, and what does
    "and-dissect app": "a server: tests/browser/test_browser.py starts it",
    "and-dissect run examples/plugin/config.yaml": "the plug-in is installed first: tests/packaging/test_packaging.py",
    "and-dissect demo train": "three quarters of an hour of training: tests/demo/test_demo.py trains a little",
    "and-dissect study serve paper --allow rate.example.org": "a server: tests/pipeline/test_first_hour.py tries its "
    "guard",
    "and-dissect study serve paper": "a server: tests/browser/test_study_browser.py starts it",
    "and-dissect study import paper there.parquet --site there": "answers of another site: "
    "tests/study/test_study_results.py",
    "and-dissect study new examples/study/simulated.yaml": "10 neurons a block and 12 raters, which 24 clips can't "
    "fill: the plan below is drawn smaller",
    "and-dissect study new examples/study/paper.yaml": "the same",
    "and-dissect run examples/esc10/config.yaml": "real clips and a network that examples/esc10/train.py trains: "
    "minutes",
    "and-dissect data check examples/paper/ast.yaml": "ESC-50 and a checkpoint of the hub; tests/docs/test_examples.py "
    "loads the configuration",
    "and-dissect run examples/paper/ast.yaml": "the same",
    "and-dissect run examples/paper/beats-finetuned.yaml": "the same",
    "and-dissect table last-layer ast-esc50": "the same; `table last-layer` is run on another dissection",
    "and-dissect ears CONFIG.yaml": "more labelled clips than these: tests/evaluate/test_confidence.py",
    "and-dissect ears labelled.yaml": "the same",
    "and-dissect run CONFIG.yaml --only tuning": "tests/tuning/test_tuning_stage.py",
    "and-dissect run CONFIG.yaml --only steering": "tests/steer/test_steering_stage.py",
    "and-dissect table steering NAME": "the same",
    "and-dissect concepts CONFIG.yaml": "a network of classes as ears: tests/cli/test_classes.py",
}
STANDS_FOR = {"NAME": "demo-ast", "NAME...": "demo-ast", "FILE": "own.json", "TABLE": "scores"}


def commands() -> list[str]:
    """Commands as they stand in the documents, each once; alternatives such as ``scores|planted`` one by one."""
    found: dict[str, None] = {}
    for path in DOCUMENTS:
        for match in COMMAND.finditer(path.read_text()):
            text = " ".join((match[1] or match[2]).split())
            choice = re.search(r"\S+\|\S+", text)
            for one in choice[0].split("|") if choice else [""]:
                found[text.replace(choice[0], one) if choice else text] = None
    return list(found)


def test_the_documents_name_commands_and_no_listed_one_is_gone() -> None:
    every = commands()
    assert len(every) > 30 and not set(ELSEWHERE) - set(every), set(ELSEWHERE) - set(every)


LONG = (
    "plant demo-ast",
    "plant NAME",
    "prune demo-ast --all",
    "prune NAME --all",
    "listen",
    "table listening",
    "table planted",
    "figure",
    "prune demo-ast --concept dog --save",
)


def run_all(texts: list[str]) -> None:
    """Run commands in the order in which they stand, then those that only show something, removal last.

    A verb alone shows its help.
    """
    for text in sorted(
        texts,
        key=lambda text: (" rm " in text, any(word in text for word in ("table", "results", "export", "progress"))),
    ):
        words = [STANDS_FOR.get(word, word) for word in shlex.split(text)[1:]]
        if words[:2] == ["table", "planted"]:
            words[2:] = ["demo-ast-planted"]
        if len(words) == 1:
            words.append("--help")
        done = CliRunner().invoke(app, words)
        if words[:2] == ["study", "results"] and "no answer" in done.output.lower():
            continue  # nobody has rated the paper's study here
        assert done.exit_code == 0 and "Traceback" not in done.output, (
            f"{text}: status {done.exit_code}\n{done.output[-800:]}\n{done.exception!r}"
        )


def is_long(text: str) -> bool:
    return any(text.removeprefix("and-dissect ").startswith(verb) for verb in LONG)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a cache of its own, the README's configuration and smaller plans of the studies."""
    monkeypatch.setenv("AND_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**small_config().model_dump(mode="json"), "name": "mine"}))
    plan = yaml.safe_load((ROOT / "examples" / "study" / "simulated.yaml").read_text())
    plan |= {"neurons": {"per_block": 1}, "raters": 3, "raters_per_item": 2, "tasks": ["write", "fit"], "clips": 3}
    for name in ("paper", "simulated-raters"):
        own = {k: v for k, v in plan.items() if name != "paper" or k != "simulated"}
        (tmp_path / f"{name}.yaml").write_text(
            yaml.safe_dump(
                {**own, "name": name, "controls": {"mismatched": 1, "known": 1, "attention": 1, "training": 1}}
            )
        )
    return tmp_path


def test_the_short_commands_of_the_documents_run(place: Path, played: Dissection) -> None:
    shutil.copytree(played.folder, place / "cache" / "demo-ast")
    for study in ("paper", "simulated-raters"):
        assert CliRunner().invoke(app, ["study", "new", f"{study}.yaml"]).exit_code == 0
    assert CliRunner().invoke(app, ["study", "results", "simulated-raters"]).exit_code == 0
    run_all([text for text in commands() if text not in ELSEWHERE and not is_long(text)])


@pytest.mark.slow
def test_every_command_of_the_documents_runs_from_a_fresh_cache(place: Path) -> None:
    changes = {"name": "demo-ast", "listening": {"weights": "demo", "measured": 4}, "tuning": BRIEF}
    pipeline.run(make_config(small_config().model_dump(mode="json") | changes))
    for study in ("paper", "simulated-raters"):
        assert CliRunner().invoke(app, ["study", "new", f"{study}.yaml"]).exit_code == 0
    run_all([text for text in commands() if text not in ELSEWHERE])
    planted = open_dissection("demo-ast-planted")
    assert planted.has("planted") and "listening" not in planted.manifest.stages
