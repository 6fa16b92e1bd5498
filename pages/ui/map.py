"""The map of neurons as a figure, kept while a page is drawn again."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from and_core import Dissection
from and_core.figures.map import island_map, neuron_map
from and_core.query.scores import score_of_all
from and_core.query.search import interpretable
from pages.ui import html

SCORED_BY = "held-out score, "
AGREE = "whether its clips' captions agree"
SCORE_STEPS = (
    ("below 0", 0.0),
    ("0 to .1", 0.1),
    (".1 to .2", 0.2),
    (".2 to .3", 0.3),
    (".3 to .4", 0.4),
    (".4 or more", 2.0),
)  # Pearson correlation


@lru_cache(maxsize=8)
def map_figure(d: Dissection, map_name: str, by: str, word: str | None, lit: tuple[int, ...]) -> go.Figure:
    """Return the figure of a choice; made once, since 55,000 names take longer to write down than to show."""
    if by.startswith(SCORED_BY):
        return neuron_map(
            np.asarray(d.map_places(map_name)),
            groups(d, by, word),
            titles(d),
            np.array(lit, int),
            [name for name, _ in SCORE_STEPS],
            "no score",
        )
    ordered = (
        [f"block {b}" for b in sorted({x.block for x in d.layers if x.block is not None})] if by == "block" else []
    )
    return neuron_map(
        np.asarray(d.map_places(map_name)),
        groups(d, by, word),
        titles(d),
        np.array(lit, int),
        ordered,
        "no block" if ordered else "others",
    )


@lru_cache(maxsize=4)
def overview_figure(d: Dissection) -> go.Figure:
    """Return the map of neurons by explanation with its islands named after the concepts that hold."""
    concepts = np.where(d.headlines.holds, d.headlines.concept, np.array(None, object))
    if not d.headlines.calibrated:  # nothing is known to hold
        concepts = d.headlines.concept
    return island_map(np.asarray(d.map_places("explanation")), concepts, titles(d))


@lru_cache(maxsize=4)
def titles(d: Dissection) -> np.ndarray:
    """Return (R,) what each neuron is called on the map."""
    table = d.explanation_table
    named = pa.array(np.where(d.headlines.holds, d.headlines.concept, np.array(None, object)), pa.string())
    labels = pc.coalesce(named, pc.if_else(pc.equal(table["adjectives"], ""), None, table["adjectives"]), "unclear")
    levels = np.array([html.meter_text(i / 100) for i in range(101)], object)
    known = np.isfinite(d.headlines.probability)
    meters = np.full(len(known), "", object)
    meters[known] = levels[np.round(100 * np.minimum(d.headlines.probability[known], 0.99)).astype(int)]
    joined = pc.binary_join_element_wise(
        table["layer"].cast(pa.string()), "/", table["unit"].cast(pa.string()), ": ", labels, ""
    )
    return pc.binary_join_element_wise(joined, pa.array(meters, pa.string()), "<br>").to_numpy()


def groups(d: Dissection, by: str, word: str | None) -> list[str | None]:
    """Return what each neuron is coloured by."""
    table = d.explanation_table
    if by.startswith(SCORED_BY):
        score = score_of_all(d, by.removeprefix(SCORED_BY))
        return [
            None if value != value else next(name for name, most in SCORE_STEPS if value < most)
            for value in score.tolist()
        ]
    if by == "layer kind":
        return [kind for x in d.layers for kind in [x.kind.replace("_", " ")] * x.size]
    if by == "block":
        return [name for x in d.layers for name in [f"block {x.block}" if x.block is not None else None] * x.size]
    if by == "class of its clips":
        return [
            c if share >= 0.6 else None
            for c, share in zip(table["leading_class"].to_pylist(), table["class_share"].to_pylist(), strict=True)
        ]
    if by == "adjective":
        return [word if word in words.split(", ") else None for words in table["adjectives"].to_pylist()]
    if by == AGREE:
        return ["captions agree" if yes else "captions do not agree" for yes in interpretable(d)]
    return d.headlines.concept.tolist()
