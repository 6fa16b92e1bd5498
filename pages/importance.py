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
    "Dotted in colour: as many neurons in the same layers at random, so that a curve tells of its words only where it "
    "leaves its own dotted one. "
    "Black: random over all hidden neurons. Bars span the seeds. The paper's own curves may rest on the number per "
    "layer alone, since its reference "
    "implementation ablates the first rows of each layer."
)


def _curves(d: Dissection) -> None:
    notes, rows = d.notes("importance"), d.importance_curves.to_pylist()
    split, measure = d.notes("split"), accuracy_name(d.multi_label)
    st.html(
        html.empty(
            f"{measure.capitalize()} on {split['tested_clips']} tested clips when a share of the {notes['neurons']:,} "
            "hidden neurons is ablated; whole network "
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
    st.html(html.empty(f"{CAUTION} One clip is {100 / split['tested_clips']:.1f} points."))
    st.html(html.heading(f"Loss of {measure}, points", "mean over seeds; fair random in brackets"))
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
