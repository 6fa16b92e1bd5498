"""Train a small AST on ESC-10 (folds 1-4; fold 5 is the test) and report how it does, also on the synthetic corpus.

    python examples/esc10/train.py --data PATH/TO/esc10 --out cache/models/esc10-ast

PATH holds `audio/` and `meta/*.csv` in ESC-50's layout. The network starts from the package's demo AST (its positions
are stretched from 3 s to 5 s); `--scratch` starts from random weights instead. The test fold is looked at once, after
the
last step.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ASTForAudioClassification

from and_core.audio.decode import resample
from and_core.config import PluginConfig
from and_core.corpus import clips as corpus
from and_core.datasets.base import DATASETS
from and_core.demo.train_ast import ASTRecipe, build, features, fit, save
from and_core.demo.training import evaluate
from and_core.targets.ast import DEMO

SECONDS, FRAMES = 5, 512
RECIPE = ASTRecipe(frames=FRAMES, epochs=60, batch=32, learning_rate=6e-4, warmup=60, label_smoothing=0.1, gain_db=6.0)


def load_clips(data: Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Waveforms (clips, samples) int16 at 16 kHz, labels and folds; every clip is cut or zero-padded to 5 s."""
    dataset = DATASETS.create(PluginConfig(kind="esc50", path=str(data)))
    refs = dataset.references()
    waves = np.zeros((len(refs), SECONDS * 16_000), np.int16)
    for i, ref in enumerate(refs):
        wave, rate = dataset.read(ref)
        wave = resample(wave, rate, 16_000)[: waves.shape[1]]
        waves[i, : len(wave)] = np.round(np.clip(wave, -1, 1) * 32767)
    return waves, [str(ref.label) for ref in refs], np.array([ref.fold for ref in refs])


def start_from_demo(model: ASTForAudioClassification) -> None:
    """Copy the demo's weights; time positions are interpolated, the classifier stays new."""
    demo = ASTForAudioClassification.from_pretrained(DEMO, dtype=torch.float32).state_dict()
    own = model.state_dict()
    for name, value in demo.items():
        if name.endswith("position_embeddings"):
            special, grid = value[:, :2], value[:, 2:].reshape(1, 4, 18, -1).permute(0, 3, 1, 2)
            grid = F.interpolate(grid, (4, FRAMES // 16), mode="bilinear", align_corners=False)
            value = torch.cat([special, grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)
        if own[name].shape == value.shape and not name.startswith("classifier.dense"):
            own[name] = value
    model.load_state_dict(own)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("cache/models/esc10-ast"))
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = replace(RECIPE, seed=options.seed)
    began = time.time()
    waves, labels, folds = load_clips(options.data)
    names = sorted(set(labels))
    y = torch.tensor([names.index(label) for label in labels])
    x = features(waves, recipe.mel_bins, FRAMES)
    train, test = torch.from_numpy(folds != 5), torch.from_numpy(folds == 5)
    mean, std = float(x[train].mean()), float(x[train].std())
    x = (x - mean) / (2 * std)

    model = build(recipe, tuple(names))
    if not options.scratch:
        start_from_demo(model)
    fit(
        model,
        x[train],
        y[train],
        recipe,
        2 * std,
        lambda what, done, total: print(f"{done}/{total} {what}", flush=True) if done % 50 == 0 else None,
    )
    model.eval().half().float()

    shared = [(wave, truth.category) for wave, truth in corpus.make_many(corpus.corpus_jobs(categories=tuple(names)))]
    other = np.zeros((len(shared), waves.shape[1]), np.int16)
    for i, (wave, _) in enumerate(shared):
        other[i, : len(wave)] = np.round(wave * 32767)
    synthetic_x = (features(other, recipe.mel_bins, FRAMES) - mean) / (2 * std)
    synthetic_y = torch.tensor([names.index(label) for _, label in shared])
    report = {
        "start": "random" if options.scratch else "demo AST", "clips": len(y), "train_clips": int(train.sum()),
        "test_fold": 5, "test_accuracy": round(evaluate(model, x[test], y[test]), 4),
        "synthetic_clips": len(shared), "synthetic_accuracy": round(evaluate(model, synthetic_x, synthetic_y), 4),
        "chance": round(1 / len(names), 4), "minutes": round((time.time() - began) / 60, 2), "seed": recipe.seed,
    }  # fmt: skip
    save(model.half(), options.out, recipe, mean, std, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
