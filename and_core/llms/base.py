"""What every language model offers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from and_core import registry
from and_core.errors import ConfigError
from and_core.reply import Reply
from and_core.store.files import sha256_files


@dataclass(frozen=True)
class Request:
    """One question. `sample` tells apart several answers to the same prompt; `temperature` 0 is greedy."""

    prompt: str
    sample: int = 0
    temperature: float = 0.0
    max_tokens: int = 1024


class LanguageModel(registry.Plugin):
    """Answers prompts; each is one turn of a user, put into the model's own chat template."""

    class Settings(registry.Settings):
        """`model`: name on the server, hub id, or folder; `top_p` of sampling; `seed` to which a request's `sample` is added."""

        model: str
        top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
        seed: int = 0

    def fingerprint(self) -> str:
        """Identity of the model and of how it samples. Needs no loading and no server."""
        s: Any = self.settings
        return json.dumps([s.model, s.top_p, s.seed])

    def describe(self) -> str:
        """One line for provenance."""
        return f"{self.settings.model} ({self.kind})"  # type: ignore[attr-defined]

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply]]:
        """Answers as they come, each with the number of its request; a request that fails gives a reply with an error.

        Raises
        ------
        ANDError
            The model can't be used at all.
        """
        raise NotImplementedError

    def key(self, request: Request) -> str:
        """Name of a question in the book of answers: the same question to the same model is asked once."""
        parts = [self.fingerprint(), request.prompt, request.sample, request.temperature, request.max_tokens]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def folder_hash(folder: Path) -> str:
    """One hash of everything in a checkpoint's folder that decides answers: weights, tokenizer, templates, settings.

    Raises
    ------
    ConfigError
        There are no weights.
    """
    files = [p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".pt", ".gguf", ".json", ".jinja", ".model", ".txt")]
    if not any(p.suffix in (".safetensors", ".bin", ".pt", ".gguf") for p in files):
        raise ConfigError(f"llm.model={str(folder)!r} holds no weights")
    return sha256_files(files)


Ask = Callable[[list[Request]], list[Reply]]
"""Replies in the order of the requests, from the book of answers."""

LLMS: registry.Registry[LanguageModel] = registry.Registry("llm", "and_core.llms")
