"""A small collection whose clips have several labels, and a network that takes several classes at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torch import nn

from and_core.config import RunConfig, make_config

RATE = 8000
CLASSES = ["Low tone", "High tone", "Tone", "Noise"]  # tone is broader than the labels low and high
CLASS_MAP = "class,label\nLow tone,low\nHigh tone,high\nTone,low\nTone,high\nNoise,hiss\n"
FACTORY = '''"""A network for several classes at once."""
from tests.labels.several import build
'''


class Network(nn.Module):
    """(B, T, 3) levels of three bands -> a dict with probabilities (B, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 6, batch_first=True)
        self.hidden = nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.hidden.weight[:3] = 0.1
            self.head.bias.sub_(0.5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        states, _ = self.gru(x)
        hidden = self.act(self.hidden(states.mean(1)))
        return {"clip": torch.sigmoid(4 * self.head(hidden) + 2 * torch.cat([x.mean(1), x.mean((1, 2))[:, None]], 1))}


def bands(waves: np.ndarray) -> torch.Tensor:
    """Return (B, T, 3): how loud what is low, high, and in between is, in frames of 50 ms."""
    frames = waves[:, : waves.shape[1] // 400 * 400].reshape(len(waves), -1, 400)
    power = np.abs(np.fft.rfft(frames, axis=2)) ** 2
    level = np.stack([power[..., a:b].mean(-1) for a, b in ((5, 25), (120, 170), (50, 100))], -1)
    return torch.from_numpy(np.log10(level + 1e-6).astype(np.float32) / 3)


def build() -> tuple[nn.Module, object, list[str]]:
    """Return network, front end, classes."""
    torch.manual_seed(1)
    return Network(), bands, CLASSES


def collection(folder: Path, count: int = 32) -> Path:
    """Write clips of a low tone, a high tone and hiss, alone and together, two without a label, and the tables."""
    (folder / "sounds").mkdir(parents=True)
    rows = ["file,label"]
    for i in range(count):
        rng, time = np.random.default_rng(i), np.arange(RATE) / RATE
        there = [bool((i % 7 + 1) & bit) for bit in (1, 2, 4)]
        parts = (0.3 * np.sin(2 * np.pi * (200 + i) * time), 0.3 * np.sin(2 * np.pi * (2900 + i) * time))
        wave = 0.003 * rng.standard_normal(RATE) + sum(p for p, on in zip(parts, there[:2], strict=True) if on)
        wave += there[2] * 0.1 * rng.standard_normal(RATE)
        sf.write(folder / "sounds" / f"{i:02d}.wav", wave, RATE)
        if i not in (5, 20):
            rows += [f"{i:02d}.wav,{label}" for label, on in zip(("low", "high", "hiss"), there, strict=True) if on]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.csv").write_text(CLASS_MAP)
    (folder / "nets.py").write_text(FACTORY)
    return folder


def configuration(folder: Path, **changes: object) -> RunConfig:
    """Return the configuration over a collection."""
    target = {
        "kind": "python", "factory": f"{folder}/nets.py:build", "rate": RATE, "classifier": "head", "output": "clip",
        "gives": "probabilities", "multi_label": True, "hook_points": ["act"], "pooling": {"gru": "max"},
    }  # fmt: skip
    dataset = {"kind": "folder", "path": str(folder / "sounds"), "labels": str(folder / "labels.csv")}
    raw = {
        "name": "several", "k": 3, "dataset": dataset, "target": target, "class_map": str(folder / "classes.csv"),
        "unlearning": {"importance": True, "shares": [0.2], "seeds": [1], "fair": 1}, "map": {"method": "pca"},
    }  # fmt: skip
    return make_config({**raw, **changes})
