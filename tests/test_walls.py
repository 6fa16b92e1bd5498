"""The walls of the architecture, read from the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The rooms of and_core from the ground up: each imports from those before it alone. docs/architecture.md shows the same
# list.
ROOMS = (
    "errors",
    "memory",
    "records",
    "names",
    "display",
    "reply",
    "data",
    "nets",
    "web",
    "registry",
    "config",
    "classifier",
    "openai_api",
    "store",
    "labels",
    "progress",
    "audio",
    "corpus",
    "datasets",
    "targets",
    "llms",
    "dissect",
    "captioners",
    "encoders",
    "testing",
    "evaluate",
    "analyze",
    "tuning",
    "query",
    "steer",
    "unlearn",
    "listen",
    "uploads",
    "figures",
    "kept",
    "study",
    "pipeline",
    "demo",
    "cli",
)
FIRST_ROW = {"errors", "names", "display", "records", "config", "registry", "reply", "progress", "labels", "query"}
LEFT_COLUMN = {  # names that this package once had for its own, each replaced by the field's
    "Told", "told", "told_by", "Said", "said", "Held", "held", "using", "Front", "front", "Material", "material",
    "screen", "Moved", "moved", "moves", "Fires", "fires", "hear", "heard", "falls", "way", "Asker", "asker", "project",
    "Found", "hears", "places", "input_of", "listener_of", "parts_of", "trials", "Trial", "choose", "written", "mine",
}  # fmt: skip
GONE = (
    "evaluate/told",
    "evaluate/plant",
    "evaluate/planted",
    "scored",
    "search",
    "dissected",
    "listen/front",
    "listen/material",
    "listen/screen",
    "listen/moves",
    "listen/trial",
    "listen/measure",
    "listen/patches",
    "listen/network",
    "listen/live",
    "listen/own",
    "pipeline/asking",
    "pipeline/judged",
    "unlearn/choose",
    "unlearn/select",
    "unlearn/trials",
    "unlearn/ablate",
    "study/faults",
    "study/written",
    "figures/part",
    "targets/capture",
    "cli",
    "cli_listen",
    "cli_paper",
    "cli_plant",
    "cli_prune",
    "cli_study",
    "console",
    "demo/corpus",
    "demo/captions",
    "demo/synth",
)
PLUGINS = ("datasets", "targets", "captioners", "encoders", "llms")
SHARED = (
    "base",
    "files",
    "attention",
    "finding",
    "hooks",
    "points",
    "pooling",
    "ablate",
    "loaded",
    "checkpoint",
    "company",
    "prepare",
    "check",
    "duplicates",
    "named",
    "bound",
    "listening",
    "families",
    "feeds",
    "mert",
    "openbeats",
)  # what the entries of a room share
ABOVE = {"unlearn", "analyze", "listen", "study", "pipeline", "demo", "cli"}
PLACES = [
    ROOT / "app.py",
    *(path for room in ("and_core", "pages", "benchmarks", "examples") for path in sorted((ROOT / room).rglob("*.py"))),
]


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
        "import sys, and_core, and_core.query.search, and_core.figures.neuron, and_core.figures.concepts;"
        "import and_core.figures.tables, and_core.captioners.acoustic;"
        "heavy = {'torch', 'transformers', 'spacy', 'librosa', 'streamlit'} & set(sys.modules); print(heavy); "
        "sys.exit(bool(heavy - {'librosa'}))"
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
    for path in (
        files("and_core/dissect") + files("and_core/store") + files("and_core/figures") + files("and_core/evaluate")
    ):
        assert not rooms(path) & ABOVE, path


def test_pages_choose_read_and_draw() -> None:
    pages = [ROOT / "app.py", *files("pages")]
    assert len(pages) > 5
    for path in pages:
        names = imports(path)
        assert not any(n.split(".")[0] in ("torch", "transformers", "sklearn", "scipy", "librosa") for n in names), path
        assert not rooms(path) & {"pipeline", "dissect", "targets", "datasets", "demo", "encoders"}, path


def test_files_and_lines_stay_small() -> None:
    for path in files("and_core") + files("pages") + files("tests") + files("benchmarks") + [ROOT / "app.py"]:
        lines = path.read_text().split("\n")
        most = 460
        assert len(lines) <= most, f"{path} has grown past {most} lines"


def test_no_pickle_no_eval_no_chdir() -> None:
    for path in files("and_core") + files("pages"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "os.chdir", "os.system", "pickle.load", "pickle.loads"), (
                    f"{path}: {name}"
                )
                if name.endswith("torch.load"):
                    assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
        assert "pickle" not in imports(path), path


def test_no_import_runs_back_up() -> None:
    places = [path for path in (ROOT / "and_core").iterdir() if path.is_dir() or path.suffix == ".py"]
    there = {path.stem for path in places if not path.name.startswith("__")}
    assert there == set(ROOMS), there ^ set(ROOMS)
    for path in files("and_core"):
        room = path.relative_to(ROOT / "and_core").parts[0].removesuffix(".py")
        if room in ROOMS:
            above = {other for other in rooms(path) & set(ROOMS) if ROOMS.index(other) > ROOMS.index(room)}
            assert not above, f"{path} imports {above}, which stand above {room}"


def test_names_are_the_fields() -> None:
    """No module, definition or parameter goes by a name that was replaced."""
    for path in [*PLACES, *(ROOT / "docs").glob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        assert str(path.relative_to(ROOT).with_suffix("")) not in {f"and_core/{name}" for name in GONE}, path
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.append(node.name)
            if isinstance(node, ast.arg):
                names.append(node.arg)
            assert not set(names) & LEFT_COLUMN, f"{path}: {set(names) & LEFT_COLUMN}"


def test_a_class_has_a_name_of_its_own() -> None:
    where: dict[str, list[Path]] = {}
    for path in files("and_core") + files("pages"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(path)
    twice = {name: paths for name, paths in where.items() if len(paths) > 1}
    assert not twice, twice


def test_results_are_read_by_name() -> None:
    """Outside the store and the pipeline nobody spells `stage/artifact`: the dissection has a name for each."""
    from and_core.store.versions import STAGE_VERSIONS

    for path in PLACES:
        if path.is_relative_to(ROOT / "and_core" / "store") or path.is_relative_to(ROOT / "and_core" / "pipeline"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("table", "array", "document", "rows", "paths")
            ):
                given = next(iter(node.args), None)
                text = ast.unparse(given).strip("f'\"") if isinstance(given, ast.Constant | ast.JoinedStr) else ""
                stage = text.split("/")[0]
                assert "/" not in text or stage not in STAGE_VERSIONS, f"{path}: {text}"


NO_VERBS = {
    "a",
    "an",
    "the",
    "what",
    "whether",
    "which",
    "how",
    "one",
    "every",
    "each",
    "all",
    "as",
    "from",
    "by",
    "where",
    "why",
    "of",
    "in",
    "for",
}


def test_docstrings_begin_with_a_verb() -> None:
    """Of functions and methods; a property's docstring names what it is."""
    for path in files("and_core") + files("pages"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
                "property" in ast.unparse(d) for d in node.decorator_list
            ):
                first = (ast.get_docstring(node) or "Nothing").split()[0]
                assert first[0].isalpha() and first.lower().strip(".,:") not in NO_VERBS, (
                    f"{path}: {node.name}: {first}"
                )
