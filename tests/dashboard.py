"""The dashboard under Streamlit's own test runner."""

from __future__ import annotations

import re

from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT


def app(**query: str) -> AppTest:
    """The Neurons page."""
    return start(**query).switch_page("pages/neurons.py")


def start(**query: str) -> AppTest:
    """The first page."""
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


def page_text(test: AppTest) -> str:
    """The same without its tags: what is read."""
    return re.sub(r"<[^>]+>", "", page_html(test))
