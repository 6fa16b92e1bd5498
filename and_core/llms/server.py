"""Any OpenAI-compatible server: vLLM, Ollama, llama.cpp, `transformers serve`, or a hosted one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from and_core.llms.base import LLMS, LanguageModel, Request
from and_core.openai_api import ChatServer, ServerSettings, api_key
from and_core.reply import Reply


@LLMS.register
class Server(LanguageModel):
    """`in_flight` requests at a time, each retried with growing waits."""

    kind = "server"

    class Settings(LanguageModel.Settings, ServerSettings):
        """Where the server is, see :class:`and_core.openai_api.ServerSettings`."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        api_key(settings)

    def fingerprint(self) -> str:
        """Name of the model on the server, its tag, and how it samples."""
        tag = self.settings.tag  # type: ignore[attr-defined]
        return super().fingerprint() + (f" {tag}" if tag else "")

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[int, Reply]]:
        """Answers in the order in which the server gives them."""
        s: Any = self.settings
        yield from ChatServer(s).ask(
            {
                "messages": [{"role": "user", "content": r.prompt}], "temperature": r.temperature, "top_p": s.top_p,
                "max_tokens": r.max_tokens, "seed": s.seed + r.sample,
            }
            for r in requests
        )  # fmt: skip
