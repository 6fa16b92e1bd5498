"""What every captioner offers, and the clean-up that all captions go through."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from and_core import registry
from and_core.records import Provenance

Audio = Callable[[int], tuple[np.ndarray, int]]
REPEATED_RUN = 8


class Captioner(registry.Plugin):
    """Describes clips in words. `needs_audio`: it listens, so its work is kept clip by clip (in small chunks)."""

    provenance: Provenance = "computed"
    needs_audio: bool = False

    def fingerprint(self) -> str:
        """Identity of the captioner besides its settings (bytes of its file, version of its rules)."""
        return ""

    def captions(self, rows: list[dict[str, Any]], audio: Audio) -> list[str | None]:
        """One caption per clip, None where there is none.

        Parameters
        ----------
        rows : list of dict
            Every column of the clips table, the acoustic measures included.
        audio : callable
            Clip index -> waveform (samples,) and rate; call it only where the sound itself is needed.
        """
        raise NotImplementedError

    def notes(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Remarks on the whole dataset for provenance, such as captions for files that are not in it."""
        return {}

    def describe(self) -> str:
        """One line for provenance."""
        return self.kind


CAPTIONERS: registry.Registry[Captioner] = registry.Registry("captions", "and_core.captioners")


def clean_caption(text: str | None) -> str | None:
    """White space folded; a caption that repeats any run of eight tokens is cut at its first line or sentence (AND's reference)."""
    if text is None:
        return None
    tokens = text.split()
    runs = [tuple(tokens[i : i + REPEATED_RUN]) for i in range(len(tokens) - REPEATED_RUN + 1)]
    if len(runs) != len(set(runs)):
        text = re.split(r"\n|(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
    text = " ".join(text.split())
    return text or None
