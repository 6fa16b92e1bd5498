"""The documentation: built as a site without a network or a warning, its generated parts as the code has them, its
examples run."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.terms import terms
from tests.conftest import ROOT

GENERATED = ["settings", "commands", "tables", "architecture"]


def test_generated_parts_are_as_the_code_has_them() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "--diff", *(f"docs/{name}.md" for name in GENERATED)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"run: make docs\n{done.stdout[-2000:]}{done.stderr[-500:]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={
            "PATH": "",
            "NO_MKDOCS_2_WARNING": "1",
            "HOME": str(folder),
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        },
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def test_the_site_asks_nobody_else_for_anything(site: Path) -> None:
    """Scripts, styles, fonts and pictures are the site's own."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 19
    for page in pages:
        text = page.read_text(encoding="utf-8")
        foreign = re.findall(r"<(?:script|img|iframe|source|audio)[^>]+src=[\"'](https?:)?//[^\"']+", text)
        foreign += re.findall(
            r"<link[^>]+rel=[\"'](?:stylesheet|preconnect|preload|icon)[\"'][^>]+href=[\"'](?:https?:)?//[^\"']+", text
        )
        assert not foreign, f"{page.name}: {foreign[:3]}"
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_equations_are_drawn_and_every_public_name_is_there(site: Path) -> None:
    method = (site / "method.html").read_text(encoding="utf-8")
    assert method.count("<math") > 15 and "$$" not in re.sub(r"<code>.*?</code>", "", method)
    api = (site / "api.html").read_text(encoding="utf-8")
    for name in (
        "open_dissection",
        "Dissection",
        "Results",
        "RunConfig",
        "Plugin",
        "check_target",
        "select_neurons",
        "localize",
    ):
        assert f".{name}" in api, name


def examples() -> list[str]:
    found = []
    for path in sorted((ROOT / "and_core").rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return found


def test_examples_of_the_reference_run() -> None:
    names, tried = examples(), 0
    for name in names:
        result = doctest.testmod(
            importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        )
        assert not result.failed, name
        tried += result.attempted
    assert len(names) >= 10 and tried >= 25


def test_every_section_of_settings_and_every_method_is_a_term() -> None:
    from and_core.config import SIMILARITY_NAMES
    from and_core.store.headline import METHODS
    from and_core.unlearn.request import STRATEGIES

    known = " ".join(entry.term for entry in terms()).lower()
    assert len(terms()) > 60 and len({entry.anchor for entry in terms()}) == len(terms())
    for word in (
        *SIMILARITY_NAMES,
        "DB",
        "TAB",
        "ICL",
        *(name for name in METHODS if name != "SUM"),
        *(s for s in STRATEGIES if s.isupper()),
    ):
        assert word.lower() in known, word
    assert sum(bool(entry.source) for entry in terms()) > 30, "terms say which paper or field they are from"


def test_the_glossary_page_shows_terms_and_every_page_links_to_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).switch_page("pages/glossary.py")
    page.query_params["term"] = "fair random"
    page.run()
    shown = " ".join(str(h.proto.body) for h in page.main.get("html"))
    assert not page.exception and "Fair random" in shown and "Shapley" not in shown
    from pages.ui.setup import PAGES

    assert ("pages/glossary.py", "Glossary") in PAGES, "the sidebar of every page leads to it"
