"""Training recipe of the demo's text-audio encoder: CLAP in small,
on the corpus's training folds and their captions."""

from __future__ import annotations

import copy
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from and_core.corpus import clips as corpus
from and_core.demo.train_beats import features
from and_core.demo.training import Masks, Sounds, augment, batches, cosine, half_precision, step_down, write_folder
from and_core.encoders.base import TextEncoder
from and_core.nets.beats import FBANK_STD, Beats, keep_one_bias
from and_core.nets.small_clap import SmallClap
from and_core.progress import Progress, silent


@dataclass(frozen=True)
class ClapRecipe:
    """Everything that decides the weights besides the pre-trained tower; stored beside them."""

    seed: int = 0
    width: int = 128
    epochs: int = 16
    batch: int = 128
    rate: float = 1e-3
    weight_decay: float = 0.05
    gain_db: float = 1.0
    whole_caption: float = 0.4
    sentence: float = 0.75
    masks: Masks = ((1, 24, 1), (2, 6, 1))


class CaptionVectors:
    """Embeddings of every caption and of every distinct sentence, each text encoded once."""

    def __init__(self, captions: list[str], encoder: TextEncoder) -> None:
        split = [re.split(r"(?<=[.!?])\s+", caption) for caption in captions]
        texts = sorted({*captions, *(s for parts in split for s in parts)})
        number = {text: i for i, text in enumerate(texts)}
        self.vectors = torch.from_numpy(encoder.encode(texts))
        self.whole = torch.tensor([number[c] for c in captions])
        self.parts = torch.full((len(captions), max(map(len, split))), -1)
        for i, parts in enumerate(split):
            self.parts[i, : len(parts)] = torch.tensor([number[p] for p in parts])

    def draw(self, chunk: torch.Tensor, recipe: ClapRecipe, rng: torch.Generator) -> torch.Tensor:
        """Return (B, D) unit vectors: of the whole caption, or the mean over a random part of its sentences."""
        parts = self.parts[chunk]
        weight = (torch.rand(parts.shape, generator=rng) < recipe.sentence).float()
        weight[:, 0] = torch.where((weight * (parts >= 0)).sum(1) == 0, 1.0, weight[:, 0])
        weight = weight * (parts >= 0)
        mixed = F.normalize((self.vectors[parts.clamp_min(0)] * weight[..., None]).sum(1), dim=1)
        whole = torch.rand(len(chunk), 1, generator=rng) < recipe.whole_caption
        return torch.where(whole, self.vectors[self.whole[chunk]], mixed)


def train_encoder(
    beats: Beats,
    x: torch.Tensor,
    captions: CaptionVectors,
    rows: torch.Tensor,
    recipe: ClapRecipe,
    progress: Progress = silent,
) -> SmallClap:
    """Train by contrast (symmetric InfoNCE, learned temperature) of the whole tower on maps `x[rows]` and their
    captions."""
    torch.manual_seed(recipe.seed)
    rng = torch.Generator().manual_seed(recipe.seed)
    model = SmallClap(beats, captions.vectors.shape[1], recipe.width)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * (len(rows) // recipe.batch)
    schedule = cosine(optimiser, steps // 10, steps)
    model.train()
    truth = torch.arange(recipe.batch)
    for step, picked in enumerate(batches(len(rows), recipe.batch, recipe.epochs, rng), 1):
        chunk = rows[picked]
        with half_precision():
            heard = model.embed_audio(augment(x[chunk], rng, recipe.gain_db, 2 * FBANK_STD, recipe.masks))
            read = model.read(captions.draw(chunk, recipe, rng))
        logits = heard.float() @ read.float().T * model.scale.exp().clamp_max(100)
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        step_down(loss, model, optimiser, schedule)
        if step % 10 == 0:
            progress(f"text and sound, loss {loss.item():.2f}", step, steps)
    return model.eval()


@torch.inference_mode()
def figures(
    model: SmallClap, x: torch.Tensor, captions: torch.Tensor, names: torch.Tensor, labels: np.ndarray
) -> dict[str, float]:
    """Return retrieval on clips never trained on: recall at 1, 5, 10 and median rank both ways, and classes named
    without training for it.

    Parameters
    ----------
    x : (N, frames, mel)
    captions : (N, D)
        Embeddings of their captions.
    names : (C, D)
        Embeddings of the class names.
    labels : (N,) int
    """
    heard = torch.cat([model.embed_audio(part) for part in x.split(128)])
    similarity = heard @ model.read(captions).T
    figures: dict[str, float] = {"clips": len(x)}
    for way, matrix in (("text_to_audio", similarity.T), ("audio_to_text", similarity)):
        rank = (matrix > matrix.diagonal()[:, None]).sum(1).numpy()
        figures |= {f"{way}_r{k}": round(float((rank < k).mean()), 4) for k in (1, 5, 10)}
        figures[f"{way}_median_rank"] = float(np.median(rank) + 1)
    named = (heard @ model.read(names).T).argmax(1).numpy()
    return {**figures, "classes_named": round(float((named == labels).mean()), 4)}


def train(
    folder: Path,
    sounds: Sounds,
    beats: Beats,
    encoder: TextEncoder,
    mel_bins: int,
    recipe: ClapRecipe | None = None,
    progress: Progress = silent,
) -> dict[str, object]:
    """Train from a pre-trained tower, which is left as it is, and write `folder`.

    Returns
    -------
    dict
        Contents of `recipe.json`: recipe, clips, retrieval figures on the test fold.
    """
    recipe = recipe or ClapRecipe()
    began = time.time()
    progress("encoding captions", 0, 1)
    captions = CaptionVectors(sounds.captions, encoder)
    progress("encoding captions", 1, 1)
    x = features(sounds.waves, mel_bins)
    described = np.array([bool(caption) for caption in sounds.captions])
    model = train_encoder(
        copy.deepcopy(beats), x, captions, torch.from_numpy(np.flatnonzero(described & ~sounds.test)), recipe, progress
    )
    model.half().float()
    held = np.flatnonzero(sounds.test)
    names = torch.from_numpy(encoder.encode([c.replace("_", " ") for c in corpus.CATEGORIES]))
    report = {
        "recipe": asdict(recipe),
        "clips": sounds.about,
        "text": encoder.fingerprint(),
        "retrieval": figures(
            model, x[torch.from_numpy(held)], captions.vectors[captions.whole[held]], names, sounds.labels[held]
        ),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.time() - began),
    }
    about = {
        "cfg": asdict(beats.config),
        "mel_bins": mel_bins,
        "text_width": captions.vectors.shape[1],
        "width": recipe.width,
        "text": encoder.fingerprint(),
    }
    write_folder(folder, keep_one_bias(model.state_dict()), about, report)
    return report
