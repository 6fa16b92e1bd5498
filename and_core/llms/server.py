"""Any OpenAI-compatible server: vLLM, Ollama, llama.cpp, `transformers serve`, or a hosted one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from and_core.llms.base import LLMS, LanguageModel, LanguageModelSettings, Question
from and_core.openai_api import ChatServer, ServerSettings, api_key
from and_core.reply import Reply


class LanguageServerSettings(LanguageModelSettings, ServerSettings):
    """Where the server is, see :class:`and_core.openai_api.ServerSettings`."""

    model: str  # its name on the server, never a folder here


@LLMS.register
class LanguageServer(LanguageModel[LanguageServerSettings]):
    """`in_flight` requests at a time, each retried with growing waits."""

    kind = "server"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        api_key(settings)

    def fingerprint(self) -> str:
        """Name of the model on the server, its tag, and how it samples."""
        tag = self.settings.tag
        return super().fingerprint() + (f" {tag}" if tag else "")

    def answer(self, requests: Iterable[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield answers in the order in which the server gives them."""
        s = self.settings
        yield from ChatServer(s).ask(
            {
                "messages": [{"role": "user", "content": r.prompt}], "temperature": r.temperature, "top_p": s.top_p,
                "max_tokens": r.max_tokens, "seed": s.seed + r.sample,
            }
            for r in requests
        )  # fmt: skip
