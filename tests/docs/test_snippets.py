"""Every Python and YAML block of the documents runs or loads as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from and_core.config import make_config
from tests.conftest import ROOT
from tests.docs.test_documents import DOCUMENTS

BLOCK = re.compile(r"^```(python|yaml|toml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEEDS_A_NETWORK = (  # tests/pipeline: test_first_hour.py runs it as a script, test_explain.py calls it
    "bind(network",
    "explain_network(network",
)


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}:{text[: block.start()].count(chr(10)) + 1}", block[2])
        for path in DOCUMENTS
        for text in [path.read_text(encoding="utf-8")]
        for block in BLOCK.finditer(text)
        if block[1] == language
    ]


@pytest.mark.parametrize(
    ("where", "code"),
    [
        pytest.param(*block, id=block[0])
        for block in blocks("python")
        if not any(text in block[1] for text in NEEDS_A_NETWORK)
    ],
)
def test_a_python_block_runs(
    where: str, code: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cache / "small", tmp_path / "demo-ast")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    exec(compile(code.replace("layer2_intermediate/412", "fc/3"), where, "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize(("where", "text"), [pytest.param(*block, id=block[0]) for block in blocks("yaml")])
def test_a_whole_configuration_loads(where: str, text: str) -> None:
    settings = yaml.safe_load(text)
    if {"name", "dataset", "target"} <= set(settings):
        assert make_config(settings).name == settings["name"]
    else:
        assert isinstance(settings, dict) and settings, where


def test_there_are_blocks_to_try() -> None:
    assert len(blocks("python")) >= 5 and len(blocks("yaml")) >= 2
