"""Asking a language model once: what the answer cache has is not asked again, what failed is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from and_core.llms.base import LanguageModel, Question
from and_core.reply import Reply
from and_core.store.answers import AnswerCache

NOT_ASKED = Reply(None, "not asked")


class Asked(NamedTuple):
    """How many distinct questions were new, and how many of those have no answer, with the first reason."""

    new: int
    failed: int
    reason: str | None


def unanswered(reasons: Sequence[str]) -> dict[str, Any]:
    """Return a stage's notes on answers that are missing, which make the pipeline do it again.

    Nothing where none is.
    """
    return {"failed_answers": len(reasons), "failed_reason": reasons[0]} if reasons else {}


class CachedLLM:
    """A language model with its answer cache.

    Parameters
    ----------
    model : LanguageModel
    root : Path
        Cache folder; its dissections share one answer cache, so that a word is asked once for all of them.

    Attributes
    ----------
    asked, failed : int
        Questions that were new, and those of them that have no answer; `reason` says why the first has none.
    """

    def __init__(self, model: LanguageModel, root: Path, progress: Callable[[str, int, int], None]) -> None:
        self.model, self.progress = model, progress
        self.asked = self.failed = 0
        self.reason: str | None = None
        self._root = root
        self._answers: AnswerCache | None = None

    @property
    def answers(self) -> AnswerCache:
        """Opened at the first question."""
        if self._answers is None:
            self._answers = AnswerCache(self._root)
        return self._answers

    def fetch(self, stage: str, requests: Iterable[Question], total: int) -> Asked:
        """Ask every distinct question that has no answer yet, and keep each answer the moment it comes.

        Parameters
        ----------
        stage : str
            For the progress bar.
        requests : iterable of Question
            Taken as fast as they are answered; never held all at once.
        total : int
            How many there are.
        """
        seen: set[str] = set()
        waiting: dict[int, tuple[str, Question]] = {}
        done = asked = failed = 0
        reason = None

        def new() -> Iterator[Question]:
            nonlocal done, asked
            for request in requests:
                key = self.model.key(request)
                known = key in seen or self.answers.given(key)
                seen.add(key)
                if known:
                    done += 1
                    continue
                waiting[asked] = (key, request)
                asked += 1
                yield request

        for number, reply in self.model.answer(new()):
            key, request = waiting.pop(number)
            self.answers.put(
                key, self.model.describe(), request.prompt, request.sample, reply.text, reply.error, reply.cut
            )
            done += 1
            if reply.text is None:
                failed += 1
                reason = reason or reply.error
            self.progress(f"{stage} answers", done, total)
        self.progress(f"{stage} answers", total, total)
        self.asked, self.failed, self.reason = self.asked + asked, self.failed + failed, self.reason or reason
        return Asked(asked, failed, reason)

    def __call__(self, requests: list[Question]) -> list[Reply]:
        """Return replies from the answer cache, in order."""
        keys = [self.model.key(r) for r in requests]
        answers = self.answers.get(set(keys))
        return [Reply(*answers[key]) if key in answers else NOT_ASKED for key in keys]
