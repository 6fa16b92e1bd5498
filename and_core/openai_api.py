"""Talking to an OpenAI-compatible server (vLLM, Ollama, llama.cpp, `transformers serve`): bounded, retried, never guessing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Any

from pydantic import Field

from and_core import registry
from and_core.errors import ConfigError

GIVE_UP = 3  # requests in a row that can't reach the server, after which the rest is not tried


@dataclass(frozen=True)
class Reply:
    """What came of one request: a text, or the reason why there is none. `cut`: the answer ran into `max_tokens`."""

    text: str | None
    error: str | None = None
    cut: bool = False


class ServerSettings(registry.Settings):
    """`base_url` ends in ``/v1``; `api_key_env` names the environment variable that holds the key, which is stored nowhere."""

    base_url: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:8000/v1"
    model: str
    api_key_env: str | None = None
    in_flight: Annotated[int, Field(ge=1, le=1024)] = 32
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    retries: Annotated[int, Field(ge=0, le=10)] = 4


class ChatServer:
    """Requests to one server, at most `in_flight` at a time; the client's own retries wait longer each time.

    Raises
    ------
    ConfigError
        The environment variable of the key is not set.
    """

    def __init__(self, settings: ServerSettings) -> None:
        from openai import OpenAI

        self.settings = settings
        key = "none"
        if settings.api_key_env:
            key = os.environ.get(settings.api_key_env, "")
            if not key:
                raise ConfigError(f"llm.api_key_env={settings.api_key_env!r}: this environment variable is not set")
        self._client = OpenAI(base_url=settings.base_url, api_key=key, timeout=settings.timeout, max_retries=settings.retries)
        self._lost = 0
        self._lock = Lock()

    def ask(self, requests: Iterable[dict[str, Any]]) -> Iterator[tuple[int, Reply]]:
        """Answers as they come, each with the number of its request.

        Parameters
        ----------
        requests : iterable of dict
            Arguments of ``/chat/completions`` besides the model; taken only as fast as they are answered.
        """
        waiting: dict[Future[Reply], int] = {}
        numbered = enumerate(requests)
        with ThreadPoolExecutor(self.settings.in_flight) as pool:
            try:
                while True:
                    while len(waiting) < self.settings.in_flight:
                        number, request = next(numbered, (None, None))
                        if request is None or number is None:
                            break
                        waiting[pool.submit(self._one, request)] = number
                    if not waiting:
                        return
                    for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                        yield waiting.pop(done), done.result()
            finally:
                for left in waiting:
                    left.cancel()

    def _one(self, request: dict[str, Any]) -> Reply:
        from openai import APIConnectionError, OpenAIError

        s = self.settings
        if self._lost >= GIVE_UP:
            return Reply(None, f"the server at {s.base_url} could not be reached; not tried")
        try:
            reply = self._client.chat.completions.create(model=s.model, **request)
        except APIConnectionError as error:
            with self._lock:
                self._lost += 1
            return Reply(None, f"the server at {s.base_url} gave no whole answer: {_line(error.__cause__ or error)}")
        except (OpenAIError, ValueError, TypeError) as error:  # an error status, or a body that is no answer
            return Reply(None, f"the server at {s.base_url} refused or answered nonsense: {_line(error)}")
        with self._lock:
            self._lost = 0
        choices = getattr(reply, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        text = getattr(getattr(first, "message", None), "content", None)
        if not isinstance(text, str):
            return Reply(None, f"the server at {s.base_url} answered nonsense: no choices[0].message.content")
        if not text.strip():
            return Reply(None, "the answer is empty")
        return Reply(text, cut=getattr(first, "finish_reason", None) == "length")


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
