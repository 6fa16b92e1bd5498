"""A network for `target: {kind: python, factory: "nets.py:build"}`: a convolution over the spectrum, a classifier."""

import numpy as np
import torch
from torch import nn

CLASSES = ["clock_tick", "dog", "rain", "siren"]


def prepare(waves: np.ndarray) -> torch.Tensor:
    """Return (B, 65, frames) log magnitudes of (B, samples) waveforms at 16 kHz; 128 samples between frames."""
    spectrum = torch.stft(torch.from_numpy(waves), 128, 128, window=torch.hann_window(128), return_complex=True)
    return torch.log(spectrum.abs() + 1e-4)


def build(width: int = 16, seed: int = 0):
    """Return the network, what prepares sound for it, and its classes."""
    torch.manual_seed(seed)  # a network of yours reads its weights here, or by the setting `weights`
    body = [nn.Conv1d(65, width, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(width, len(CLASSES))), prepare, CLASSES
