"""Tables of the paper as rows, for pages, files and the command line alike."""

from __future__ import annotations

from typing import Any

from and_core.figures.paper import LAST_LAYER
from and_core.store.dissection import Dissection


def last_layer_table(d: Dissection, network: str = "AST") -> list[dict[str, Any]]:
    """Table 7 (its best rows are Table 2): ours for this dissection, and the paper's for `network`.

    Returns
    -------
    list of dict
        Columns method, similarity, top1 and top5 (percent), cos, and the same of the paper; ``"not run"`` where we have none.
    """
    ours = {(row["method"], row["similarity"]): row for row in d.document("last_layer/scores")}
    rows = []
    for (name, method), paper in LAST_LAYER.items():
        if name != network:
            continue
        for similarity, (top1, top5, cos) in paper.items():
            mine = ours.get((method, similarity))
            rows.append({
                "method": method, "similarity": similarity,
                "top-1 %": mine["top1"] if mine else "not run", "top-5 %": mine["top5"] if mine else "not run", "cos": mine["cos"] if mine else "not run",
                "paper top-1 %": float(top1), "paper top-5 %": float(top5), "paper cos": cos,
            })  # fmt: skip
    return rows
