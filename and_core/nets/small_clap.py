"""A contrastive text-audio network in small: a BEATs tower and a sentence encoder's vectors, each projected into one
space."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from and_core.nets.beats import Beats, pooled


class SmallClap(nn.Module):
    """Both sides end in Linear, ReLU, Linear and unit norm, as CLAP's do; the sentence encoder stays outside and as it
    is.

    Parameters
    ----------
    beats : Beats
        Audio tower.
    text_width : int
        Size of the sentence encoder's vectors.
    width : int
        Size of the common space.
    """

    def __init__(self, beats: Beats, text_width: int, width: int) -> None:
        super().__init__()
        self.beats = beats
        self.audio = _projection(beats.config.encoder_embed_dim, width)
        self.text = _projection(text_width, width)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def embed_audio(self, fbank: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        """Return normalised log-mel maps (B, frames, mel), padded tokens (B, T) -> unit vectors (B, width)."""
        tokens, _ = self.beats(fbank, padding=padding)
        return F.normalize(self.audio(pooled(tokens, padding)), dim=1)

    def read(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return sentence vectors (B, text width) -> unit vectors (B, width)."""
        return F.normalize(self.text(vectors), dim=1)


def _projection(into: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
