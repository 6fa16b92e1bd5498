"""The Glossary page: every term that pages, commands and settings use, with the paper or field it comes from."""

from itertools import groupby

import streamlit as st

from pages.ui import html
from pages.ui.setup import frame
from pages.ui.terms import Term, terms


def _entry(entry: Term) -> str:
    source = f" <small>{html.text(entry.source)}</small>" if entry.source else ""
    term = f'<dt id="{html.text(entry.anchor)}">{html.text(entry.term)}</dt>'
    return f"{term}<dd>{html.text(entry.text)}{source}</dd>"


def page() -> None:
    """Draw the page."""
    frame("Glossary")
    st.html('<h1 class="and">Glossary</h1>')
    wanted = st.text_input("Find a term", key="term", bind="query-params", placeholder="wpmi, fair random, headline")
    words = wanted.lower().split()
    shown = [entry for entry in terms() if all(word in f"{entry.term} {entry.text}".lower() for word in words)]
    if not shown:
        st.html(
            html.empty(
                "No term fits."
                if terms()
                else "The glossary is not installed; it stands in docs/glossary.md of the repository."
            )
        )
    for section, entries in groupby(shown, key=lambda entry: entry.section):
        rows = "".join(_entry(entry) for entry in entries)
        st.html(html.heading(section) + html.box(f'<dl class="and-terms">{rows}</dl>'))


page()
