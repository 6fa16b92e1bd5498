"""The dashboard under Streamlit's own test runner."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT


def app(**query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for key, value in query.items():
        test.query_params[key] = value
    return test


def page_html(test: AppTest) -> str:
    """Everything that stands on the page in HTML."""
    parts = []

    def walk(block) -> None:
        for child in block.children.values():
            if hasattr(child, "children"):
                walk(child)
            elif child.type == "html":
                parts.append(child.proto.body)

    walk(test.main)
    walk(test.sidebar)
    return "\n".join(parts)
