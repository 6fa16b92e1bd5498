"""The Training strategies page: networks of the same clips side by side, and what the paper says of their training."""

import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.gallery import together
from and_core.figures.interpretability import by_depth, by_seed, uninterpretable_curves
from and_core.figures.network import words_by_block
from and_core.figures.strategies import ABOUT_STRATEGIES, statements, summary
from and_core.figures.theme import EXPORT
from pages.ui import html
from pages.ui.setup import explain, provenance, setup

NO_DEPTH = "These networks have no blocks, so there is no depth to show."


def _depth(d: Dissection) -> None:
    every = together(d, "word_counts")
    if len(every) < 2:
        st.html(
            html.empty(
                "Only one dissection stands on these clips and concepts; dissect another network on them, and it "
                "stands here beside this one."
            )
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.html(html.heading("Adjectives by depth", "mean number for each neuron, with 95 % intervals", "adjective"))
        blocks = {x.name: x.block_word_counts["adjective"] for x in every}
        if any(row["blocks"] for row in blocks.values()):
            st.plotly_chart(words_by_block(blocks, "adjective"), config=EXPORT, theme=None, key="adjectives_by_depth")
        else:
            st.html(html.empty(NO_DEPTH))
    with right:
        st.html(
            html.heading(
                "Neurons whose clips' captions do not agree",
                "fewer than \u03c4 = 4 of K = 5, by depth",
                "interpretable",
                "tau",
            )
        )
        counted = [x for x in every if x.has("interpretability")]
        rows, chance = by_depth(counted, 5, 4)
        if any(r["block"] is not None for layer_rows in rows.values() for r in layer_rows):
            st.plotly_chart(
                uninterpretable_curves(rows, chance, seeds=by_seed(counted, 5, 4)),
                config=EXPORT,
                theme=None,
                key="interpretable_by_depth",
            )
        else:
            st.html(
                html.empty(
                    NO_DEPTH
                    if any(rows.values())
                    else "Not counted: the stage interpretability has not been run, or there are too few clips."
                )
            )


def _statements(d: Dissection) -> None:
    rows = statements(together(d, "word_counts"))
    st.html(f'<p class="and-lead">{html.text(summary(rows))}</p>')
    st.html(html.heading("What the paper says, and what this data says"))
    st.html(html.note(ABOUT_STRATEGIES, "fair-random", "gap"))
    for statement in dict.fromkeys(row["statement"] for row in rows):
        shown = [
            {k: str(v) for k, v in row.items() if k != "statement"} for row in rows if row["statement"] == statement
        ]
        st.html(f"<p><b>{html.text(statement)}.</b></p>" + html.box(html.plain_table(shown)))
    st.download_button(
        "Statements (CSV)", csv_text(pd.DataFrame(rows)).encode(), "strategies.csv", "text/csv", on_click="ignore"
    )


def page() -> None:
    """Draw the page."""
    d = setup("Training strategies")
    st.html('<h1 class="and">Training strategies</h1>')
    provenance(d)
    for part in (_statements, _depth):
        try:
            part(d)
        except ANDError as error:
            explain(error)


page()
