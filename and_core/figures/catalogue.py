"""The paper's tables by name, as pages, files and the command line show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from and_core.errors import DataError
from and_core.figures.confidence import confidence_table
from and_core.figures.gallery import together
from and_core.figures.interpretability import ABOUT_SEEDS, layer_spans, seed_table
from and_core.figures.listening import listening_table
from and_core.figures.paper_table import PaperTable, Part
from and_core.figures.quantities import quantity_table
from and_core.figures.scores import planted_table, sanity_table, score_table
from and_core.figures.steering import steering_table
from and_core.figures.strategies import ABOUT_STRATEGIES, statements
from and_core.figures.tables import REFERENCE_FAULTS, column_name, last_layer_rows, last_layer_table
from and_core.figures.tuning_table import tuning_table
from and_core.figures.unlearning import (
    ABOUT_UNLEARNING,
    importance_table,
    paper_unlearning_table,
    tested_clips,
    tested_on,
    unlearning_rows,
    unlearning_table,
    verdicts,
)
from and_core.labels.outputs import accuracy_name
from and_core.query.comparable import comparable
from and_core.store.dissection import Dissection


def _last_layer(d: Dissection) -> PaperTable:
    """Return Tables 2 and 7: last-layer accuracy of every method, beside the paper's."""
    d.require("last_layer")
    networks = comparable(d)
    return PaperTable(
        [Part("Table 7", last_layer_table(networks), "top-1 % / top-5 % / cos. " + REFERENCE_FAULTS)],
        last_layer_rows(networks),
    )


def _unlearning(d: Dissection) -> PaperTable:
    """Return Table 4: unlearning by strategy, with intervals, beside the paper's."""
    networks = comparable(d, "unlearning")
    if not networks:
        d.require("unlearning")
    on = [f"{column_name(x)}: {tested_on(tested_clips(x), len(x.tested_clips))}" for x in networks]
    statements_of = [{"network": x.name, "what this data says": line} for x in networks for line in verdicts(x)]
    parts = [
        Part("Table 4", unlearning_table(networks), f"{ABOUT_UNLEARNING} {'; '.join(on)}."),
        Part("The paper's Table 4", paper_unlearning_table(), "neurons / \u0394A / \u0394R / gap"),
        *([Part("", statements_of)] if statements_of else []),
    ]
    return PaperTable(parts, unlearning_rows(networks))


def _importance(d: Dissection) -> PaperTable:
    """Return Fig. 4 in numbers: accuracy by kinds of words."""
    rows, notes = d.importance_curves.to_pylist(), d.notes("importance")
    measure = accuracy_name(d.multi_label)
    about = f"Loss of {measure} in points from {notes['accuracy']:.1f} %, mean over seeds {notes['seeds']}"
    note = f"{about}; in brackets, as many neurons in the same layers at random."
    return PaperTable([Part("Figure 4 in numbers", importance_table(rows, notes["accuracy"]), note)], rows)


def _clusters(d: Dissection) -> PaperTable:
    """Return Table 8: clusters of caption sentences."""
    notes, table = d.notes("clusters"), d.cluster_sentences.to_pandas()
    sentences = table.sort_values("distance", kind="stable").drop_duplicates("text").groupby("cluster")["text"].head(3)
    nearest = {number: list(rows) for number, rows in sentences.groupby(table["cluster"])}
    counts = table.groupby("cluster").agg(captions=("clip", "nunique"), sentences=("text", "size"))
    rows: list[dict[str, Any]] = [
        {
            "cluster": int(c),
            "captions": int(r.captions),
            "sentences": int(r.sentences),
            "nearest to its centre": " / ".join(nearest.get(c, [])),
        }
        for c, r in counts.iterrows()
    ]
    how = f"number of clusters by {d.cluster_elbow['by']}; K-means, seed {notes['seed']}"
    note = f"{notes['sentences']} sentences, {notes['distinct']} distinct; {how}."
    if not rows:
        raise DataError(f"the captions of {d.name!r} hold no sentence, so there are no clusters")
    return PaperTable([Part("Table 8", [{k: str(v) for k, v in row.items()} for row in rows], note)], rows)


def _interpretability(d: Dissection) -> PaperTable:
    """Return Figs. 6, 11 to 14 in numbers: uninterpretable neurons by layer, and what K-means's seed makes of them."""
    networks = together(d, "interpretability")
    spans = layer_spans(networks)
    rows = [
        {"network": x.name, **row, **spans.get((x.name, row["layer"], row["k"], row["tau"]), {})}
        for x in networks
        for row in x.interpretability_table.to_pylist()
    ]
    grid: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        cells = grid.setdefault((row["network"], row["layer"]), {"network": row["network"], "layer": row["layer"]})
        known = row["percent"] == row["percent"]
        span = f" [{row['low']:.0f}, {row['high']:.0f}]" if known and "low" in row else ""
        cells[f"K={row['k']} \u03c4={row['tau']}"] = f"{row['percent']:.0f}{span}" if known else "-"
    null = [
        {
            "network": x.name,
            "layer": "random clips",
            **{f"K={c['k']} \u03c4={c['tau']}": f"{c['percent']:.0f}" for c in x.interpretability_chance},
        }
        for x in networks
    ]
    note = (
        f"Percentage of uninterpretable neurons; {d.notes('interpretability')['clusters']} clusters. Random clips: "
        "what sets drawn by chance give."
    )
    if spans:
        note += " In brackets the lowest and highest over the seeds of K-means."
    over = seed_table(networks)
    parts = [Part("Uninterpretable neurons over seeds of K-means", over, ABOUT_SEEDS)] if over else []
    return PaperTable([Part("Figures 6, 11 to 14 in numbers", [*grid.values(), *null], note), *parts], rows)


def _acoustics(d: Dissection) -> PaperTable:
    """Return Fig. 8 and beyond: adjectives against acoustic measures."""
    rows, notes = d.acoustic_tests, d.notes("acoustics")
    if not rows:
        raise DataError(f"no adjective of {d.name!r} is said of enough neurons for a test")
    cells = [
        {
            "word": r["word"],
            "measure": r["measure"],
            "\u03b4": f"{r['delta']:+.2f}",
            "q": f"{r['q']:.2g}",
            "with": str(r["with"]),
            "without": str(r["without"]),
            "as the word says": r["agrees"],
        }
        for r in rows[:40]
    ]
    held = f"{notes['expected_yes']} of {notes['expected']} expectations hold"
    note = f"The 40 largest effects of {notes['tests']} tests (Cliff's \u03b4; q corrected for all); {held}."
    return PaperTable([Part("Figure 8 and beyond", cells, note)], rows)


def _strategies(d: Dissection) -> PaperTable:
    """Return what can be said of the training strategies, tested."""
    rows = statements(together(d, "word_counts"))
    return PaperTable(
        [Part("Training strategies compared", [{k: str(v) for k, v in row.items()} for row in rows], ABOUT_STRATEGIES)],
        rows,
    )


TABLES: dict[str, Callable[[Dissection], PaperTable]] = {
    "last-layer": _last_layer,
    "unlearning": _unlearning,
    "importance": _importance,
    "clusters": _clusters,
    "interpretability": _interpretability,
    "acoustics": _acoustics,
    "strategies": _strategies,
    "scores": score_table,
    "planted": planted_table,
    "confidence": confidence_table,
    "sanity": sanity_table,
    "listening": listening_table,
    "quantities": quantity_table,
    "tuning": tuning_table,
    "steering": steering_table,
}
