"""Summaries by a language model (AND section 3): shown the K captions, it names what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from and_core.dissect.points import clean_points
from and_core.dissect.prompts import fill
from and_core.dissect.summarize import SUMMARIZERS, CaptionTexts, Summarizer, Summary
from and_core.llms.base import Ask, Question
from and_core.records import Point
from and_core.registry import Settings
from and_core.reply import Reply

NO_CAPTION = "none of the clips has a caption"


class ByLanguageModelSettings(Settings):
    """`samples` answers a summary; `temperature` and `max_tokens` of each (the paper's: 1, 1024)."""

    samples: Annotated[int, Field(ge=1, le=20)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 1024


@SUMMARIZERS.register
class ByLanguageModel(Summarizer[ByLanguageModelSettings]):
    """One answer a side of each neuron, `samples` where their agreement is wanted; the first is the summary."""

    kind = "llm"
    asks = True
    random_sets = (
        0  # a model always finds something to say: a rate of random sets would cost a thousand answers and tell nothing
    )
    VERSION = "1"

    def fingerprint(self) -> str:
        """Return the version of the clean-up."""
        return self.VERSION

    def describe(self) -> str:
        """Return one line for provenance."""
        return "language model"

    def requests(self, texts: CaptionTexts, clips: np.ndarray) -> Iterator[Question]:
        """Yield every question that :meth:`summarize` will ask, row by row, sample by sample."""
        for row in clips:
            captions = [texts.captions[c] for c in row if c >= 0 and texts.captions[c]]
            if captions:
                prompt = fill(
                    texts.prompts["summary"],
                    captions="\n".join(f"{i}. {text}" for i, text in enumerate(captions, 1)),
                    count=len(captions),
                )
                yield from self._samples(prompt)

    def _samples(self, prompt: str) -> list[Question]:
        s = self.settings
        return [Question(prompt, sample, s.temperature, s.max_tokens) for sample in range(s.samples)]

    def summarize(self, texts: CaptionTexts, clips: np.ndarray, ask: Ask | None = None) -> list[Summary]:
        """Return points of the first sample there is.

        A row none of whose questions was answered has failed, with the reason.
        """
        assert ask is not None
        samples = self.settings.samples
        replies = iter(ask(list(self.requests(texts, clips))))
        summaries = []
        for row in clips:
            of = sum(1 for c in row if c >= 0 and texts.captions[c])
            if not of:
                summaries.append(Summary([], failed=NO_CAPTION if (row >= 0).any() else None))
                continue
            samples_of_row = [next(replies) for _ in range(samples)]
            summaries.append(_summary(samples_of_row, of))
        return summaries


def _summary(replies: list[Reply], of: int) -> Summary:
    given = [clean_points(r.text, r.cut) for r in replies if r.text is not None]
    missing = next((r.error or "no answer" for r in replies if r.text is None), None)
    if not given:
        return Summary([], failed=missing, missing=missing)
    points = [Point(text=text, count=None, of=of) for text in given[0]]
    return Summary(
        points, missing=missing, samples=[" ".join(points) for points in given if points] if len(replies) > 1 else []
    )
