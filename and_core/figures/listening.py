"""How faithful listening is, as tables: fidelity, thresholds, the field's metrics with controls and published rows, corruption checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from and_core.errors import DataError
from and_core.figures.part import Found, Part
from and_core.store.dissection import Dissection

EXPLAINED = 0.1  # held-out R² below which the dictionary does not explain a neuron
FEW = 50
FIELD = ("AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP", "COMP share", "energy")
ABOUT_FIELD = (
    "AI, AD, AG in percent, one softmax: p on the clip, o on what is kept, q on what is left. Better: AI higher, AD lower, AG, FF = mean(p - q) and Fid-In "
    "higher. SPS: Gini index of the mask; COMP: its entropy. Energy: share of the clip's that is taken out with what is kept. Published rows: ESC-50, "
    "another network, mixtures."
)
ABOUT_TAU = "Loss of the class's logit when what is relevant is taken out, beside components drawn at random that carry as much energy."


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def listening_table(d: Dissection) -> Found:
    """Everything that the stage `listening` measured."""
    report = d.document("listening/report")
    measured = report["measured"]
    if not measured:
        raise DataError(f"nothing was measured of {d.name!r}")
    parts, rows = [], []
    head = []
    names = list(dict.fromkeys(k for found in measured.values() for k in found.get("fidelity", {})))
    for way, found in measured.items():
        fidelity = found.get("fidelity", {})
        told = {"way": way, **{k: _percent(fidelity.get(k)) if k.startswith("top") else _cell(fidelity.get(k)) for k in names}}
        falls, right = found.get("falls"), found.get("accuracy")
        head.append(
            told | {"accuracy": _percent(None if right is None else 100 * right), "own sound out, H falls": _percent(None if falls is None else 100 * falls)}
        )
    learned = report["clips"]
    note = f"Learned from {learned['learned']} clips, epoch chosen on {learned['chosen']}, measured on {learned['measured']} others. "
    note += "Fidelity: the network's class is among the interpreter's first k."
    parts.append(Part("Fidelity", head, note))
    count = f", {learned['measured']} clips" + (" (few: differences may be chance)" if learned["measured"] < FEW else "")
    for way, found in measured.items():
        field = [*found["field"], *(report["published"] if way == "post-hoc" else [])]
        parts.append(Part(f"The field's metrics, {way}{count}", [{"method": r["method"], **{k: _cell(r.get(k)) for k in FIELD}} for r in field], ABOUT_FIELD))
        rows += [{"way": way, "table": "field", **r} for r in field]
        parts.append(Part(f"Faithfulness by threshold, {way}{count}", [{k: _cell(v) for k, v in r.items()} for r in found["thresholds"]], ABOUT_TAU))
        rows += [{"way": way, "table": "thresholds", **r} for r in found["thresholds"]]
        if "corruptions" in found:
            parts.append(
                Part(
                    f"Corrupted clips, {way}{count}",
                    [{k: _cell(v) for k, v in r.items()} for r in found["corruptions"]],
                    "Gain in dB of what is kept over the corrupted clip; negative: it holds less of the clean sound.",
                )
            )
            rows += [{"way": way, "table": "corruptions", **r} for r in found["corruptions"]]
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
                "Published dictionaries are very coherent (mean cosine .57 and .86): taking out one component alone is then ambiguous.",
            )
        )
    screened = np.asarray(d.array("listening/explained"))
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
        parts.append(Part("Neurons that the dictionary explains", cells, "One ridge regression of every neuron's activation over time on the components."))
    return Found(parts, rows)
