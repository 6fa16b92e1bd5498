"""The notebook runs from beginning to end, with bars of progress and without a guard."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TMPDIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(ROOT / "examples" / "explain_network.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "no outputs are committed"
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")) for output in outputs
    )
    assert "('conv', 16), ('act', 16), ('fc', 3)" in text
    assert "over time; captions by acoustic" in text, "the defaults are said first"
    assert "Running the network" in text and "100%" in text, "progress is shown"
    assert "act/3" in text and any("audio" in str(output.get("data", {}).get("text/html", "")) for output in outputs)
