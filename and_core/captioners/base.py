"""What every captioner offers, and the clean-up that all captions go through."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from and_core.records import Provenance
from and_core.registry import Plugin, Registry, Settings
from and_core.reply import Reply

Listen = Callable[["ListeningCaptioner"], list[Reply]]
REPEATED_RUN = 8
S = TypeVar("S", bound=Settings)
PROMPT = "Please describe the audio in detail."


class Captioner(Plugin[S]):
    """Describes clips in words."""

    provenance: Provenance = "computed"

    def fingerprint(self) -> str:
        """Return the identity of the captioner besides its settings (bytes of its file, version of its rules)."""
        return ""

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return one caption per clip, None where there is none.

        Parameters
        ----------
        rows : list of dict
            Every column of the clips table, the acoustic measures included.
        listen : callable
            Gives the replies of a captioner that listens, one per row.
        """
        raise NotImplementedError

    @property
    def later_measures(self) -> tuple[str, ...]:
        """Acoustic measures it reads that clips tables made by earlier versions have not."""
        return ()

    def network_fingerprint(self) -> str | None:
        """Return the identity of the network that tags, which may not be the one that is dissected; None where none
        does."""
        return None

    def every(self, rows: list[dict[str, Any]], listen: Listen) -> list[list[str]]:
        """Return all captions of each clip, where it has several.

        Their mean stands for the clip where captions are compared with concepts.
        """
        return [[text] if text else [] for text in self.captions(rows, listen)]

    def notes(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return remarks on the whole dataset for provenance, such as captions for files that are not in it."""
        return {}

    def describe(self) -> str:
        """Return one line for provenance."""
        return self.kind


class ListeningCaptioner(Captioner[S]):
    """Hears the clips themselves.

    What it says of a clip is kept the moment it comes, and a clip that failed is heard again on the next run.
    """

    sample_rate: int = 16_000

    def identity(self) -> str:
        """Return everything that decides what it says of a clip: by this its replies are kept."""
        raise NotImplementedError

    def replies(self, waves: Iterable[np.ndarray]) -> Iterator[tuple[int, Reply]]:
        """Yield replies as they come, each with the number of its clip.

        Mono waveforms (samples,) at :attr:`sample_rate` are taken as they are needed.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return the same identity."""
        return self.identity()

    def captions(self, rows: list[dict[str, Any]], listen: Listen) -> list[str | None]:
        """Return what it said of each clip."""
        return [reply.text for reply in listen(self)]


CAPTIONERS: Registry[Captioner[Any]] = Registry("captions", "and_core.captioners")


def sentence(text: str) -> str:
    """Return a text that ends like a sentence, so that another can follow it."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."


def joined(captions: list[str]) -> str:
    """Return several captions of a clip as sentences of one text; one stays as it is, none is an empty text.

    Examples
    --------
    >>> joined(["a dog barks", "rain falls."])
    'a dog barks. rain falls.'
    """
    return " ".join(map(sentence, captions)) if len(captions) > 1 else "".join(captions)


def clean_caption(text: str | None) -> str | None:
    """Return a caption with white space folded, None where it has no letters; one that repeats any run of eight tokens
    is cut at its first line or
    sentence (AND's reference)."""
    if text is None or not any(character.isalpha() for character in text):
        return None
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    tokens = text.split()
    runs = [tuple(tokens[i : i + REPEATED_RUN]) for i in range(len(tokens) - REPEATED_RUN + 1)]
    if len(runs) != len(set(runs)):
        text = re.split(r"\n|(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
    text = " ".join(text.split())
    return text or None
