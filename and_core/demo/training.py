"""What the demo's training recipes share: clips, augmentation, learning-rate schedule, accuracy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from and_core.audio.measures import measure
from and_core.corpus import clips as corpus
from and_core.corpus.captions import write_caption
from and_core.progress import Progress, silent

Masks = tuple[tuple[int, int, int], ...]
MASKS: Masks = ((1, 40, 2), (2, 10, 1))
TEST_FOLD = 1
EXTRA_PER_CATEGORY, EXTRA_SEED = 200, 101
CAPTIONED = 80  # of the extra clips of a category: measuring a clip takes six times as long as making it


@dataclass(frozen=True)
class Sounds:
    """The probing corpus and as many clips again as training asks for.

    Attributes
    ----------
    waves : (N, samples) int16
    labels : (N,) int64
    test : (N,) bool
        Clips of the probing corpus's test fold, which is never trained on.
    captions : list of str
        What the corpus's listener writes of each; empty beyond the first :data:`CAPTIONED` of a category.
    about : dict
        How the training clips were drawn, for the reports beside the weights.
    """

    waves: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    captions: list[str]
    about: dict[str, object]

    def split(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return rows of `x` and their labels: those to train on, those to test on."""
        held, y = torch.from_numpy(self.test), torch.from_numpy(self.labels)
        return (x[~held], y[~held]), (x[held], y[held])


def synthesise(
    progress: Progress = silent,
    extra: int = EXTRA_PER_CATEGORY,
    seed: int = EXTRA_SEED,
    categories: tuple[str, ...] = corpus.CATEGORIES,
) -> Sounds:
    """Return the probing corpus, and `extra` clips a category from another seed."""
    jobs = corpus.corpus_jobs(categories=categories) + corpus.corpus_jobs(extra, seed, categories)
    waves = np.empty((len(jobs), corpus.SAMPLES), np.int16)
    labels = np.empty(len(jobs), np.int64)
    test = np.zeros(len(jobs), bool)
    captions = []
    from loky import ProcessPoolExecutor  # its workers do not run the caller's script again

    with ProcessPoolExecutor(2) as pool:
        for i, (wave, truth, caption) in enumerate(pool.map(_described, jobs, chunksize=16)):
            waves[i] = wave
            labels[i] = categories.index(truth.category)
            test[i] = truth.seed == 0 and truth.fold == TEST_FOLD
            captions.append(caption)
            if i % 100 == 0:
                progress("synthesising training clips", i, len(jobs))
    about = {
        "extra_per_category": extra,
        "seed": seed,
        "fingerprint": corpus.fingerprint(extra, seed, categories),
        "test_fold": TEST_FOLD,
    }
    return Sounds(waves, labels, test, captions, about)


def _described(job: tuple[str, int, int]) -> tuple[np.ndarray, corpus.Truth, str]:
    category, index, seed = job
    wave, truth = corpus.make_clip(category, index, seed)
    if index >= CAPTIONED:
        return np.round(wave * 32767).astype(np.int16), truth, ""
    row = {**measure(wave).as_dict(), **corpus.truth_row(truth), "recipe": f"{category}/{index}/{seed}"}
    return np.round(wave * 32767).astype(np.int16), truth, write_caption(row)


def augment(x: torch.Tensor, rng: torch.Generator, gain_db: float, scale: float, masks: Masks = MASKS) -> torch.Tensor:
    """Augment by a random roll in time, small gain, masks in time and mel.

    Parameters
    ----------
    x : (B, frames, mel)
        Log-mel maps, divided by `scale`.
    masks : tuple of (axis, longest, times)
        Axis 1 is time, 2 is mel.
    """
    batch, frames, bins = x.shape
    shift = torch.randint(frames, (batch, 1), generator=rng)
    x = x.gather(1, ((torch.arange(frames)[None] + shift) % frames)[..., None].expand(-1, -1, bins))
    gain = (torch.rand(batch, 1, 1, generator=rng) * 2 - 1) * gain_db / 10 * float(np.log(10)) / scale
    x = x + gain
    for axis, length, times in masks:
        for _ in range(times):
            size = x.shape[axis]
            width = torch.randint(1, length, (batch, 1), generator=rng)
            start = (torch.rand(batch, 1, generator=rng) * (size - width)).long()
            index = torch.arange(size)[None]
            keep = (index < start) | (index >= start + width)
            x = x * (keep[:, :, None] if axis == 1 else keep[:, None, :])
    return x


def cosine(optimiser: torch.optim.Optimizer, warmup: int, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule: linear warm-up, then half a cosine down to nothing."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1, (i + 1) / warmup) * 0.5 * (1 + np.cos(np.pi * i / steps))
    )


def batches(count: int, batch: int, epochs: int, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield row numbers of each batch, shuffled anew each pass; the rest of a pass is left out."""
    for _ in range(epochs):
        yield from torch.randperm(count, generator=rng)[: count // batch * batch].split(batch)


def step_down(
    loss: torch.Tensor, model: nn.Module, optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR
) -> None:
    """Take one step of the optimiser, the gradient's norm clipped at 1."""
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule.step()


def write_folder(
    folder: Path, weights: dict[str, torch.Tensor], about: dict[str, object], report: dict[str, object]
) -> None:
    """Write `model.safetensors` in float16, `config.json`, and `recipe.json` with the hash of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().half().contiguous() for k, v in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")
    report = {**report, "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()}
    (folder / "recipe.json").write_text(json.dumps(report, indent=2) + "\n")


def half_precision() -> AbstractContextManager[Any]:
    """Return bfloat16 autocast where the processor has it, else nothing."""
    bf16 = "bf16" in torch.backends.cpu.get_cpu_capability().lower() or _has_avx512_bf16()
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def _has_avx512_bf16() -> bool:
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@torch.inference_mode()
def evaluate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return top-1 accuracy."""
    hits = [
        (_logits(model(chunk)).argmax(-1) == label).sum().item()
        for chunk, label in zip(x.split(128), y.split(128), strict=True)
    ]
    return sum(hits) / len(y)


def _logits(out: Any) -> torch.Tensor:
    return getattr(out, "logits", out)
