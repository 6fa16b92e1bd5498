"""What every text encoder offers."""

from __future__ import annotations

import numpy as np

from and_core import registry


class TextEncoder(registry.Plugin):
    """Turns texts into unit vectors whose dot product is their cosine similarity."""

    def fingerprint(self) -> str:
        """Identity of the weights. Needs no loading."""
        raise NotImplementedError

    def describe(self) -> str:
        """One line for provenance."""
        raise NotImplementedError

    def encode(self, texts: list[str]) -> np.ndarray:
        """(len(texts), D) float32 of unit norm; the weights are loaded at the first call."""
        raise NotImplementedError


ENCODERS: registry.Registry[TextEncoder] = registry.Registry("encoder", "and_core.encoders")
