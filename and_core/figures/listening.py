"""How faithful listening is, as tables: fidelity, thresholds, the field's metrics with controls and published rows,
corruption checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.errors import DataError
from and_core.figures.paper_table import PaperTable, Part
from and_core.store.dissection import Dissection

EXPLAINED = 0.1  # held-out R² below which the dictionary does not explain a neuron
FEW = 50
FIELD = ("AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP", "COMP share", "energy")
ABOUT_FIELD = (
    "AI, AD, AG in percent, one softmax: p on the clip, o on what is kept, q on what is left. Better: AI higher, AD "
    "lower, AG, FF = mean(p - q) and Fid-In "
    "higher. SPS: Gini index of the mask; COMP: its entropy. Energy: share of the clip's that is taken out with what "
    "is kept. Published rows: ESC-50, "
    "another network, mixtures."
)
ABOUT_TAU = (
    "Loss of the class's logit when what is relevant is taken out, beside components drawn at random that "
    "carry as much energy."
)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def listening_table(d: Dissection) -> PaperTable:
    """Return everything that the stage `listening` measured."""
    report = d.listening_report
    measured = report["measured"]
    if not measured:
        raise DataError(f"nothing was measured of {d.name!r}")
    parts, rows = [], []
    head = []
    names = list(dict.fromkeys(k for measures in measured.values() for k in measures.get("fidelity", {})))
    for mode, measures in measured.items():
        fidelity = measures.get("fidelity", {})
        row = {
            "mode": mode,
            **{k: _percent(fidelity.get(k)) if k.startswith("top") else _cell(fidelity.get(k)) for k in names},
        }
        falls, right = measures.get("falls"), measures.get("accuracy")
        head.append(
            row
            | {
                "accuracy": _percent(None if right is None else 100 * right),
                "own sound out, H falls": _percent(None if falls is None else 100 * falls),
            }
        )
    learned = report["clips"]
    note = (
        f"Learned from {learned['learned']} clips, epoch chosen on {learned['chosen']}, measured on "
        f"{learned['measured']} others. "
    )
    note += "Fidelity: the network's class is among the interpreter's first k."
    parts.append(Part("Fidelity", head, note))
    count = f", {learned['measured']} clips" + (
        " (few: differences may be chance)" if learned["measured"] < FEW else ""
    )
    for mode, measures in measured.items():
        field = [*measures["field"], *(report["published"] if mode == "post-hoc" else [])]
        parts.append(
            Part(
                f"The field's metrics, {mode}{count}",
                [{"method": r["method"], **{k: _cell(r.get(k)) for k in FIELD}} for r in field],
                ABOUT_FIELD,
            )
        )
        rows += [{"mode": mode, "table": "field", **r} for r in field]
        parts.append(
            Part(
                f"Faithfulness by threshold, {mode}{count}",
                [{k: _cell(v) for k, v in r.items()} for r in measures["thresholds"]],
                ABOUT_TAU,
            )
        )
        rows += [{"mode": mode, "table": "thresholds", **r} for r in measures["thresholds"]]
        if "corruptions" in measures:
            parts.append(
                Part(
                    f"Corrupted clips, {mode}{count}",
                    [{k: _cell(v) for k, v in r.items()} for r in measures["corruptions"]],
                    "Gain in dB of what is kept over the corrupted clip; negative: it holds less of the clean sound.",
                )
            )
            rows += [{"mode": mode, "table": "corruptions", **r} for r in measures["corruptions"]]
    training = report["training"].get("post-hoc", {}).get("dictionary")
    if training:
        c = training["coherence"]
        parts.append(
            Part(
                "Dictionary",
                [
                    {
                        "frames": str(training["frames"]),
                        "reconstruction error": _cell(training["error"]),
                        "mean cosine": _cell(c["mean"]),
                        "largest cosine": _cell(c["max"]),
                    }
                ],
                "Published dictionaries are very coherent (mean cosine .57 and .86): taking out one component alone is "
                "then ambiguous.",
            )
        )
    screened = np.asarray(d.explained_variance)
    known = screened[np.isfinite(screened)]
    cells = (
        [
            {
                "neurons": str(len(screened)),
                "explained (held-out R\u00b2 of .1 and more)": f"{100 * np.mean(known >= EXPLAINED):.0f} %",
                "median R\u00b2": f"{np.median(known):.2f}",
            }
        ]
        if len(known)
        else []
    )
    if cells:
        parts.append(
            Part(
                "Neurons that the dictionary explains",
                cells,
                "One ridge regression of every neuron's activation over time on the components.",
            )
        )
    return PaperTable(parts, rows)
