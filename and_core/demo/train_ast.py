"""Training recipe of the demo's AST: supervised on synthetic clips, from nothing, in minutes on two cores."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ASTConfig, ASTForAudioClassification

from and_core.audio.fbank import kaldi_fbank
from and_core.corpus import clips as corpus
from and_core.corpus.synth import SAMPLE_RATE
from and_core.demo.training import Sounds, augment, cosine, evaluate, half_precision
from and_core.progress import Progress, silent


@dataclass(frozen=True)
class ASTRecipe:
    """Everything that decides the weights; stored beside them."""

    seed: int = 0
    mel_bins: int = 64
    frames: int = 300
    patch: int = 16
    layers: int = 4
    width: int = 128
    mlp: int = 512
    heads: int = 4
    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 175
    label_smoothing: float = 0.05
    gain_db: float = 3.0


def features(waves: np.ndarray, mel_bins: int, frames: int) -> torch.Tensor:
    """Return un-normalised log-mel features (clips, frames, mel bins), zero-padded or cut to `frames`."""
    parts = [
        kaldi_fbank(torch.from_numpy(waves[i : i + 256].astype(np.float32) / 32768), mel_bins=mel_bins)
        for i in range(0, len(waves), 256)
    ]
    x = torch.cat(parts)[:, :frames]
    return x if x.shape[1] == frames else F.pad(x, (0, 0, 0, frames - x.shape[1]))


def build(recipe: ASTRecipe, classes: tuple[str, ...] = corpus.CATEGORIES) -> ASTForAudioClassification:
    """Return the network, randomly initialised from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    names = dict(enumerate(classes))
    config = ASTConfig(
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.mlp,
        patch_size=recipe.patch,
        frequency_stride=recipe.patch,
        time_stride=recipe.patch,
        max_length=recipe.frames,
        num_mel_bins=recipe.mel_bins,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    config._attn_implementation = "eager"
    return ASTForAudioClassification(config)


def train(
    folder: Path, sounds: Sounds, recipe: ASTRecipe | None = None, progress: Progress = silent
) -> dict[str, object]:
    """Train the network and write it in the hub's own format.

    Parameters
    ----------
    folder : Path
        Written: `config.json`, `model.safetensors` (float16), `preprocessor_config.json`, `recipe.json`.
    sounds : Sounds
        Clips to train and to test on.

    Returns
    -------
    dict
        Contents of `recipe.json`: recipe, data fingerprint, test accuracy, seconds.
    """
    recipe = recipe or ASTRecipe()
    began = time.time()
    every = features(sounds.waves, recipe.mel_bins, recipe.frames)
    (x, y), (test_x, test_y) = sounds.split(every)
    mean, std = float(x.mean()), float(x.std())
    scale = 2 * std
    x, test_x = (x - mean) / scale, (test_x - mean) / scale
    model = build(recipe)
    fit(model, x, y, recipe, scale, progress)
    model.eval().half().float()  # measure what is shipped: weights rounded to float16
    accuracy = evaluate(model, test_x, test_y)
    report = {
        "recipe": asdict(recipe),
        "clips": sounds.about,
        "test_accuracy": round(accuracy, 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.time() - began),
    }
    save(model.half(), folder, recipe, mean, std, report)
    return report


def fit(
    model: ASTForAudioClassification,
    x: torch.Tensor,
    y: torch.Tensor,
    recipe: ASTRecipe,
    scale: float,
    progress: Progress,
) -> None:
    """Train in place on normalised features `x` (clips, frames, mel) and labels `y`.

    `scale` is what normalising divided by.
    """
    rng = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * (len(x) // recipe.batch)
    schedule = cosine(optimiser, recipe.warmup, steps)
    step = 0
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(x), generator=rng)
        for chunk in order[: len(x) // recipe.batch * recipe.batch].split(recipe.batch):
            with half_precision():
                logits = model(augment(x[chunk], rng, recipe.gain_db, scale)).logits
            loss = F.cross_entropy(logits.float(), y[chunk], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % 10 == 0:
                progress(f"training, pass {epoch + 1} of {recipe.epochs}, loss {loss.item():.2f}", step, steps)


def save(
    model: ASTForAudioClassification,
    folder: Path,
    recipe: ASTRecipe,
    mean: float,
    std: float,
    report: dict[str, object],
) -> None:
    """Write the checkpoint as `save_pretrained` does, with the feature extractor's settings and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    extractor = {
        "feature_extractor_type": "ASTFeatureExtractor", "num_mel_bins": recipe.mel_bins, "max_length": recipe.frames,
        "sampling_rate": SAMPLE_RATE, "do_normalize": True, "mean": mean, "std": std, "return_attention_mask": False,
        "feature_size": 1, "padding_value": 0.0,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor, indent=2) + "\n")
    report = {**report, "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()}
    (folder / "recipe.json").write_text(json.dumps(report, indent=2) + "\n")
