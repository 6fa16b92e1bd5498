"""Tables of the paper as rows, for pages, files and the command line alike."""

from __future__ import annotations

from typing import Any

from and_core.figures.paper import LAST_LAYER, TABLE_2
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


def best_table(d: Dissection, network: str = "AST") -> list[dict[str, Any]]:
    """Table 2: each method under its best similarity function (by top-1, then top-5), ours and the paper's."""
    ours: dict[str, dict[str, Any]] = {}
    for row in d.document("last_layer/scores"):
        if row["method"] not in ours or (row["top1"], row["top5"]) > (ours[row["method"]]["top1"], ours[row["method"]]["top5"]):
            ours[row["method"]] = row
    rows = []
    for method, paper in TABLE_2[network].items():
        mine = ours.get(method)
        score = f"{mine['top1']:.0f} / {mine['top5']:.0f} / {mine['cos']:.2f}" if mine else "not run"
        rows.append({
            "method": method, "best under": mine["similarity"] if mine else "not run", "top-1 % / top-5 % / cos": score,
            "paper": f"{paper[0]:.0f} / {paper[1]:.0f} / {paper[2]:.2f}",
        })  # fmt: skip
    return rows
