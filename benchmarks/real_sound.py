"""What headlines are worth on real sound whose labels the run does not see.

    python -m benchmarks.real_sound ../shared/data/esc10 --tagger examples/audioset/config.yaml

The collection (in ESC-50's layout) is parted by fold: on the first folds, with labels, the ears are measured
(`and-dissect ears`); the others are dissected from a flat folder without labels. Right: the concept that is said is
the neuron's best by the area under the ROC curve of the hidden labels.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from and_core import open_dissection, pipeline
from and_core.config import load_config, make_config
from and_core.evaluate.confidence import expected_error, reliability
from and_core.evaluate.ears import best_concepts
from and_core.evaluate.reliability import save
from and_core.names import plain_name
from and_core.pipeline.ears import measure
from and_core.progress import silent
from and_core.store.dissection import Dissection
from and_core.store.headline import SURE, headlines
from and_core.unlearn.selection import hidden

CLEAR = 0.9  # area under the ROC curve from which a neuron has a class
LEAST_OF_BIN = 50


@dataclass(frozen=True)
class Setting:
    """One run: a network, the ears, the concepts it may name."""

    target: dict[str, Any]
    tagger: bool
    concepts: str


def parted(data: Path, to: Path, home_folds: Sequence[int]) -> dict[str, str]:
    """Write both parts of a collection to `to`; return the label of each file of the part without labels."""
    (table,) = (data / "meta").glob("*.csv")
    with table.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    home = [row for row in rows if int(row["fold"]) in home_folds]
    here = [row for row in rows if int(row["fold"]) not in home_folds]
    for folder, part in ((to / "home" / "audio", home), (to / "here", here)):
        if not folder.exists():
            folder.mkdir(parents=True)
            for row in part:
                shutil.copy(data / "audio" / row["filename"], folder / row["filename"])
    (to / "home" / "meta").mkdir(exist_ok=True)
    with (to / "home" / "meta" / "part.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(home)
    return {row["filename"]: row["category"] for row in here}


def concept_file(which: str, labels: Sequence[str], to: Path) -> str:
    """Return the concept set: `own`, the collection's classes, or a bundled one."""
    if which != "own":
        return which
    path = to / "concepts.txt"
    path.write_text("\n".join(sorted(set(labels))) + "\n", encoding="utf-8")
    return str(path)


def ears_of(setting: Setting, tagger: dict[str, Any] | None, patterns: Sequence[str]) -> dict[str, Any]:
    """Return the part of a configuration that hears: captioner and text-audio encoder."""
    if setting.tagger:
        return {
            "captions": {"kind": "tagger", "target": tagger, "classes": list(patterns)},
            "audio_encoder": {"kind": "tagger", "target": tagger},
        }
    return {"captions": {"kind": "acoustic"}, "audio_encoder": {"kind": "small_clap"}}


def dissected(name: str, setting: Setting, parts: dict[str, Any], to: Path, root: Path) -> Dissection:
    """Measure the ears on the part with labels, where this was not done, and dissect the other."""
    shared = {"target": setting.target, "closed": {"concepts": parts["concepts"]}, "unlearning": None, **parts["ears"]}
    measured = to / f"{'tagger' if setting.tagger else 'clap'}.safetensors"
    if not measured.exists():
        at_home = {**shared, "name": f"{name}-home", "dataset": {"kind": "esc50", "path": str(to / "home")}}
        at_home["closed"] = {"concepts": concept_file("own", parts["labels"], to)}
        home, _ = measure(make_config(at_home), root=root)
        save(measured, home)
    here = {**shared, "name": name, "dataset": {"kind": "folder", "path": str(to / "here")}}
    here["scores"] = {"ears": str(measured)}
    pipeline.run(make_config(here), root=root, progress=silent)
    return open_dissection(name, root=root)


def figures(d: Dissection, labels: dict[str, str]) -> dict[str, Any]:
    """Compare what is said of hidden neurons with their best class by labels."""
    names = list(d.concept_set)
    place = {plain_name(name): m for m, name in enumerate(names)}
    truth = np.zeros((len(d.clips), len(names)), bool)
    for n, clip in enumerate(d.clips):
        truth[n, place[plain_name(labels[Path(clip.name).name])]] = True
    layers = hidden(d.layers)
    rows = np.concatenate([np.arange(layer.offset, layer.offset + layer.size) for layer in layers])
    parts = [best_concepts(np.asarray(d.layer_activations(layer.name), np.float32).T, truth) for layer in layers]
    best, area = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    every = headlines(d)
    named = np.array([place.get(plain_name(c), -1) if c else -1 for c in every.concept])[rows]
    right, stated = named == best, every.probability[rows]
    shown = np.nan_to_num(stated) >= SURE
    clear = area >= CLEAR
    return {
        "neurons": len(rows), "clear": int(clear.sum()), "headlines": int(shown.sum()),
        "right": float(right[shown].mean()) if shown.any() else float("nan"),
        "stated": float(stated[shown].mean()) if shown.any() else float("nan"),
        "coverage": float(shown[clear].mean()) if clear.any() else float("nan"),
        "right_of_clear": float(right[clear & shown].mean()) if (clear & shown).any() else float("nan"),
        "auroc": separated(stated[shown], right[shown]),
        "auroc_of_all": separated(stated[np.isfinite(stated)], right[np.isfinite(stated)]),
        "error": expected_error(stated[shown], right[shown]) if shown.any() else float("nan"),
        "bins": [row for row in reliability(stated, right, 10) if row["explanations"] >= LEAST_OF_BIN],
        "planted_error": d.notes("confidence").get("error"),
        "methods": dict(by_method(d, rows, best, place)),
    }  # fmt: skip


def by_method(
    d: Dissection, rows: np.ndarray, best: np.ndarray, place: dict[str, int]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Return for each method how many neurons it names, how many right, and the same where its probability is high."""
    methods = d.calibrated_methods
    probability = d.calibrated[:, rows] if methods else np.zeros((0, len(rows)))
    table, names = d.explanation_table, np.array([*place, ""], object)
    columns = {"DB": table["concept"].to_pylist(), "SUM": table["thing"].to_pylist()}
    if d.has("tab"):
        columns["TAB"] = [names[m] for m in d.best_concepts("TAB", d.similarity)[:, 0]]
    if "PC" in methods:
        columns["PC"] = [names[m] for m in d.presence_concepts]
    for method, concepts in columns.items():
        which = np.array([place.get(plain_name(c), -1) if c else -1 for c in concepts])[rows]
        says, right = which >= 0, which == best
        row = {"named": int(says.sum()), "right": float(right[says].mean()) if says.any() else float("nan")}
        if method in methods:
            sure = says & (np.nan_to_num(probability[methods.index(method)]) >= SURE)
            row |= {"sure": int(sure.sum()), "sure_right": float(right[sure].mean()) if sure.any() else float("nan")}
        yield method, row


def separated(stated: np.ndarray, right: np.ndarray) -> float:
    """Return the area under the ROC curve of stated probabilities, right against wrong."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, stated)) if right.any() and not right.all() else float("nan")


def main() -> None:
    """Run the trials and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tagger", type=Path, help="configuration whose target is the tagger")
    parser.add_argument("--target", action="append", help="KIND:CHECKPOINT, the demo's networks without any")
    parser.add_argument("--home", type=int, nargs="+", default=[1, 2], help="folds on which ears are measured")
    parser.add_argument("--concepts", nargs="+", default=["own", "esc50"])
    parser.add_argument("--classes", nargs="+", default=["*"], help="of the tagger, that captions may name")
    parser.add_argument("--root", type=Path, required=True, help="folder for everything that is made")
    asked = parser.parse_args()
    tagger = None
    if asked.tagger:
        tagger = load_config(asked.tagger).target.model_dump(mode="json", exclude_none=True)
    to = asked.root / f"home-{'-'.join(map(str, asked.home))}"
    labels = parted(asked.data, to, asked.home)
    targets = [dict(zip(("kind", "checkpoint"), t.split(":", 1), strict=True)) for t in asked.target or []]
    for target in targets or [{"kind": "ast", "checkpoint": "demo"}, {"kind": "beats", "checkpoint": "demo-frozen"}]:
        for with_tagger in (True, False) if tagger else (False,):
            for concepts in asked.concepts:
                setting = Setting(target, with_tagger, concepts)
                parts = {
                    "ears": ears_of(setting, tagger, asked.classes), "labels": list(labels.values()),
                    "concepts": concept_file(concepts, list(labels.values()), to),
                }  # fmt: skip
                checkpoint = Path(target["checkpoint"]).name
                name = f"{target['kind']}-{checkpoint}-{'tagger' if with_tagger else 'clap'}-{concepts}"
                d = dissected(name, setting, parts, to, asked.root / "cache")
                show(name, figures(d, labels))


def show(name: str, values: dict[str, Any]) -> None:
    """Print the figures of one setting."""
    bins, methods = values.pop("bins"), values.pop("methods")
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}
    print(name, rounded, flush=True)
    for row in bins:
        print("   stated {said:.2f}  right {hold:.2f}  of {explanations}".format(**row))
    for method, row in methods.items():
        print(f"   {method:4}", {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)


if __name__ == "__main__":
    main()
