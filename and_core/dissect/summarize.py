"""Summaries of what a neuron's clips have in common (AND section 3).

:class:`Summarizer` is the interface that language models share. The one here needs none: *commonality* counts
attributes by lexicon, groups the remaining clauses by embedding, and makes a point of what reaches most of the K clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from and_core.llms.base import Ask, Question
from and_core.records import Point
from and_core.registry import Plugin, Registry, Settings

MEMORY = 50_000_000  # numbers in the temporaries of one block of neurons


@dataclass(frozen=True)
class CaptionTexts:
    """The captions of a probing dataset, taken apart once for all neurons.

    Attributes
    ----------
    clauses : list of str
        Distinct clauses, U of them.
    embeddings : (U, D) float32
        Their unit vectors.
    clip_clauses : (N, C) int32
        Clause numbers of each clip, -1 where it has fewer.
    values : list of (str, str)
        Distinct (attribute, value) pairs, V of them.
    clip_values : (N, V) bool
        Which clip's caption says which.
    captions : list of str, N
        Whole captions, empty where a clip has none.
    prompts : dict of str
        Prompt templates by name, for summarisers that ask a language model.
    """

    clauses: list[str]
    embeddings: np.ndarray
    clip_clauses: np.ndarray
    values: list[tuple[str, str]]
    clip_values: np.ndarray
    captions: list[str] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)


class Summary(NamedTuple):
    """Points; the reason where there could be none, and where any sample is missing.

    The samples as texts, where several were taken.
    """

    points: list[Point]
    failed: str | None = None
    missing: str | None = None
    samples: Sequence[str] = ()


S = TypeVar("S", bound=Settings)


class Summarizer(Plugin[S]):
    """Turns the captions of K clips into points, for many neurons at once.

    `asks`: it needs a language model. `random_sets`: how many random sets of clips are summarised for comparison.
    """

    asks: bool = False
    random_sets: int = 1000

    def describe(self) -> str:
        """Return one line for provenance."""
        return self.kind

    def fingerprint(self) -> str:
        """Return the version of the method."""
        return ""

    def requests(self, texts: CaptionTexts, clips: np.ndarray) -> Iterator[Question]:
        """Yield questions that :meth:`summarize` will ask of these rows; none by default."""
        return iter(())

    def summarize(self, texts: CaptionTexts, clips: np.ndarray, ask: Ask | None = None) -> list[Summary]:
        """Return a summary for each row of `clips`.

        Parameters
        ----------
        texts : CaptionTexts
            Captions of all clips.
        clips : (B, K) int
            Clip numbers, -1 where there are fewer than K.
        ask : callable, optional
            Gives the replies to requests; needed by those that ask.
        """
        raise NotImplementedError


SUMMARIZERS: Registry[Summarizer[Any]] = Registry("summarizer", "and_core.dissect", "and_core.summarizers")


class CommonalitySettings(Settings):
    """`share` of the K clips, rounded up; `threshold` of the grouping; `most` clause points a summary."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.6
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.6
    most: Annotated[int, Field(ge=1, le=20)] = 4


@SUMMARIZERS.register
class Commonality(Summarizer[CommonalitySettings]):
    """A point is what at least `share` of the K clips say: an attribute, or clauses whose cosine similarity exceeds
    `threshold`."""

    kind = "commonality"
    VERSION = "1"

    def fingerprint(self) -> str:
        """Return the version of the method and of the lexicon behind it."""
        from and_core.dissect.attributes import LEXICON

        return self.VERSION + repr(LEXICON)

    def describe(self) -> str:
        """Return one line for provenance."""
        return "commonality (no language model)"

    def summarize(self, texts: CaptionTexts, clips: np.ndarray, ask: Ask | None = None) -> list[Summary]:
        """Return points, those of most clips first; attributes before clauses at equal counts."""
        s = self.settings
        of = (clips >= 0).sum(1)
        need = np.maximum(2, np.array([math.ceil(s.share * n - 1e-9) for n in of]))
        present = clips >= 0
        counts = (
            (texts.clip_values[clips] & present[:, :, None]).sum(1) if texts.values else np.zeros((len(clips), 0), int)
        )
        groups = self._groups(texts, clips, need)
        summaries = []
        for row in range(len(clips)):
            points = []
            for v in np.flatnonzero(counts[row] >= need[row]):
                attribute, value = texts.values[v]
                points.append(
                    Point.model_construct(
                        text=value,
                        count=int(counts[row, v]),
                        of=int(of[row]),
                        attribute=attribute,
                        kept=True,
                        removed_by=None,
                        similarity=None,
                    )
                )
            for clause, count in groups[row]:
                points.append(
                    Point.model_construct(
                        text=texts.clauses[clause],
                        count=count,
                        of=int(of[row]),
                        attribute=None,
                        kept=True,
                        removed_by=None,
                        similarity=None,
                    )
                )
            summaries.append(Summary(sorted(points, key=lambda p: (-(p.count or 0), p.attribute is None, p.text))))
        return summaries

    def _groups(self, texts: CaptionTexts, clips: np.ndarray, need: np.ndarray) -> list[list[tuple[int, int]]]:
        """Return the greedy cover for each row: the clause that the most clips come close to, its group taken out, and
        again."""
        s = self.settings
        rows, k = clips.shape
        groups: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
        if not texts.clauses:
            return groups
        per_clip = texts.clip_clauses.shape[1]
        most = max(1, MEMORY // (k * per_clip * (k * per_clip + texts.embeddings.shape[1])))
        if rows > most:
            return [
                group
                for start in range(0, rows, most)
                for group in self._groups(texts, clips[start : start + most], need[start : start + most])
            ]
        ids = np.where(clips[:, :, None] >= 0, texts.clip_clauses[clips], -1).reshape(rows, k * per_clip)
        vectors = texts.embeddings[ids]
        vectors[ids < 0] = 0
        close = np.matmul(vectors, vectors.transpose(0, 2, 1)) > s.threshold
        for _ in range(s.most):
            reach = close.reshape(rows, k * per_clip, k, per_clip).any(3).sum(2)
            best = reach.argmax(1)
            count = reach[np.arange(rows), best]
            live = np.flatnonzero((count >= need) & (count >= 2))
            if not len(live):
                break
            for row in live:
                groups[row].append((int(ids[row, best[row]]), int(count[row])))
            gone = close[live, best[live]]
            close[live] &= ~gone[:, :, None] & ~gone[:, None, :]
        return groups
