"""The AudioSet tagger of Dinkel et al. (IEEE/ACM TASLP 2021, arXiv 2105.04065): four pooled convolution blocks, a GRU,
527 classes that may all be there at once. Its weights lie outside this project, see README.md."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import torch
from torch import nn

RATE, WINDOW, HOP, BANDS, N_FFT = 22_050, 882, 441, 64, 2048
FLOOR = 2.2e-16


class Block(nn.Module):
    """Normalise, convolve, and let a tenth of what is negative through."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.block = nn.Sequential(nn.BatchNorm2d(before), conv, nn.LeakyReLU(0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return as many rows and columns, with `after` channels."""
        return self.block(x)


class Tagger(nn.Module):
    """(B, T, mel bands) -> (probability of each class in the clip, and in each frame)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Block(1, 32), nn.LPPool2d(4, (2, 4)),
            Block(32, 128), Block(128, 128), nn.LPPool2d(4, (2, 4)),
            Block(128, 128), Block(128, 128), nn.LPPool2d(4, (1, 4)), nn.Dropout(0.3),
        )  # fmt: skip
        self.gru = nn.GRU(128, 128, bidirectional=True, batch_first=True)
        self.outputlayer = nn.Linear(256, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pool the frames' probabilities linearly: what is probable weighs most."""
        maps = self.features(x[:, None])
        states, _ = self.gru(maps.transpose(1, 2).flatten(2))
        coarse = torch.sigmoid(self.outputlayer(states)).transpose(1, 2)
        frames = nn.functional.interpolate(coarse, x.shape[1], mode="linear", align_corners=False).transpose(1, 2)
        return (frames**2).sum(1) / frames.sum(1), frames


def log_mel(waves: np.ndarray) -> torch.Tensor:
    """Return (B, T, mel bands) from (B, samples) at 22,050 Hz."""
    power = librosa.feature.melspectrogram(
        y=waves, sr=RATE, n_fft=N_FFT, win_length=WINDOW, hop_length=HOP, n_mels=BANDS
    )
    return torch.from_numpy(np.log(power + FLOOR).transpose(0, 2, 1).astype(np.float32))


def build(labels: str) -> tuple:
    """Return the network without its weights, its front end, and the classes that a file names, one a line."""
    path = Path(__file__).parent / labels
    classes = path.read_text(encoding="utf-8").split()
    return Tagger(len(classes)), log_mel, classes
