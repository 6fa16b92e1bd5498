"""The paper's tables by name, as pages, files and the command line show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from and_core.figures.tables import REFERENCE_FAULTS, last_layer_rows, last_layer_table, project
from and_core.figures.unlearning import ABOUT_UNLEARNING, importance_table, paper_unlearning_table, unlearning_rows, unlearning_table, verdicts
from and_core.store.dissection import Dissection


@dataclass(frozen=True)
class Part:
    """One table to look at: title, rows of texts, a note."""

    title: str
    cells: list[dict[str, str]]
    note: str = ""


@dataclass(frozen=True)
class Found:
    """A table of the paper: parts to look at, and rows of plain values for a file."""

    parts: list[Part]
    rows: list[dict[str, Any]]


def _last_layer(d: Dissection) -> Found:
    d.require("last_layer")
    found = project(d)
    return Found([Part("Table 7", last_layer_table(found), "top-1 % / top-5 % / cos. " + REFERENCE_FAULTS)], last_layer_rows(found))


def _unlearning(d: Dissection) -> Found:
    found = project(d, "unlearning")
    if not found:
        d.require("unlearning")
    said = [{"network": x.name, "what this data says": line} for x in found for line in verdicts(x)]
    parts = [
        Part("Table 4", unlearning_table(found), ABOUT_UNLEARNING),
        Part("The paper's Table 4", paper_unlearning_table(), "neurons / \u0394A / \u0394R / gap"), *([Part("", said)] if said else []),
    ]  # fmt: skip
    return Found(parts, unlearning_rows(found))


def _importance(d: Dissection) -> Found:
    rows, notes = d.table("importance/curves").to_pylist(), d.notes("importance")
    about = f"Loss of accuracy in points from {notes['accuracy']:.1f} %, mean over seeds {notes['seeds']}"
    note = f"{about}; in brackets, as many neurons in the same layers at random."
    return Found([Part("Figure 4 in numbers", importance_table(rows, notes["accuracy"]), note)], rows)


TABLES: dict[str, Callable[[Dissection], Found]] = {"last-layer": _last_layer, "unlearning": _unlearning, "importance": _importance}
