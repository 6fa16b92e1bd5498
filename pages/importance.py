"""The Feature importance page: what each kind of word is worth to the network's accuracy."""

import pandas as pd
import streamlit as st

from and_core import Dissection
from and_core.display import csv_text
from and_core.errors import ANDError
from and_core.figures.theme import EXPORT
from and_core.figures.unlearning import CURVES, importance_figure, importance_table
from and_core.labels.outputs import accuracy_name
from pages.ui import html
from pages.ui.setup import explain, provenance, setup

CAUTION = (
    "A dotted curve in colour is fair random: as many neurons in the same layers, drawn at random. A curve tells of "
    "its words only where it leaves its own dotted one. The dotted curve without colour is random over all hidden "
    "neurons, and bars span the seeds. The paper's own curves may rest on the number of neurons per layer alone, since "
    "its reference implementation ablates the first rows of each layer."
)


def _curves(d: Dissection) -> None:
    notes, rows = d.notes("importance"), d.importance_curves.to_pylist()
    split, measure = d.notes("split"), accuracy_name(d.multi_label)
    st.html(
        html.empty(
            f"How much does each kind of word matter? The curves show the {measure} on {split['tested_clips']} tested "
            f"clips when a share of the {notes['neurons']:,} hidden neurons is ablated; the whole network reaches "
            f"{notes['accuracy']:.1f} %. Neurons are chosen from explanations over the other {split['choosing_clips']} "
            "clips. "
            f"Seeds {', '.join(map(str, notes['seeds']))}."
        )
    )
    for name, about in CURVES.items():
        st.html(html.heading(f"Figure 4 {name}", about))
        st.plotly_chart(
            importance_figure(rows, name, notes["accuracy"], measure=measure),
            config=EXPORT,
            theme=None,
            key=f"importance_{name}",
        )
    st.html(html.note(f"{CAUTION} One clip is {100 / split['tested_clips']:.1f} points.", "fair-random"))
    st.html(
        html.heading(f"Loss of {measure} in points", "mean over seeds; fair random stands in brackets", "fair-random")
    )
    st.html(html.box(html.plain_table(importance_table(rows, notes["accuracy"]))))
    st.download_button(
        "Curves (CSV)", csv_text(pd.DataFrame(rows)).encode(), f"{d.name}-importance.csv", "text/csv", on_click="ignore"
    )


def page() -> None:
    """Draw the page."""
    d = setup("Feature importance")
    st.html('<h1 class="and">Feature importance</h1>')
    try:
        provenance(d)
        if d.has("importance"):
            _curves(d)
        else:
            st.html(html.empty("Not run yet for this dissection. Run", f"and-dissect prune {d.name} --importance"))
    except ANDError as error:
        explain(error)


page()
