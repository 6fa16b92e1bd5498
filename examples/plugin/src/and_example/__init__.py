"""A target network and a captioner for Audio Network Dissection, found by their entry points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from and_core.audio.fbank import kaldi_fbank
from and_core.captioners.base import Captioner, Listen
from and_core.registry import FilePath, Settings
from and_core.targets.base import Target, TargetSettings


class BandsSettings(TargetSettings):
    """`units` of the hidden layer.

    `weights`: a file of one's own, made absolute and left out of the key as its type says.
    """

    pooling: Any = "mean"
    units: int = 12
    weights: FilePath | None = None


class Bands(Target[BandsSettings]):
    """Two linear layers on log-mel frames: `hidden`, and `fc` with the classes ``low`` and ``high``."""

    kind = "bands"
    classes = ["low", "high"]

    def fingerprint(self) -> str:
        given = self.settings.weights
        return f"bands 1, {self.settings.units} units, " + ("seed 0" if given is None else str(given.stat().st_size))

    def describe(self) -> str:
        return f"bands ({self.settings.units} units)"

    def load(self, device: str) -> None:
        torch.manual_seed(0)
        self.device = device
        self.net = torch.nn.ModuleDict(
            {"hidden": torch.nn.Linear(32, self.settings.units), "fc": torch.nn.Linear(self.settings.units, 2)}
        ).eval()

    def all_modules(self) -> dict[str, torch.nn.Module]:
        return dict(self.net.items())

    def features(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        return [kaldi_fbank(torch.from_numpy(wave)[None], mel_bins=32) for wave in waves]

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        means = torch.cat([x.mean(1) for x in features])  # of all frames: clips of different lengths are never padded
        return self.net["fc"](torch.relu(self.net["hidden"](means)))


class LoudnessSettings(Settings):
    """`step`: decibels of a step."""

    step: float = 6.0


class LoudnessSteps(Captioner[LoudnessSettings]):
    """Says how many steps of loudness a clip has above silence."""

    kind = "loudness_steps"

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        return [
            f"A sound {max(0, round((row['level'] + 60) / self.settings.step))} steps above silence." for row in rows
        ]
