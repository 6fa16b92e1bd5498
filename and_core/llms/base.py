"""What every language model offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from and_core.errors import ConfigError
from and_core.registry import PathMark, Plugin, Registry, Settings
from and_core.reply import Reply
from and_core.store.files import sha256_files


@dataclass(frozen=True)
class Question:
    """One question. `sample` tells apart several answers to the same prompt; `temperature` 0 is greedy."""

    prompt: str
    sample: int = 0
    temperature: float = 0.0
    max_tokens: int = 1024


class LanguageModelSettings(Settings):
    """`model`: name on the server, hub id, or folder; `top_p` of sampling.

    `seed` to which a question's `sample` is added.
    """

    model: Annotated[str, PathMark(always=False, separator=True, identifies=True)]
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0


L = TypeVar("L", bound=LanguageModelSettings)


class LanguageModel(Plugin[L]):
    """Answers prompts; each is one turn of a user, put into the model's own chat template."""

    Settings = LanguageModelSettings

    def fingerprint(self) -> str:
        """Return the identity of the model and of how it samples. Needs no loading and no server."""
        s = self.settings
        return json.dumps([s.model, s.top_p, s.seed])

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"{self.settings.model} ({self.kind})"

    def answer(self, requests: Iterable[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield answers as they come, each with the number of its request; a request that fails gives a reply with an
        error.

        Raises
        ------
        ANDError
            The model can't be used at all.
        """
        raise NotImplementedError

    def key(self, request: Question) -> str:
        """Name of a question in the answer cache: the same question to the same model is asked once."""
        parts = [self.fingerprint(), request.prompt, request.sample, request.temperature, request.max_tokens]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def folder_hash(folder: Path) -> str:
    """Return one hash of everything in a checkpoint's folder that decides answers: weights, tokenizer, templates,
    settings.

    Raises
    ------
    ConfigError
        There are no weights.
    """
    files = [
        p
        for p in folder.iterdir()
        if p.suffix in (".safetensors", ".bin", ".pt", ".gguf", ".json", ".jinja", ".model", ".txt")
    ]
    if not any(p.suffix in (".safetensors", ".bin", ".pt", ".gguf") for p in files):
        raise ConfigError(f"llm.model={str(folder)!r} holds no weights")
    return sha256_files(files)


Ask = Callable[[list[Question]], list[Reply]]
"""Replies in the order of the requests, from the answer cache."""

LLMS: Registry[LanguageModel[Any]] = Registry("llm", "and_core.llms")
