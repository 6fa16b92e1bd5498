"""Training recipes of the demo's BEATs: masked prediction without labels, then fine-tuned whole, or frozen under a
linear classifier."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from and_core.audio.fbank import kaldi_fbank
from and_core.corpus import clips as corpus
from and_core.demo.training import (
    Masks,
    Sounds,
    augment,
    batches,
    cosine,
    evaluate,
    half_precision,
    step_down,
    write_folder,
)
from and_core.nets.beats import FBANK_STD, Beats, BeatsConfig, Encoder, initialise, keep_one_bias, normalise, pooled
from and_core.progress import Progress, silent


@dataclass(frozen=True)
class BeatsRecipe:
    """Everything that decides the weights; stored beside them."""

    seed: int = 0
    mel_bins: int = 64
    patch: int = 16
    layers: int = 4
    width: int = 128
    mlp: int = 512
    heads: int = 4
    batch: int = 128
    weight_decay: float = 0.05
    gain_db: float = 3.0
    masked: float = 0.75
    codes: int = 256
    code_size: int = 16
    pretrain_epochs: int = 12
    pretrain_rate: float = 2e-3
    finetune_epochs: int = 10
    finetune_batch: int = 64
    finetune_rate: float = 1e-3
    layer_decay: float = 0.75
    label_smoothing: float = 0.05
    finetune_masks: Masks = ((1, 24, 1), (2, 6, 1))


def network_config(recipe: BeatsRecipe) -> BeatsConfig:
    """Return the published network in small: post-norm with DeepNorm, gated relative positions, convolutional
    positions."""
    return BeatsConfig(
        recipe.patch,
        embed_dim=recipe.width,
        encoder_layers=recipe.layers,
        encoder_embed_dim=recipe.width,
        encoder_ffn_embed_dim=recipe.mlp,
        encoder_attention_heads=recipe.heads,
        deep_norm=True,
        relative_position_embedding=True,
        gru_rel_pos=True,
        num_buckets=160,
        max_distance=400,
        conv_pos=32,
        dropout=0.0,
        attention_dropout=0.0,
    )


def features(waves: np.ndarray, mel_bins: int) -> torch.Tensor:
    """Return normalised log-mel maps (clips, frames, mel bins) of int16 waveforms of one length."""
    parts = [torch.from_numpy(waves[i : i + 256].astype(np.float32) / 32768) for i in range(0, len(waves), 256)]
    return torch.cat([normalise(kaldi_fbank(part, mel_bins=mel_bins, window="povey", scale=2.0**15)) for part in parts])


class Classifier(nn.Module):
    """Encoder, and a linear layer on the mean over tokens."""

    def __init__(self, beats: Beats, classes: int) -> None:
        super().__init__()
        self.beats = beats
        self.fc = nn.Linear(beats.config.encoder_embed_dim, classes)

    def forward(self, fbank: torch.Tensor) -> torch.Tensor:
        """Return (B, frames, mel) -> logits (B, classes)."""
        return pooled(self.fc(self.beats(fbank)[0]), None)


class MaskedPrediction(nn.Module):
    """BEATs' first round of pre-training: from a quarter of the patches, predict what a random codebook says of the
    others.

    Positions are those of the full grid: the convolution runs over all tokens with masked ones at zero, and relative
    biases are looked up by the kept tokens' own places. Targets are the nearest of random unit codes to a random
    projection of
    each patch, its own mean and scale removed.
    """

    def __init__(self, beats: Beats, recipe: BeatsRecipe) -> None:
        super().__init__()
        self.beats, self.recipe = beats, recipe
        rng = torch.Generator().manual_seed(recipe.seed + 1)
        self.register_buffer("projection", torch.randn(recipe.patch**2, recipe.code_size, generator=rng))
        self.register_buffer("codes", F.normalize(torch.randn(recipe.codes, recipe.code_size, generator=rng), dim=1))
        small = BeatsConfig(**{**asdict(beats.config), "encoder_layers": 1})
        self.decoder = Encoder(small)
        self.head = nn.Linear(recipe.width, recipe.codes)

    def targets(self, fbank: torch.Tensor) -> torch.Tensor:
        """Return codes (B, T) of the patches."""
        size = self.recipe.patch
        patches = fbank.unfold(1, size, size).unfold(2, size, size).flatten(3).flatten(1, 2)
        patches = (patches - patches.mean(-1, keepdim=True)) / (patches.std(-1, keepdim=True) + 1e-3)
        return (F.normalize(patches @ self.projection, dim=-1) @ self.codes.T).argmax(-1)  # type: ignore[operator]

    def forward(self, fbank: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss over the masked patches, and how many of them were predicted rightly."""
        x = self.beats.patches(fbank)
        batch, length, width = x.shape
        order = torch.rand(batch, length, generator=rng).argsort(1)
        kept = order[:, : round(length * (1 - self.recipe.masked))].sort(1).values
        visible = torch.zeros(batch, length, dtype=torch.bool).scatter_(1, kept, True)
        encoder = self.beats.encoder
        x = x * visible[..., None]
        x = x + encoder.positions(x)
        index = kept[..., None].expand(-1, -1, width)
        bias = encoder.relative_bias(length)
        assert bias is not None
        bias = bias[:, kept[:, :, None], kept[:, None, :]].transpose(0, 1)
        known = encoder.blocks(x.gather(1, index), bias, None)
        full = torch.zeros(batch, length, width, dtype=known.dtype).scatter(1, index, known)
        logits = self.head(self.decoder(full, None)[~visible]).float()
        targets = self.targets(fbank)[~visible]
        return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean()


def pretrain(x: torch.Tensor, recipe: BeatsRecipe, progress: Progress = silent) -> Beats:
    """Train by masked prediction on maps `x` (clips, frames, mel), without labels."""
    torch.manual_seed(recipe.seed)
    rng = torch.Generator().manual_seed(recipe.seed)
    beats = Beats(network_config(recipe))
    model = MaskedPrediction(beats, recipe)
    initialise(beats)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.pretrain_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    steps = recipe.pretrain_epochs * (len(x) // recipe.batch)
    schedule = cosine(optimiser, steps // 12, steps)
    model.train()
    for step, chunk in enumerate(batches(len(x), recipe.batch, recipe.pretrain_epochs, rng), 1):
        with half_precision():
            loss, right = model(augment(x[chunk], rng, recipe.gain_db, 2 * FBANK_STD, ()), rng)
        step_down(loss, model, optimiser, schedule)
        if step % 10 == 0:
            progress(f"masked prediction, loss {loss.item():.2f}, {100 * right.item():.0f} % right", step, steps)
    return beats.eval()


def linear_classifier(beats: Beats, x: torch.Tensor, y: torch.Tensor, recipe: BeatsRecipe, classes: int) -> Classifier:
    """Return a linear layer trained on the frozen network's mean token features; every weight below stays as it is."""
    torch.manual_seed(recipe.seed)
    model = Classifier(beats, classes).eval()
    with torch.inference_mode():
        known = torch.cat([pooled(beats(part)[0], None) for part in x.split(256)])
    known, mean, std = known.clone(), known.mean(0), known.std(0) + 1e-6
    head = nn.Linear(known.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=300, line_search_fn="strong_wolfe")
    scaled = (known - mean) / std

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(head(scaled), y) + 1e-4 * head.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        model.fc.weight.copy_(head.weight / std)
        model.fc.bias.copy_(head.bias - (head.weight * mean / std).sum(1))
    return model


def finetune(
    model: Classifier, x: torch.Tensor, y: torch.Tensor, recipe: BeatsRecipe, progress: Progress = silent
) -> None:
    """Train every weight in place.

    Layers nearer the input learn more slowly, and the classifier starts from the frozen network's.
    """
    torch.manual_seed(recipe.seed)
    rng = torch.Generator().manual_seed(recipe.seed)
    depth = len(model.beats.encoder.layers)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        below = 0 if parts[0] == "fc" else depth - int(parts[3]) if "layers" in parts else depth + 1
        groups.setdefault(recipe.finetune_rate * recipe.layer_decay**below, []).append(parameter)
    parameters = [{"params": group, "lr": rate} for rate, group in groups.items()]
    optimiser = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    steps = recipe.finetune_epochs * (len(x) // recipe.finetune_batch)
    schedule = cosine(optimiser, steps // 10, steps)
    model.train()
    for step, chunk in enumerate(batches(len(x), recipe.finetune_batch, recipe.finetune_epochs, rng), 1):
        with half_precision():
            logits = model(augment(x[chunk], rng, recipe.gain_db, 2 * FBANK_STD, recipe.finetune_masks))
        loss = F.cross_entropy(logits.float(), y[chunk], label_smoothing=recipe.label_smoothing)
        step_down(loss, model, optimiser, schedule)
        if step % 10 == 0:
            progress(f"fine-tuning, loss {loss.item():.2f}", step, steps)
    model.eval()


def train(
    folder: Path, sounds: Sounds, recipe: BeatsRecipe | None = None, progress: Progress = silent
) -> tuple[dict[str, dict[str, object]], Beats]:
    """Return pre-train, then write ``beats-frozen`` and ``beats-finetuned`` into `folder`.

    Returns
    -------
    reports : dict
        Contents of each network's `recipe.json`: recipe, clips, test accuracy, the same of a network frozen at random
        weights.
    pretrained : Beats
        The network before fine-tuning, for whoever builds on it.
    """
    recipe = recipe or BeatsRecipe()
    began = time.time()
    (x, y), (test_x, test_y) = sounds.split(features(sounds.waves, recipe.mel_bins))
    classes = len(corpus.CATEGORIES)
    pretrained = pretrain(x, recipe, progress)
    progress("linear classifiers on frozen networks", 0, 2)
    frozen = linear_classifier(copy.deepcopy(pretrained), x, y, recipe, classes)
    torch.manual_seed(recipe.seed)
    untrained = Beats(network_config(recipe)).eval()
    initialise(untrained)
    chance = evaluate(linear_classifier(untrained, x, y, recipe, classes), test_x, test_y)
    progress("linear classifiers on frozen networks", 2, 2)
    tuned = copy.deepcopy(frozen)
    finetune(tuned, x, y, recipe, progress)
    reports = {}
    for name, model in (("beats-frozen", frozen), ("beats-finetuned", tuned)):
        model.half().float()  # measure what is shipped: weights rounded to float16
        reports[name] = {
            "recipe": asdict(recipe),
            "clips": sounds.about,
            "test_accuracy": round(evaluate(model, test_x, test_y), 4),
            "test_accuracy_of_random_weights_frozen": round(chance, 4),
            "parameters": sum(p.numel() for p in model.parameters()),
            "seconds_of_all": round(time.time() - began),
        }
        save(model, folder / name, recipe, reports[name])
    return reports, pretrained


def save(
    model: Classifier,
    folder: Path,
    recipe: BeatsRecipe,
    report: dict[str, object],
    classes: tuple[str, ...] = corpus.CATEGORIES,
) -> None:
    """Write `config.json`, `model.safetensors` (float16) and `recipe.json`, as the target `beats` reads a folder."""
    about = {"cfg": asdict(model.beats.config), "classes": list(classes), "mel_bins": recipe.mel_bins}
    write_folder(folder, keep_one_bias(model.state_dict()), about, report)
