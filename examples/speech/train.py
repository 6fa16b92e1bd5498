"""Train a small wav2vec 2.0 on spoken digits and write it in the hub's own format.

    python examples/speech/train.py --data PATH/TO/fsdd

PATH holds recordings named ``{digit}_{speaker}_{number}.wav`` (Free Spoken Digit Dataset, Jakobovski, DOI
10.5281/zenodo.1342401, CC BY-SA 4.0); neither they nor any weights are part of the package. Recordings 0 to 6 of each
digit and speaker are trained on (fold 1), 7 chooses the epoch (fold 2), 8 and 9 are the test (fold 3), looked at once.
The network never learns who speaks.

One thread and one seed: the same data give the same weights on the same processor.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torch.nn import functional as F
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

from and_core.audio.decode import resample
from and_core.demo.training import batches, cosine, step_down
from and_core.store.files import cache_root

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RECORDING = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
TRAIN, VALIDATE, TEST = 1, 2, 3
FOLDS = {**dict.fromkeys(range(7), TRAIN), 7: VALIDATE, 8: TEST, 9: TEST}
RATE = 16_000


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights; stored beside them."""

    seed: int = 0
    epochs: int = 80
    batch: int = 32
    learning_rate: float = 1.5e-3
    warmup: int = 40
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    speed: float = 0.15  # a recording is played up to this much slower or faster
    noise: float = 0.05  # most that is added, as a share of the recording's RMS
    width: int = 96
    layers: int = 3


@dataclass(frozen=True)
class Recording:
    """One spoken digit: waveform (samples,) at 16 kHz, and what its name says of it."""

    name: str
    digit: int
    speaker: str
    fold: int
    wave: np.ndarray


def read_recordings(data: Path) -> list[Recording]:
    """Return the recordings below a folder, by name."""
    recordings = []
    for path in sorted(data.glob("*.wav")):
        match = RECORDING.fullmatch(path.name)
        if match and int(match[3]) in FOLDS:
            wave, rate = sf.read(path, dtype="float32")
            wave = resample(wave, rate, RATE)
            recordings.append(Recording(path.name, int(match[1]), match[2], FOLDS[int(match[3])], wave))
    if not recordings:
        raise SystemExit(f"--data {data} holds no recordings named {{digit}}_{{speaker}}_{{number}}.wav")
    return recordings


def write_collection(data: Path, recordings: list[Recording], folder: Path) -> None:
    """Write the recordings in ESC-50's layout: their label is the digit; digit and speaker stand in columns as well."""
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    (folder / "meta").mkdir(exist_ok=True)
    with open(folder / "meta" / "recordings.csv", "w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("filename", "fold", "category", "speaker", "says", "voice"))
        for r in recordings:
            shutil.copyfile(data / r.name, folder / "audio" / r.name)
            word = DIGITS[r.digit]
            table.writerow((r.name, r.fold, word, r.speaker, f"the word {word}", f"the voice of {r.speaker}"))


def build(recipe: Recipe) -> Wav2Vec2ForSequenceClassification:
    """Return the network with random weights: four convolutions over the waveform, then transformer layers."""
    torch.manual_seed(recipe.seed)
    width = recipe.width
    config = Wav2Vec2Config(
        hidden_size=width, num_hidden_layers=recipe.layers, num_attention_heads=4, intermediate_size=2 * width,
        conv_dim=(64, 96, 96, 96), conv_kernel=(20, 8, 8, 4), conv_stride=(10, 4, 4, 2), conv_bias=True,
        feat_extract_norm="layer", do_stable_layer_norm=True, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4, apply_spec_augment=False, layerdrop=0.0, hidden_dropout=0.1,
        attention_dropout=0.1, activation_dropout=0.1, feat_proj_dropout=0.1, final_dropout=0.1,
        classifier_proj_size=width, num_labels=len(DIGITS), id2label=dict(enumerate(DIGITS)),
        label2id={word: i for i, word in enumerate(DIGITS)},
    )  # fmt: skip
    return Wav2Vec2ForSequenceClassification(config)


def padded(waves: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, samples) waveforms, each with mean 0 and variance 1, zeros behind the shorter; and where sound is."""
    longest = -(-max(map(len, waves)) // 1600) * 1600  # few different lengths are quicker than many
    longest = longest if len(waves) > 1 else len(waves[0])
    values, mask = np.zeros((len(waves), longest), np.float32), np.zeros((len(waves), longest), np.int64)
    for i, wave in enumerate(waves):
        values[i, : len(wave)] = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)  # as the feature extractor does
        mask[i, : len(wave)] = 1
    return torch.from_numpy(values), torch.from_numpy(mask)


def augment(wave: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Return a recording at another speed, with some noise."""
    length = round(len(wave) * rng.uniform(1 - recipe.speed, 1 + recipe.speed))
    played = np.interp(np.linspace(0, len(wave) - 1, length), np.arange(len(wave)), wave)
    level = rng.uniform(0, recipe.noise) * np.sqrt(np.mean(played**2))
    return (played + level * rng.standard_normal(length)).astype(np.float32)


@torch.inference_mode()
def accuracy(model: Wav2Vec2ForSequenceClassification, recordings: list[Recording]) -> float:
    """Return the share of recordings whose digit is told, each heard alone."""
    model.eval()
    hits = [model(padded([r.wave])[0]).logits.argmax().item() == r.digit for r in recordings]
    return float(np.mean(hits))


def fit(model: Wav2Vec2ForSequenceClassification, recordings: list[Recording], recipe: Recipe) -> list[float]:
    """Train on fold 1, keep the weights of the epoch that tells fold 2 best; return that fold's accuracy by epoch."""
    learned = [r for r in recordings if r.fold == TRAIN]
    validated = [r for r in recordings if r.fold == VALIDATE]
    optimiser = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = len(learned) // recipe.batch
    schedule = cosine(optimiser, recipe.warmup, steps * recipe.epochs)
    order, rng = torch.Generator().manual_seed(recipe.seed), np.random.default_rng(recipe.seed)
    history: list[float] = []
    best: dict[str, torch.Tensor] = {}
    rows = batches(len(learned), recipe.batch, recipe.epochs, order)
    for epoch in range(recipe.epochs):
        model.train()
        for _ in range(steps):
            chosen = [learned[i] for i in next(rows).tolist()]
            values, mask = padded([augment(r.wave, recipe, rng) for r in chosen])
            logits = model(values, attention_mask=mask).logits
            digits = torch.tensor([r.digit for r in chosen])
            loss = F.cross_entropy(logits, digits, label_smoothing=recipe.label_smoothing)
            step_down(loss, model, optimiser, schedule)
        history.append(accuracy(model, validated))
        if history[-1] == max(history):
            best = copy.deepcopy(model.state_dict())
        if epoch % 10 == 9:
            print(f"{epoch + 1}/{recipe.epochs} loss {loss.item():.2f}, fold 2 {100 * history[-1]:.0f} %", flush=True)
    model.load_state_dict(best)
    return history


def train(data: Path, cache: Path, recipe: Recipe) -> Path:
    """Write the collection, the network and its recipe below a cache; return the network's folder."""
    torch.set_num_threads(1)
    recordings = read_recordings(data)
    write_collection(data, recordings, cache / "data" / "spoken-digits")
    model = build(recipe)
    history = fit(model, recordings, recipe)
    folder = cache / "models" / "speech-digits"
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    report = {
        **asdict(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "validation_accuracy": max(history),
        "test_accuracy": accuracy(model, [r for r in recordings if r.fold == TEST]),
        "test_recordings": sum(r.fold == TEST for r in recordings),
    }
    (folder / "recipe.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return folder


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=cache_root())
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    options = parser.parse_args()
    train(options.data, options.cache, Recipe(epochs=options.epochs))


if __name__ == "__main__":
    main()
