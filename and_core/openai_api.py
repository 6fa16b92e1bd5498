"""Talking to an OpenAI-compatible server (vLLM, Ollama, llama.cpp, `transformers serve`): bounded, retried, never
guessing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from threading import Thread
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import Field

from and_core.errors import ConfigError
from and_core.registry import Settings
from and_core.reply import Reply, content_of, printable

GIVE_UP = 3  # requests in a row that can't reach the server, after which the rest is not tried
LONGEST = 64 << 20  # bytes of an answer
LEAVE = 1.0  # seconds that requests in flight are given to end


class ServerSettings(Settings):
    """`base_url` ends in ``/v1``.

    `api_key_env` names the environment variable that holds the key, which is stored nowhere.
    """

    base_url: Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")] = (
        "http://127.0.0.1:8000/v1"  # no password and no key in it: it is stored and shown
    )
    model: str
    api_key_env: str | None = None
    in_flight: Annotated[int, Field(ge=1, le=1024)] = 32
    tag: str = ""  # change it when another model goes by the same name, or its answers will be taken for the old one's
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    retries: Annotated[int, Field(ge=0, le=10)] = 4

    def reaches(self) -> list[str]:
        """Return the server, and the variable with the key that goes to it."""
        return [
            f"opens {self.base_url}",
            *([f"sends it what the variable {self.api_key_env} holds"] if self.api_key_env else []),
        ]


def api_key(settings: ServerSettings) -> str:
    """Return the key that the settings point to.

    Raises
    ------
    ConfigError
        The environment variable is not set, or holds what no header can carry.
    """
    if not settings.api_key_env:
        return "none"
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"api_key_env={settings.api_key_env!r}: this environment variable {'holds no key' if key else 'is not set'}"
        )
    return key


class ChatServer:
    """Requests to one server, at most `in_flight` at a time; the client's own retries wait longer each time."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._key = api_key(settings)
        self._secret = self._key if settings.api_key_env else None
        self._lost = 0

    def ask(self, requests: Iterable[dict[str, Any]]) -> Iterator[tuple[int, Reply]]:
        """Yield answers as they come, each with the number of its request.

        Parameters
        ----------
        requests : iterable of dict
            Arguments of ``/chat/completions`` besides the model; taken only as fast as they are answered.
        """
        from openai import AsyncOpenAI

        s = self.settings
        waiting: dict[Future[Reply], int] = {}
        numbered = enumerate(requests)
        with _background_loop() as loop:
            client = AsyncOpenAI(
                base_url=s.base_url,
                api_key=self._key,
                timeout=s.timeout,
                max_retries=s.retries,
                http_client=bounded_client(s),
            )
            while True:
                while len(waiting) < s.in_flight:
                    number, request = next(numbered, (None, None))
                    if request is None or number is None:
                        break
                    waiting[asyncio.run_coroutine_threadsafe(self._one(client, request), loop)] = number
                if not waiting:
                    return
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()

    async def _one(self, client: Any, request: dict[str, Any]) -> Reply:
        from openai import APIConnectionError, AuthenticationError, NotFoundError, OpenAIError, PermissionDeniedError

        s = self.settings
        if self._lost >= GIVE_UP:
            return Reply(None, f"the server at {s.base_url} could not be reached or lets nobody in; not tried")
        try:
            reply = await client.chat.completions.create(model=s.model, **request)
        except APIConnectionError as error:
            self._lost += 1
            return Reply(
                None, f"the server at {s.base_url} gave no whole answer: {self._line(error.__cause__ or error)}"
            )
        except (
            AuthenticationError,
            PermissionDeniedError,
            NotFoundError,
        ) as error:  # a wrong key or name of a model: so it will be with all
            self._lost += 1
            return Reply(None, f"the server at {s.base_url} refused: {self._line(error)}")
        except json.JSONDecodeError:
            return Reply(
                None,
                f"the server at {s.base_url} answered nonsense: no JSON, such as a web page; does base_url end in /v1?",
            )
        except (
            OpenAIError,
            ValueError,
            TypeError,
            RecursionError,
        ) as error:  # another error status, or a body that is no answer
            return Reply(None, f"the server at {s.base_url} refused or answered nonsense: {self._line(error)}")
        self._lost = 0
        choices = getattr(reply, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        if message is None:
            return Reply(None, f"the server at {s.base_url} answered {self._clean(_told(reply))}")
        return content_of(message, getattr(first, "finish_reason", None) == "length")

    def _line(self, error: BaseException) -> str:
        """Return the server's own words on an error where it has some, else the client's.

        The key is taken out first.
        """
        body = getattr(error, "body", None)
        message = _message(body)
        return self._clean(
            f"{message} (status {getattr(error, 'status_code', '?')})"
            if message
            else str(error).strip() or type(error).__name__
        )

    def _clean(self, text: str) -> str:
        hidden = text if self._secret is None else text.replace(self._secret, "[key]")
        return (printable(hidden).strip() or "nothing").splitlines()[0][:200]


@contextmanager
def _background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Return an event loop in a thread of its own.

    Whatever still runs in it ends with it, and nothing is waited for.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()

    async def end() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1) if tasks else None

    try:
        yield loop
    finally:  # also when the caller stops in the middle
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), loop).result(LEAVE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LEAVE)


def bounded_client(settings: ServerSettings) -> Any:
    """Return an HTTP client whose time limit is for a whole answer, however slowly it drips, and which takes no endless
    one.

    A proxy for the internet is not used for this machine's own addresses, which it can't reach.
    """
    import httpx

    class Bounded(httpx.AsyncBaseTransport):
        def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
            self._inner = inner

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                async with asyncio.timeout(settings.timeout):
                    try:
                        response = await self._inner.handle_async_request(request)
                    except (
                        httpx.ReadError,
                        httpx.RemoteProtocolError,
                    ):  # closed before a byte of an answer: an old connection, or too many new ones at once
                        response = await self._inner.handle_async_request(request)
                    body = bytearray()
                    async for part in response.stream:  # type: ignore[union-attr]
                        body += part
                        if len(body) > LONGEST:
                            raise httpx.ReadError(f"more than {LONGEST} bytes", request=request)
                    await response.aclose()
            except TimeoutError:
                raise httpx.ReadTimeout(f"no whole answer in {settings.timeout:g} s", request=request) from None
            return httpx.Response(
                response.status_code,
                headers=response.headers,
                stream=httpx.ByteStream(bytes(body)),
                extensions=response.extensions,
            )

        async def aclose(self) -> None:
            await self._inner.aclose()

    proxies = {} if is_loopback(settings.base_url) else getproxies()
    proxy = proxies.get(urlsplit(settings.base_url).scheme) or proxies.get("all")
    if proxy is not None and proxy_bypass(urlsplit(settings.base_url).hostname or ""):
        proxy = None
    limits = httpx.Limits(max_connections=settings.in_flight, max_keepalive_connections=settings.in_flight)
    return httpx.AsyncClient(
        transport=Bounded(httpx.AsyncHTTPTransport(proxy=proxy, limits=limits)),
        timeout=settings.timeout,
        follow_redirects=False,
    )


def is_loopback(url: str) -> bool:
    """Return whether an address is this machine's own."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _message(body: Any) -> str | None:
    """Return a server's own message in the body of an answer that is none."""
    for _ in range(3):
        if isinstance(body, list | tuple) and body:
            body = body[0]
        if isinstance(body, Mapping):
            body = next((body[name] for name in ("error", "message", "msg", "detail") if body.get(name)), None)
    return body if isinstance(body, str) and body.strip() else None


def _told(reply: Any) -> str:
    """Return what a server said in place of an answer."""
    if isinstance(reply, str):
        kind = "a web page" if reply.lstrip()[:1] == "<" else "a text"
        return f"{kind}, no completion; does base_url end in /v1? It begins: {reply.strip()[:80]!r}"
    own = reply.model_dump() if hasattr(reply, "model_dump") else reply
    message = _message(
        {
            name: own[name]
            for name in ("error", "message", "msg", "detail")
            if isinstance(own, Mapping) and own.get(name)
        }
    )
    return f"with an error: {message}" if message else "nonsense: no choices[0].message"
