"""Training recipe of the demo's AST: supervised on synthetic clips, from nothing, in minutes on two cores."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ASTConfig, ASTForAudioClassification

from and_core.audio.fbank import kaldi_fbank
from and_core.demo import corpus
from and_core.demo.synth import SAMPLE_RATE

Progress = Callable[[int, int, str], None]
TEST_FOLD = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights; stored beside them."""

    seed: int = 0
    extra_per_category: int = 200
    extra_seed: int = 101
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
    """Un-normalised log-mel features (clips, frames, mel bins), zero-padded or cut to `frames`."""
    parts = [kaldi_fbank(torch.from_numpy(waves[i : i + 256].astype(np.float32) / 32768), mel_bins=mel_bins) for i in range(0, len(waves), 256)]
    x = torch.cat(parts)[:, :frames]
    return x if x.shape[1] == frames else F.pad(x, (0, 0, 0, frames - x.shape[1]))


def training_data(recipe: Recipe, progress: Progress) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training features and labels, then those of the probing corpus's test fold, which is never trained on."""
    jobs = corpus.corpus_jobs() + corpus.corpus_jobs(recipe.extra_per_category, recipe.extra_seed)
    waves = np.empty((len(jobs), corpus.SAMPLES), np.int16)
    labels = np.empty(len(jobs), np.int64)
    test = np.zeros(len(jobs), bool)
    for i, (wave, truth) in enumerate(corpus.make_many(jobs)):
        waves[i] = np.round(wave * 32767)
        labels[i] = corpus.CATEGORIES.index(truth.category)
        test[i] = truth.seed == 0 and truth.fold == TEST_FOLD
        if i % 100 == 0:
            progress(i, len(jobs), "synthesising training clips")
    x = features(waves, recipe.mel_bins, recipe.frames)
    y = torch.from_numpy(labels)
    held = torch.from_numpy(test)
    return x[~held], y[~held], x[held], y[held]


def build(recipe: Recipe, classes: tuple[str, ...] = corpus.CATEGORIES) -> ASTForAudioClassification:
    """The network, randomly initialised from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    names = dict(enumerate(classes))
    config = ASTConfig(
        hidden_size=recipe.width, num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads, intermediate_size=recipe.mlp,
        patch_size=recipe.patch, frequency_stride=recipe.patch, time_stride=recipe.patch, max_length=recipe.frames,
        num_mel_bins=recipe.mel_bins, id2label=names, label2id={v: k for k, v in names.items()},
    )  # fmt: skip
    config._attn_implementation = "eager"
    return ASTForAudioClassification(config)


def augment(x: torch.Tensor, recipe: Recipe, rng: torch.Generator, scale: float) -> torch.Tensor:
    """Random roll in time, small gain, two time masks and one mel mask; `x` is normalised (B, frames, mel)."""
    batch, frames, bins = x.shape
    shift = torch.randint(frames, (batch, 1), generator=rng)
    x = x.gather(1, ((torch.arange(frames)[None] + shift) % frames)[..., None].expand(-1, -1, bins))
    gain = (torch.rand(batch, 1, 1, generator=rng) * 2 - 1) * recipe.gain_db / 10 * float(np.log(10)) / scale
    x = x + gain
    for axis, length, times in ((1, 40, 2), (2, 10, 1)):
        for _ in range(times):
            size = x.shape[axis]
            width = torch.randint(1, length, (batch, 1), generator=rng)
            start = (torch.rand(batch, 1, generator=rng) * (size - width)).long()
            index = torch.arange(size)[None]
            keep = (index < start) | (index >= start + width)
            x = x * (keep[:, :, None] if axis == 1 else keep[:, None, :])
    return x


def train(folder: Path, recipe: Recipe | None = None, progress: Progress = lambda done, total, what: None) -> dict[str, object]:
    """Train the network and write it in the hub's own format.

    Parameters
    ----------
    folder : Path
        Written: `config.json`, `model.safetensors` (float16), `preprocessor_config.json`, `recipe.json`.

    Returns
    -------
    dict
        Contents of `recipe.json`: recipe, data fingerprint, test accuracy, seconds.
    """
    recipe = recipe or Recipe()
    began = time.time()
    x, y, test_x, test_y = training_data(recipe, progress)
    mean, std = float(x.mean()), float(x.std())
    scale = 2 * std
    x, test_x = (x - mean) / scale, (test_x - mean) / scale
    model = build(recipe)
    fit(model, x, y, recipe, scale, progress)
    model.eval().half().float()  # measure what is shipped: weights rounded to float16
    accuracy = evaluate(model, test_x, test_y)
    report = {
        "recipe": asdict(recipe),
        "data": corpus.fingerprint(recipe.extra_per_category, recipe.extra_seed),
        "test_fold": TEST_FOLD,
        "test_accuracy": round(accuracy, 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.time() - began),
    }
    save(model.half(), folder, recipe, mean, std, report)
    return report


def fit(model: ASTForAudioClassification, x: torch.Tensor, y: torch.Tensor, recipe: Recipe, scale: float, progress: Progress) -> None:
    """Train in place on normalised features `x` (clips, frames, mel) and labels `y`; `scale` is what normalising divided by."""
    rng = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    steps = recipe.epochs * (len(x) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1, (i + 1) / recipe.warmup) * 0.5 * (1 + np.cos(np.pi * i / steps)))
    step = 0
    model.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(x), generator=rng)
        for chunk in order[: len(x) // recipe.batch * recipe.batch].split(recipe.batch):
            with half_precision():
                logits = model(augment(x[chunk], recipe, rng, scale)).logits
            loss = F.cross_entropy(logits.float(), y[chunk], label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            if step % 10 == 0:
                progress(step, steps, f"training, pass {epoch + 1} of {recipe.epochs}, loss {loss.item():.2f}")


def half_precision() -> AbstractContextManager[Any]:
    """bfloat16 autocast where the processor has it, else nothing."""
    bf16 = "bf16" in torch.backends.cpu.get_cpu_capability().lower() or _has_avx512_bf16()
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def _has_avx512_bf16() -> bool:
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@torch.inference_mode()
def evaluate(model: ASTForAudioClassification, x: torch.Tensor, y: torch.Tensor) -> float:
    """Top-1 accuracy."""
    hits = [(model(chunk).logits.argmax(-1) == label).sum().item() for chunk, label in zip(x.split(128), y.split(128), strict=True)]
    return sum(hits) / len(y)


def save(model: ASTForAudioClassification, folder: Path, recipe: Recipe, mean: float, std: float, report: dict[str, object]) -> None:
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
