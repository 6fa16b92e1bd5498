"""`python -m benchmarks.settings`: one setting of the demo changed at a time, each scored on held-out clips and on
planted neurons; prints Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from and_core import open_dissection, pipeline
from and_core.config import SIMILARITY_NAMES, make_config
from and_core.demo.build import demo_configs
from and_core.pipeline.planting import plant
from and_core.query.scores import score_of_all
from and_core.store.files import cache_root

BEFORE = (
    "clips",
    "activations",
    "neurons",
    "captions",
    "texts",
    "summaries",
    "calibration",
    "closed",
    "sounds",
    "tab",
    "open",
    "explanations",
    "scores",
)
GRID: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = [
    ("similarity function", [(name, {"closed": {"similarity": name}}) for name in SIMILARITY_NAMES]),
    ("K", [(str(k), {"k": k}) for k in (5, 10, 20)]),
    ("t", [(str(t), {"calibration": {"t": t}}) for t in (0.5, 0.7, 0.9)]),
    ("pooling", [(how, {"target": {"pooling": how}}) for how in ("cls", "mean")]),
    ("captioner", [(kind, {"captions": {"kind": kind}}) for kind in ("corpus", "acoustic")]),
    ("summariser", [(f"commonality, share {x}", {"summarizer": {"share": x}}) for x in (0.4, 0.6, 0.8)]),
]
COLUMNS = (
    "DB Pearson",
    "DB AUPRC",
    "SUM Pearson",
    "OPEN Pearson by words",
    "planted top-1 %",
    "planted adjectives: recall %",
    "true of their clips %",
    "without a point %",
)


def changed(base: dict[str, Any], change: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration with one setting changed."""
    merged = {
        key: {**base[key], **value} if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in change.items()
    }
    return {**base, **merged, "name": name, "unlearning": None}


def measure(base: dict[str, Any], change: dict[str, Any], root: Path, name: str) -> list[str]:
    """One row of figures."""
    pipeline.run(make_config(changed(base, change, name)), root=root, only=BEFORE)
    d = open_dissection(name, root)
    hidden = np.concatenate([np.full(layer.size, layer.kind != "fc") for layer in d.layers])
    found = [np.nanmean(score_of_all(d, "DB", m)[hidden]) for m in ("pearson", "auprc")]
    found += [
        np.nanmean(score_of_all(d, "SUM")[hidden]),
        np.nanmean(score_of_all(d, "OPEN", predictor="words")[hidden]),
    ]
    rows = plant(d).planted_rows
    concept = next(
        r
        for r in rows
        if r["planted"] == "concept" and r["units"] == "all" and (r["method"], r["similarity"]) == ("DB", d.similarity)
    )
    heard = [r for r in rows if r["planted"] == "property" and "recall %" in r][-1]
    empty = 100 * float(np.mean([not text for text in d.explanation_table["summary"].to_pylist()]))
    return [
        *(f"{x:.3f}" for x in found),
        f"{concept['top-1 %']:.1f}",
        f"{heard['recall %']:.1f}",
        f"{heard['true of its clips %']:.1f}",
        f"{empty:.0f}",
    ]


def main() -> None:
    """The whole grid."""
    root = cache_root() / "bench" / "settings"
    base = demo_configs()[0].model_dump(mode="json")
    for setting, values in GRID:
        print(f"\n### {setting}\n\n| {setting} | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
        for said, change in values:
            name = "grid-" + "".join(c if c.isalnum() else "-" for c in f"{setting} {said}")
            print(f"| {said} | {' | '.join(measure(base, change, root, name))} |", flush=True)


if __name__ == "__main__":
    main()
