"""Dissect the network of train.py and report which units tell digits apart, and which tell speakers.

    python examples/speech/dissect.py

Runs config.yaml and writes report.md. A unit tells digits where the digit explains more of its activation's variance
over the test recordings (eta squared) than chance allows: digits are dealt out anew within each speaker, and the
highest value of the whole layer counts, so that of layers where no unit tells anything, 5 % would seem to have one.
Speakers likewise, dealt out within each digit. Explanations are made from the other recordings.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom, rankdata
from train import DIGITS, TEST

from and_core import Dissection, open_dissection, pipeline
from and_core.config import load_config
from and_core.dissect.summarize import CommonalitySettings
from and_core.store.files import cache_root

HERE = Path(__file__).resolve().parent
SEED = 0
DRAWS = 1000
LEVEL = 0.05
CLASSIFIER = "fc"


def run(cache: Path) -> Dissection:
    """Return the dissection of the network and recordings below a cache."""
    config = load_config(HERE / "config.yaml")
    dataset = config.dataset.model_copy(update={"path": str(cache / "data" / "spoken-digits")})
    target = config.target.model_copy(update={"checkpoint": str(cache / "models" / "speech-digits")})
    pipeline.run(config.model_copy(update={"dataset": dataset, "target": target}), root=cache)
    return open_dissection(config.name, root=cache)


def eta_squared(activations: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return (R,) share of the variance of (N, R) activations that lies between groups (N,); 0 for a constant."""
    centred = activations - activations.mean(0)
    members = groups[None] == np.unique(groups)[:, None]
    means = members @ centred / members.sum(1, keepdims=True)
    between, total = (members.sum(1, keepdims=True) * means**2).sum(0), (centred**2).sum(0)
    return between / np.where(total > 0, total, np.inf)


def dealt_within(groups: np.ndarray, blocks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return groups (N,) permuted inside each block (N,)."""
    dealt = groups.copy()
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        dealt[rows] = groups[rng.permutation(rows)]
    return dealt


def threshold(activations: np.ndarray, groups: np.ndarray, blocks: np.ndarray) -> float:
    """Return the eta squared that the best unit of a layer reaches by chance in 5 % of the draws."""
    rng = np.random.default_rng(SEED)
    best = [eta_squared(activations, dealt_within(groups, blocks, rng)).max() for _ in range(DRAWS)]
    return float(np.quantile(best, 1 - LEVEL))


def auroc(values: np.ndarray, of_group: np.ndarray) -> float:
    """Return the probability that a recording of a group lies above one of the others."""
    count = of_group.sum()
    ranks = rankdata(values)[of_group].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (~of_group).sum()))


def named(d: Dissection, index: int, beginning: str) -> list[str]:
    """Return what the calibrated summary of a neuron names after the words "the word" or "the voice of"."""
    texts = [p.text for p in d.summary(d.neuron_id(index)) if p.kept and not p.attribute]
    return [text.removeprefix(beginning).strip() for text in texts if text.startswith(beginning)]


def measure(d: Dissection) -> dict[str, Any]:
    """Return, for each layer, both eta squared of each unit with their thresholds; and how summaries fare."""
    rows = d.clip_table.to_pylist()
    test = np.flatnonzero([row["fold"] == TEST for row in rows])
    digit, speaker = (np.array([rows[i][what] for i in test]) for what in ("label", "speaker"))
    layers: list[dict[str, Any]] = []
    named_auroc: dict[str, list[float]] = {"digit": [], "speaker": []}
    for layer in d.layers:
        activations = np.asarray(d.layer_activations(layer.name), np.float64)[test]
        layers.append(
            {
                "name": layer.name,
                "digit": eta_squared(activations, digit).tolist(),
                "speaker": eta_squared(activations, speaker).tolist(),
                "digit_threshold": threshold(activations, digit, speaker),
                "speaker_threshold": threshold(activations, speaker, digit),
            }
        )
        for what, groups, beginning in (("digit", digit, "the word"), ("speaker", speaker, "the voice of")):
            for unit in range(layer.size):
                for name in named(d, layer.offset + unit, beginning):
                    named_auroc[what].append(auroc(activations[:, unit], groups == name))
    return {"test": len(test), "speakers": len(set(speaker)), "layers": layers, "named": named_auroc}


def telling(layer: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) bool: units of a layer that tell digits, and that tell speakers."""
    return tuple(np.array(layer[what]) > layer[f"{what}_threshold"] for what in ("digit", "speaker"))


def table(numbers: dict[str, Any]) -> list[str]:
    """Return the table of layers."""
    lines = [
        "| layer | units | digits alone | speakers alone | both | neither | median eta² | threshold |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for layer in numbers["layers"]:
        digit, speaker = telling(layer)
        parts = (digit & ~speaker, speaker & ~digit, digit & speaker, ~digit & ~speaker)
        shares = " | ".join(f"{100 * part.mean():.0f} %" for part in parts)
        medians = f"{np.median(layer['digit']):.2f}, {np.median(layer['speaker']):.2f}"
        bounds = f"{layer['digit_threshold']:.2f}, {layer['speaker_threshold']:.2f}"
        name = layer["name"].removeprefix("wav2vec2.")
        lines.append(f"| {name} | {len(digit)} | {shares} | {medians} | {bounds} |")
    return lines


def example(d: Dissection, layer: dict[str, Any], unit: int) -> str:
    """Return one unit as a line."""
    neuron = f"{layer['name']}/{unit}"
    digit, speaker = (mask[unit] for mask in telling(layer))
    tells = {(True, True): "both", (True, False): "digits", (False, True): "speakers", (False, False): "neither"}
    row = d.explanation(neuron)
    summary = "; ".join(p.text for p in d.summary(neuron) if p.kept) or "nothing in common"
    return (
        f"- **{neuron}** tells {tells[bool(digit), bool(speaker)]} (eta² {layer['digit'][unit]:.2f}, "
        f"{layer['speaker'][unit]:.2f}): {summary}; closest class: {row['concept']}"
    )


def report(d: Dissection, recipe: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Return the report as Markdown; equal dissections give equal bytes."""
    rng = np.random.default_rng(SEED)
    every = [(layer, unit) for layer in numbers["layers"] for unit in range(len(layer["digit"]))]
    drawn = sorted(rng.choice(len(every), 10, replace=False).tolist())
    means = []
    least = math.ceil(CommonalitySettings().share * d.k)
    for what, phrase, groups in (("digit", "the word", len(DIGITS)), ("speaker", "the voice", numbers["speakers"])):
        values = np.array(numbers["named"][what])
        chance = groups * binom.sf(least - 1, d.k, 1 / groups)
        if len(values):
            means.append(
                f"- Summaries name {phrase} {len(values)} times; on the test recordings that {what} lies above the "
                f"others with a probability (AUROC) of {values.mean():.2f} on average, and of more than one half in "
                f"{100 * np.mean(values > 0.5):.0f} %. Of {d.k} random recordings, at least {least} share {phrase} in "
                f"{100 * chance:.0f} % of all draws."
            )
    return "\n".join(
        [
            "# A network for spoken digits, as dissected",
            "",
            f"Test accuracy: **{100 * recipe['test_accuracy']:.1f} %** of {recipe['test_recordings']} recordings "
            f"(chance 10 %), {recipe['parameters']} parameters, {recipe['epochs']} epochs, seed {recipe['seed']}.",
            "",
            "## Which units tell digits, and which tell speakers",
            "",
            f"Share of a layer's units, on the {numbers['test']} test recordings; {DRAWS} permutations a layer, 5 % "
            "for the layer as a whole. Medians and thresholds: of digits, of speakers.",
            "",
            *table(numbers),
            "",
            *means,
            "",
            "## Ten units, drawn before anything was known of them",
            "",
            *(example(d, *every[i]) for i in drawn),
            "",
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=cache_root())
    parser.add_argument("--out", type=Path, default=HERE / "report.md")
    parser.add_argument("--numbers", type=Path, help="also write the numbers alone, as JSON")
    options = parser.parse_args()
    d = run(options.cache)
    recipe = json.loads((options.cache / "models" / "speech-digits" / "recipe.json").read_text())
    numbers = measure(d)
    text = report(d, recipe, numbers)
    options.out.write_text(text, encoding="utf-8")
    if options.numbers is not None:
        shares = {x["name"]: [float(mask.mean()) for mask in telling(x)] for x in numbers["layers"]}
        brief = {"test_accuracy": recipe["test_accuracy"], "shares": shares, "named": numbers["named"]}
        options.numbers.write_text(json.dumps(brief, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
