"""Report on a dissection of ESC-10: accuracy, last layer, listening, and ten hidden neurons with what their clips
really measure.

    python examples/esc10/report.py [esc10-ast] [--checkpoint cache/models/esc10-ast]

Prints Markdown. The ten neurons are drawn by a fixed seed before anything is known of them. An explanation rests on the
five highest clips, so those can't judge it: the next twenty do. A word is a *hit* when the measured threshold behind it
is
met at least 1.5 times as often among ranks 6 to 25 as among all clips; a closed concept, when its class is at least 3
times as
frequent.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from and_core import Dissection, open_dissection
from and_core.audio.adjectives import RULES
from and_core.figures.listening import EXPLAINED

SEED = 10
DRAWN = 10
JUDGES = 25


def base_rates(d: Dissection) -> dict[str, float]:
    """Share of all clips that earn each word."""
    rows = [_measures(d, i) for i in range(len(d.clips))]
    return {rule.word: float(np.mean([rule.holds(row) for row in rows])) for rule in RULES}


def _measures(d: Dissection, clip: int) -> dict[str, float]:
    return {k: float("nan") if v is None else v for k, v in d.clip_row(clip).items()}


def describe(d: Dissection, index: int, rates: dict[str, float]) -> tuple[list[str], int, int]:
    """Lines on one neuron, and its hits and misses."""
    neuron = d.neuron_id(index)
    e, tops, closed = d.explanation(neuron), d.extreme_clips(neuron), d.closed_concepts(neuron)[0].name
    judges = d.extreme_clips(neuron, k=JUDGES)[d.k :]
    lines = [f"- **{neuron}**: {e['adjectives'] or 'no adjective'}; {e['thing'] or 'no source named'}; DB: {closed}"]
    lines.append(f"  - its five clips: {', '.join(str(t.clip.label) for t in tops)}")
    found: list[tuple[str, float, float, float]] = []
    for rule in RULES:
        if any(p.kept and p.attribute and p.text == rule.word for p in d.summary(neuron)):
            found.append(
                (
                    rule.word,
                    float(np.mean([rule.holds(_measures(d, t.clip.index)) for t in judges])),
                    rates[rule.word],
                    1.5,
                )
            )
    share = float(np.mean([closed in t.clip.labels for t in judges]))
    found.append((closed, share, float(np.mean([closed in c.labels for c in d.clips])), 3.0))
    verdicts = [rate > 0 and rate >= factor * base for _, rate, base, factor in found]
    for (word, rate, base, _), good in zip(found, verdicts, strict=True):
        lines.append(
            f"  - {'hit' if good else 'miss'}: {word}, {100 * rate:.0f} % of ranks 6 to 25, {100 * base:.0f} % of all "
            "clips"
        )
    return lines, sum(verdicts), len(verdicts) - sum(verdicts)


def listening(d: Dissection) -> list[str]:
    """Lines on how faithful listening is, where it was learned."""
    if not d.has("listening"):
        return []
    report = d.listening_report
    one = report["measured"]["post-hoc"]
    fidelity = " / ".join(f"{value:.1f}" for value in one["fidelity"].values())
    lines = [
        f"Fidelity, top 1 / 3 / 5: {fidelity} %, on {report['clips']['measured']} clips of fold 5 (learned from "
        f"{report['clips']['learned']})."
    ]
    if (two := report["measured"].get("by-design")) is not None:
        lines.append(
            f"Accuracy by design {100 * two['accuracy']:.1f} %, with the usual head {100 * one['accuracy']:.1f} %."
        )
    explained = np.asarray(d.explained_variance)
    explained = explained[np.isfinite(explained)]
    lines += [
        f"The dictionary explains {np.mean(explained >= EXPLAINED):.0%} of the neurons (held-out R² of .1 or more), "
        f"median {np.median(explained):.2f}.",
        "",
    ]
    columns = ("AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP")
    lines += [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for way, measured in report["measured"].items():
        lines += [
            f"| {row['method']}, {way} | {' | '.join(f'{row[c]:.2f}' for c in columns)} |" for row in measured["field"]
        ]
    return [*lines, ""]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="esc10-ast")
    parser.add_argument("--checkpoint", type=Path, default=Path("cache/models/esc10-ast"))
    options = parser.parse_args()
    d = open_dissection(options.name)
    recipe = json.loads((options.checkpoint / "recipe.json").read_text())
    print(
        f"Test accuracy (fold 5): {100 * recipe['test_accuracy']:.1f} %, trained in {recipe['minutes']:.1f} min from "
        f"{recipe['start']}."
    )
    print(
        f"On the synthetic corpus's clips of the ten classes: {100 * recipe['synthetic_accuracy']:.1f} % (chance "
        f"{100 * recipe['chance']:.0f} %).\n"
    )
    print("| similarity | top-1 % | top-5 % | cos |\n|---|---|---|---|")
    for row in d.last_layer_scores:
        print(f"| {row['similarity']} | {row['top1']:.0f} | {row['top5']:.0f} | {row['cos']:.2f} |")
    summaries, calibration = d.notes("summaries"), d.notes("calibration")
    print(
        f"\nCalibration takes a point from {100 * calibration['share_with_dropped_point']:.0f} % of the summarised "
        "neurons. ",
        end="",
    )
    print(
        f"A summary has {summaries['points_mean']:.1f} points on average; random sets of clips share "
        f"{summaries['random_points_mean']:.1f}.\n"
    )
    print("\n".join(listening(d)))
    hidden = sum(layer.size for layer in d.layers if layer.kind != "fc")
    rates, hits, misses = base_rates(d), 0, 0
    for index in np.sort(np.random.default_rng(SEED).choice(hidden, DRAWN, replace=False)):
        lines, good, bad = describe(d, int(index), rates)
        hits, misses = hits + good, misses + bad
        print("\n".join(lines))
    print(f"\n{hits} hits, {misses} misses.")


if __name__ == "__main__":
    main()
