"""Tables of the paper as rows, for pages, files and the command line alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from and_core.figures.paper import LAST_LAYER, NETWORKS, TABLE_2
from and_core.store.dissection import Dissection

NOT_RUN = "not run"
METHODS = ("ICL", "TAB", "DB")
REFERENCE_FAULTS = (
    "Known faults of the reference behind the paper's columns: its DB scores one neuron at a time, so the prior of "
    "wpmi and soft_wpmi is the neuron itself "
    "and soft_wpmi is 0 for every concept (hence 2 / 10); for hidden layers its DB sees the five highest clips alone. "
    "Ours scores a layer together over all "
    "clips; closed.scoring: reference does as the reference does."
)


def column_name(d: Dissection) -> str:
    """Name of a dissection, with the scoring where it is the reference's."""
    return f"{d.name} (reference scoring)" if d.notes("closed").get("scoring") == "reference" else d.name


def last_layer_rows(networks: Sequence[Dissection]) -> list[dict[str, Any]]:
    """Return Table 7 and the ICL row of Table 2, one row per network, method and similarity function.

    Returns
    -------
    list of dict
        Columns network, source (``ours`` or ``paper``), method, similarity, top1 and top5 (percent), cos (encoder named
        in `encoder`).
    """
    rows = []
    for d in networks:
        for row in d.last_layer_scores:
            scores = {key: row[key] for key in ("method", "similarity", "top1", "top5", "cos")}
            rows.append(
                {"network": column_name(d), "source": "ours", **scores, "encoder": d.notes("last_layer")["encoder"]}
            )
    for network in NETWORKS:
        for method in METHODS:
            paper = {"-": TABLE_2[network]["ICL"]} if method == "ICL" else LAST_LAYER[(network, method)]
            for similarity, (top1, top5, cos) in paper.items():
                scores = {
                    "method": method,
                    "similarity": similarity,
                    "top1": float(top1),
                    "top5": float(top5),
                    "cos": float(cos),
                }
                rows.append({"network": network, "source": "paper", **scores, "encoder": "MiniLM-L12 (reference)"})
    return rows


def last_layer_table(networks: Sequence[Dissection]) -> list[dict[str, str]]:
    """Return Table 7 side by side: a row per method and similarity function, a column per network, ours first.

    Cells ``top-1 / top-5 / cos``.
    """
    rows = last_layer_rows(networks)
    by_key = {(r["source"], r["network"], r["method"], r["similarity"]): r for r in rows}
    kinds = [(r["method"], r["similarity"]) for r in rows if r["source"] == "paper" and r["network"] == NETWORKS[0]]
    return [
        {
            "method": method, "similarity": similarity,
            **{column_name(d): _cell(by_key.get(("ours", column_name(d), method, similarity))) for d in networks},
            **{f"paper {network}": _cell(by_key.get(("paper", network, method, similarity))) for network in NETWORKS},
        }
        for method, similarity in kinds
    ]  # fmt: skip


def best_table(networks: Sequence[Dissection]) -> list[dict[str, str]]:
    """Return Table 2: each method under its best similarity function (by top-1, then top-5), ours and the paper's."""
    table = []
    for method in METHODS:
        row = {"method": method}
        for d in networks:
            scored = [r for r in d.last_layer_scores if r["method"] == method]
            best = max(scored, key=lambda r: (r["top1"], r["top5"]), default=None)
            under = f" ({best['similarity']})" if best is not None and best["similarity"] != "-" else ""
            row[column_name(d)] = _cell(best) + under
        for network in NETWORKS:
            top1, top5, cos = TABLE_2[network][method]
            row[f"paper {network}"] = _cell({"top1": top1, "top5": top5, "cos": cos})
        table.append(row)
    return table


def _cell(row: dict[str, Any] | None) -> str:
    return NOT_RUN if row is None else f"{row['top1']:.3g} / {row['top5']:.3g} / {row['cos']:.2f}"
