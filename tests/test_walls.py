"""The walls of the architecture, read from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIRST_ROW = {"errors", "records", "config", "registry", "reply", "progress"}
PLUGINS = ("datasets", "targets", "captioners", "encoders", "llms")
SHARED = ("base", "files", "capture", "checkpoint", "company", "prepare", "named", "listening")  # what the entries of a room share
ABOVE = {"unlearn", "analyze", "listen", "study", "pipeline", "demo", "cli"}


def imports(path: Path) -> set[str]:
    """Every module a file imports, at the top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def rooms(path: Path) -> set[str]:
    """Rooms of and_core that a file imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("and_core.")}


def test_the_library_never_imports_streamlit() -> None:
    assert files("and_core")
    for path in files("and_core"):
        assert not any(name.split(".")[0] in ("streamlit", "pages") for name in imports(path)), path
        serves = path.name == "web.py" or path.parent.name == "study"  # the raters' server; Starlette is no Streamlit
        assert serves or not any(name.split(".")[0] in ("starlette", "uvicorn") for name in imports(path)), path


@pytest.mark.parametrize("room", ["store", "figures"])
def test_store_and_figures_import_no_torch(room: str) -> None:
    for path in files(f"and_core/{room}"):
        assert not any(name.split(".")[0] in ("torch", "transformers") for name in imports(path)), path
        assert rooms(path) <= FIRST_ROW | {"store", "figures", "records", "__version__"}, path


def test_browsing_loads_no_torch() -> None:
    code = (
        "import sys, and_core, and_core.search, and_core.figures.neuron, and_core.figures.concepts, and_core.figures.tables, and_core.captioners.acoustic;"
        "heavy = {'torch', 'transformers', 'spacy', 'librosa', 'streamlit'} & set(sys.modules); print(heavy); sys.exit(bool(heavy - {'librosa'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", PLUGINS)
def test_plugins_do_not_import_each_other(room: str) -> None:
    for path in files(f"and_core/{room}"):
        others = rooms(path) & (set(PLUGINS) - {room})
        assert not others, f"{path} imports {others}"
        same_room = {n for n in imports(path) if n.startswith(f"and_core.{room}.") and n.split(".")[2] not in SHARED}
        assert not same_room, f"{path} imports {same_room}"


def test_the_method_knows_nothing_of_what_is_above() -> None:
    for path in files("and_core/dissect") + files("and_core/store") + files("and_core/figures") + files("and_core/evaluate"):
        assert not rooms(path) & ABOVE, path


def test_pages_choose_read_and_draw() -> None:
    pages = [ROOT / "app.py", *files("pages")]
    assert len(pages) > 5
    for path in pages:
        names = imports(path)
        assert not any(n.split(".")[0] in ("torch", "transformers", "sklearn", "scipy", "librosa") for n in names), path
        assert not rooms(path) & {"pipeline", "dissect", "targets", "datasets", "demo", "encoders"}, path


def test_files_stay_small() -> None:
    for path in files("and_core") + files("pages") + files("tests") + [ROOT / "app.py"]:
        assert path.read_text().count("\n") <= 450, f"{path} has grown past 450 lines"


def test_no_pickle_no_eval_no_chdir() -> None:
    for path in files("and_core") + files("pages"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "os.chdir", "os.system", "pickle.load", "pickle.loads"), f"{path}: {name}"
                if name.endswith("torch.load"):
                    assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
        assert "pickle" not in imports(path), path
