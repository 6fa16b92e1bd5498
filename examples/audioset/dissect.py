"""Dissect a published AudioSet tagger over ESC-10's clips and write what was measured.

    python examples/audioset/dissect.py --data PATH/TO/data

The network's weights and the clips lie outside this project, see README.md. The ten neurons are drawn by a fixed seed
before anything is known of them, and judged by clips that their explanations have not seen (ranks 6 to 25).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from nets import RATE, build, log_mel  # noqa: E402

from and_core import Dissection, open_dissection, pipeline  # noqa: E402
from and_core.audio.media import clip_wave  # noqa: E402
from and_core.config import RunConfig, absolute_config, make_config, read_mapping  # noqa: E402
from and_core.unlearn.runs import read_split  # noqa: E402
from examples.esc10.report import DRAWN, SEED, base_rates, describe  # noqa: E402

DATA = HERE.parents[2] / "shared" / "data"
SHOWN = ("Dog", "Domestic_animals_pets", "Animal", "Canidae_dogs_wolves")


def configuration(data: Path) -> RunConfig:
    """Return the configuration beside this file, over data in a folder of one's own."""
    raw = absolute_config(read_mapping(HERE / "config.yaml"), HERE)
    tagger = data / "audioset_crnn"
    raw["dataset"]["path"] = str(data / "esc10")
    raw["target"] |= {
        "weights": str(tagger / "model.safetensors"),
        "settings": {"labels": str(tagger / "labels.txt")},
    }
    return make_config(raw)


def plain_probabilities(d: Dissection, clips: np.ndarray, tagger: Path) -> np.ndarray:
    """Return (n, 527) what the network says of clips when nothing of this package is used but the sound."""
    network, _, _ = build(str(tagger / "labels.txt"))
    network.load_state_dict(load_file(tagger / "model.safetensors"))
    network.eval()
    with torch.inference_mode():
        return np.concatenate([network(log_mel(clip_wave(d, int(c), RATE)[None]))[0].numpy() for c in clips])


def effects(d: Dissection, concept: str) -> list[str]:
    """Return lines on what each strategy of unlearning did to a concept, its parents and the rest."""
    split, runs, by_class = read_split(d), d.unlearning_runs.to_pylist(), np.asarray(d.unlearning_by_class)
    lines = ["| neurons ablated | " + " | ".join(SHOWN) + " | other classes |", "|---" * (len(SHOWN) + 2) + "|"]
    others = [i for i, name in enumerate(split.classes) if name not in SHOWN and split.truth[:, i].any()]
    for i, row in enumerate(runs):
        if row["concept"] != concept or row["number"] != "own" or row["strategy"] == "random":
            continue
        name = f"{row['strategy']}, {row['count']}" + (f", {row['control']}" if row["control"] else "")
        own = [f"{by_class[i, 0, split.classes.index(c)]:+.2f}" for c in SHOWN]
        lines.append(f"| {name} | {' | '.join(own)} | {np.nanmean(by_class[i, 0, others]):+.2f} |")
    return lines


def report(d: Dissection, tagger: Path) -> tuple[str, dict[str, Any]]:
    """Return the report as Markdown, and its figures by name."""
    split = read_split(d)
    stated = split.probabilities(split.before)
    figures: dict[str, Any] = {"apart": float(np.abs(stated - plain_probabilities(d, split.clips, tagger)).max())}
    notes = d.notes("split")
    figures |= {"classes": notes["classes_tested"], "mean average precision": notes["accuracy"]}
    lines = [
        "# An AudioSet tagger on ESC-10", "",
        f"{d.notes('activations')['target']}: {d.neuron_count} neurons in {len(d.layers)} layers "
        f"({', '.join(f'{layer.name} {layer.size}' for layer in d.layers)}), {len(d.clips)} clips.", "",
        "## Predictions", "",
        f"Largest difference to a plain use of the network, on {len(split.clips)} clips and 527 classes: "
        f"{figures['apart']:.1e}.",
        f"Mean average precision over the {figures['classes']} classes that the class map gives a label, on fold 5: "
        f"{figures['mean average precision']:.1f} %.", "",
        "## Last layer", "",
        f"Units of the {d.notes('last_layer')['classes']} mapped classes that are named after a label which their "
        "class stands for:", "",
        "| similarity | top-1 % | top-5 % | cos |", "|---|---|---|---|",
    ]  # fmt: skip
    for row in d.last_layer_scores:
        lines.append(f"| {row['similarity']} | {row['top1']:.0f} | {row['top5']:.0f} | {row['cos']:.2f} |")
        figures[f"last layer, {row['similarity']}"] = row["top1"]
    lines += ["", f"## Ten hidden neurons (seed {SEED})", ""]
    hidden = sum(layer.size for layer in d.layers if layer.kind != "fc")
    rates, hits, misses = base_rates(d), 0, 0
    for index in np.sort(np.random.default_rng(SEED).choice(hidden, DRAWN, replace=False)):
        said, good, bad = describe(d, int(index), rates)
        lines += said
        hits, misses = hits + good, misses + bad
    figures |= {"hits": hits, "misses": misses}
    lines += [
        "", f"{hits} hits, {misses} misses.", "",
        "## Unlearning dog", "",
        "Change of each class's own logit on the clips that have it, on fold 5:", "",
        *effects(d, "dog"), "",
    ]  # fmt: skip
    own = next(
        row for row in d.unlearning_runs.to_pylist()
        if row["concept"] == "dog" and row["strategy"] == "DB" and row["number"] == "own" and not row["control"]
    )  # fmt: skip
    figures |= {"ablating": own["ablating"], "remaining": own["remaining"]}
    lines += [
        f"By DB, Dog's average precision goes from {own['concept_accuracy_before']:.1f} to "
        f"{own['concept_accuracy_after']:.1f} %, the mean over all tested classes from {own['accuracy_before']:.1f} to "
        f"{own['accuracy_after']:.1f} %.", "",
    ]  # fmt: skip
    return "\n".join(lines), figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder of dissections")
    parser.add_argument("--out", type=Path, default=HERE / "report.md")
    parser.add_argument("--numbers", type=Path, help="where the figures are written as JSON")
    options = parser.parse_args()
    for part in ("audioset_crnn/model.safetensors", "esc10/meta"):
        if not (options.data / part).exists():
            sys.exit(f"{options.data / part} is not there; README.md says where it comes from")
    outcome = pipeline.run(configuration(options.data), root=options.cache)
    text, figures = report(open_dissection(outcome.folder.name, outcome.folder.parent), options.data / "audioset_crnn")
    options.out.write_text(text, encoding="utf-8")
    if options.numbers is not None:
        options.numbers.write_text(json.dumps(figures, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
