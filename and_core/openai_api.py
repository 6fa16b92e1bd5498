"""Talking to an OpenAI-compatible server (vLLM, Ollama, llama.cpp, `transformers serve`): bounded, retried, never guessing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from ipaddress import ip_address
from threading import Lock
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from and_core import registry
from and_core.errors import ConfigError
from and_core.reply import Reply, content_of, printable

GIVE_UP = 3  # requests in a row that can't reach the server, after which the rest is not tried


class ServerSettings(registry.Settings):
    """`base_url` ends in ``/v1``; `api_key_env` names the environment variable that holds the key, which is stored nowhere."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] = "http://127.0.0.1:8000/v1"  # no user and password in it: it is stored and shown
    model: str
    api_key_env: str | None = None
    in_flight: Annotated[int, Field(ge=1, le=1024)] = 32
    tag: str = ""  # change it when another model goes by the same name, or its answers will be taken for the old one's
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    retries: Annotated[int, Field(ge=0, le=10)] = 4


def api_key(settings: ServerSettings) -> str:
    """The key that the settings point to.

    Raises
    ------
    ConfigError
        The environment variable is not set, or holds what no header can carry.
    """
    if not settings.api_key_env:
        return "none"
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"api_key_env={settings.api_key_env!r}: this environment variable {'holds no key' if key else 'is not set'}")
    return key


class ChatServer:
    """Requests to one server, at most `in_flight` at a time; the client's own retries wait longer each time."""

    def __init__(self, settings: ServerSettings) -> None:
        from openai import DefaultHttpxClient, OpenAI

        self.settings = settings
        key = api_key(settings)
        self._secret = key if settings.api_key_env else None
        direct = DefaultHttpxClient(trust_env=False) if is_loopback(settings.base_url) else None  # a proxy for the internet can't reach this machine
        self._client = OpenAI(base_url=settings.base_url, api_key=key, timeout=settings.timeout, max_retries=settings.retries, http_client=direct)
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
        pool = ThreadPoolExecutor(self.settings.in_flight)
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
        finally:  # also when the caller stops in the middle: nothing is waited for
            pool.shutdown(wait=False, cancel_futures=True)
            self._client.close()

    def _one(self, request: dict[str, Any]) -> Reply:
        from openai import APIConnectionError, AuthenticationError, NotFoundError, OpenAIError, PermissionDeniedError

        s = self.settings
        if self._lost >= GIVE_UP:
            return Reply(None, f"the server at {s.base_url} could not be reached or lets nobody in; not tried")
        try:
            reply = self._client.chat.completions.create(model=s.model, **request)
        except APIConnectionError as error:
            with self._lock:
                self._lost += 1
            return Reply(None, f"the server at {s.base_url} gave no whole answer: {self._line(error.__cause__ or error)}")
        except (AuthenticationError, PermissionDeniedError, NotFoundError) as error:  # a wrong key or name of a model: so it will be with all
            with self._lock:
                self._lost += 1
            return Reply(None, f"the server at {s.base_url} refused: {self._line(error)}")
        except json.JSONDecodeError:
            return Reply(None, f"the server at {s.base_url} answered nonsense: no JSON, such as a web page; does base_url end in /v1?")
        except (OpenAIError, ValueError, TypeError) as error:  # another error status, or a body that is no answer
            return Reply(None, f"the server at {s.base_url} refused or answered nonsense: {self._line(error)}")
        with self._lock:
            self._lost = 0
        choices = getattr(reply, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        if message is None:
            return Reply(None, f"the server at {s.base_url} answered {self._clean(_told(reply))}")
        return content_of(message, getattr(first, "finish_reason", None) == "length")

    def _line(self, error: BaseException) -> str:
        """The server's own words on an error where it has some, else the client's; the key is taken out first."""
        body = getattr(error, "body", None)
        told = _message(body)
        return self._clean(f"{told} (status {getattr(error, 'status_code', '?')})" if told else str(error).strip() or type(error).__name__)

    def _clean(self, text: str) -> str:
        hidden = text if self._secret is None else text.replace(self._secret, "[key]")
        return (printable(hidden).strip() or "nothing").splitlines()[0][:200]


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _message(body: Any) -> str | None:
    """A server's own message in the body of an answer that is none."""
    for _ in range(3):
        if isinstance(body, list | tuple) and body:
            body = body[0]
        if isinstance(body, Mapping):
            body = next((body[name] for name in ("error", "message", "msg", "detail") if body.get(name)), None)
    return body if isinstance(body, str) and body.strip() else None


def _told(reply: Any) -> str:
    """What a server said in place of an answer."""
    if isinstance(reply, str):
        kind = "a web page" if reply.lstrip()[:1] == "<" else "a text"
        return f"{kind}, no completion; does base_url end in /v1? It begins: {reply.strip()[:80]!r}"
    own = reply.model_dump() if hasattr(reply, "model_dump") else reply
    message = _message({name: own[name] for name in ("error", "message", "msg", "detail") if isinstance(own, Mapping) and own.get(name)})
    return f"with an error: {message}" if message else "nonsense: no choices[0].message"
