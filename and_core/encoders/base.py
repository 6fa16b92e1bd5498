"""What every text encoder offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np

from and_core.errors import ConfigError
from and_core.labels.concept_classes import ConceptClass
from and_core.registry import Plugin, Registry, Settings

S = TypeVar("S", bound=Settings)


class TextEncoder(Plugin[S]):
    """Turns texts into unit vectors whose dot product is their cosine similarity."""

    def fingerprint(self) -> str:
        """Return the identity of the weights. Needs no loading."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return one line for provenance."""
        raise NotImplementedError

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return (len(texts), D) float32 of unit norm; the weights are loaded at the first call."""
        raise NotImplementedError

    def count_cut(self, texts: list[str]) -> int:
        """Return how many texts are longer than what the encoder reads, so that their ends are lost."""
        return 0


class TextAudioEncoder(TextEncoder[S]):
    """A text encoder that hears as well: clips and texts lie in one space, so that their dot product is a cosine
    similarity.

    Attributes
    ----------
    features : str
        What TAB takes where `tab.features` is ``auto``: cosines, or cosines standardized over clips.
    by_class : bool
        It hears by the classes of a network, and reads concepts by their names, without `closed.template`.
    """

    sample_rate: int = 48_000
    features: Literal["cosine", "standardized"] = "cosine"
    by_class: bool = False

    def encode_audio(self, waves: list[np.ndarray]) -> np.ndarray:
        """Return (len(waves), D) float32 of unit norm, from mono waveforms (samples,) at :attr:`sample_rate`.

        A wave's row depends on no other wave.
        """
        raise NotImplementedError

    def network_fingerprint(self) -> str | None:
        """Return the identity of the network that hears, which may not be the one that is dissected.

        None where it can't be.
        """
        return None

    def concept_classes(self, concepts: list[str]) -> list[ConceptClass]:
        """Return the classes by which each concept is heard; none where it does not hear by classes."""
        return []


UNRELATED = (
    "a dog barks",
    "heavy rain falls on a roof",
    "a piano plays a slow melody",
    "a chainsaw cuts wood",
    "two people whisper",
    "an aircraft takes off",
    "glass breaks on the floor",
    "a clock ticks",
)
ALIKE = 0.95  # mean cosine of unrelated phrases from which on an encoder tells nothing apart


def check_spread(encoder: TextEncoder, setting: str) -> None:
    """Raise where the vectors of unrelated phrases all but coincide, as those of a known CLAP checkpoint do.

    Raises
    ------
    ConfigError
        The message names the encoder and the mean cosine.
    """
    vectors = encoder.encode(list(UNRELATED)).astype(np.float64)
    count = len(vectors)
    alike = float(((vectors @ vectors.T).sum() - np.square(vectors).sum()) / (count * (count - 1)))
    if not alike <= ALIKE:
        raise ConfigError(
            f"{setting}: {encoder.describe()} gives phrases with nothing in common all but one vector (mean cosine "
            f"{alike:.2f}); take another"
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch take one thread: some processors sum in another order on several, and every number that rests on a text
    would change."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def encode_by_length(
    texts: list[str], width: int, encode: Callable[[list[str]], np.ndarray], batch: int = 64
) -> np.ndarray:
    """Return (len(texts), width) rows of `encode`, called on batches of similar length.

    The result does not depend on the order of the texts.
    """
    out = np.zeros((len(texts), width), np.float32)
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        out[chosen] = encode([texts[i] for i in chosen])
    return out


ENCODERS: Registry[TextEncoder[Any]] = Registry("encoder", "and_core.encoders")
