"""Training strategies side by side: what the paper says of them, and what this data says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from and_core.store.dissection import Dissection

ABOUT_STRATEGIES = (
    "Each statement is the paper's, on its own networks; beside it what these networks say, as a figure with a 95 % interval, and whether that points "
    "the same way. Networks are named by what they are; which strategy each was trained by stands in its provenance."
)

STATEMENTS = {
    "words": "Adjectives a neuron fall with depth under supervision, less after self-supervision, and are flat in the frozen network",
    "interpretable": "Uninterpretable neurons (K=5, \u03c4=4) get fewer with depth under supervision, and stay as many in the frozen network",
    "named": "The last layer is named best under supervision, worst in the frozen network",
    "unlearned": "Open-concept pruning unlearns most selectively",
}


def statements(found: Sequence[Dissection]) -> list[dict[str, Any]]:
    """One row per statement and network.

    Returns
    -------
    list of dict
        ``statement``, ``network``, ``this data`` (figure with interval), ``trend`` (falls, rises, flat or not shown).
    """
    rows = []
    for d in found:
        rows.append(_row("words", d, d.document("word_counts/blocks")["adjective"], "a block"))
    for d in found:
        if d.has("interpretability"):
            rows.append(_row("interpretable", d, d.document("interpretability/depth"), "points a block"))
    for d in found:
        if d.has("last_layer"):
            best = max((r for r in d.document("last_layer/scores") if r["method"] == "DB"), key=lambda r: (r["top1"], r["top5"]), default=None)
            said = f"top-1 {best['top1']:.3g} %, top-5 {best['top5']:.3g} % ({best['similarity']})" if best else "no classifier in the concept set"
            rows.append({"statement": STATEMENTS["named"], "network": d.name, "this data": said, "trend": ""})
    for d in found:
        if d.has("unlearning"):
            mine = {r["strategy"]: r for r in d.document("unlearning/averages")["strategies"] if r["number"] == "own" and r["strategy"] != "random"}
            gaps = "; ".join(f"{s} {r['gap']:+.2f} (fair random {r['fair_gap']:+.2f})" for s, r in sorted(mine.items()) if r["gap"] is not None)
            rows.append({"statement": STATEMENTS["unlearned"], "network": d.name, "this data": f"gap: {gaps}", "trend": _leads(d)})
    return rows


def _row(name: str, d: Dissection, fit: dict[str, Any], unit: str) -> dict[str, Any]:
    statement = STATEMENTS[name]
    if fit.get("slope") is None or fit.get("slope_low") is None:
        return {"statement": statement, "network": d.name, "this data": "fewer than two blocks", "trend": "not defined"}
    low, high = fit["slope_low"], fit["slope_high"]
    trend = "falls" if high < 0 else "rises" if low > 0 else "no trend is shown"
    return {"statement": statement, "network": d.name, "this data": f"{fit['slope']:+.3f} {unit} [{low:+.3f}, {high:+.3f}]", "trend": trend}


def _leads(d: Dissection) -> str:
    """Which strategy is ahead at equal numbers of neurons."""
    pairs = d.document("unlearning/averages")["pairs"]
    ahead = []
    for pair in pairs:
        low, high, p = pair["difference_low"], pair["difference_high"], pair["p"]
        if low is not None and p is not None and p < 0.05 and (low > 0 or high < 0):
            ahead.append(f"{pair['one'] if low > 0 else pair['other']} before {pair['other'] if low > 0 else pair['one']}")
    return "at equal numbers " + ", ".join(ahead) if ahead else "at equal numbers no difference is shown"
