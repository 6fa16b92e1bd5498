"""Any OpenAI-compatible server: vLLM, Ollama, llama.cpp, `transformers serve`, or a hosted one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from and_core.llms.base import LLMS, LanguageModel, Request
from and_core.openai_api import ChatServer, Reply, ServerSettings


@LLMS.register
class Server(LanguageModel):
    """`in_flight` requests at a time, each retried with growing waits."""

    kind = "server"

    class Settings(LanguageModel.Settings, ServerSettings):
        """Where the server is, see :class:`and_core.openai_api.ServerSettings`."""

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
