"""The raters' server: the rating page and nothing else.

No page of the owner's, no listing, no file by name; everything else is 404.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from and_core.errors import ANDError, AnswerConflict, AnswerRefused, MissingExtra, StorageError, StudyError
from and_core.study.session import Session
from and_core.study.sounds import beeps, read_sound
from and_core.study.study import Study
from and_core.web import LOOPBACK, HostGuard, ranged, told_hosts

BODY = 64 * 1024  # bytes that an answer may have
PATIENCE = 8.0  # seconds for a request to arrive, and for the database
THREADS = 200  # waiting for the database at most, those that were given up among them
JOINS, JOIN_SPAN = 12, 60.0  # places that one address takes by the common link in so many seconds
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
STATIC = ("rate.js", "join.js", "rate.css")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src "
    "'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNUSABLE = "the study's database can't be used now"
LOG = logging.getLogger(__name__)
GONE = "This link is not known. It may have been replaced by a newer one; ask the person who invited you."


@lru_cache
def _file(name: str) -> bytes:
    return files("and_core").joinpath("data", "study", name).read_bytes()


def _page(name: str, status: int = 200) -> Response:
    return Response(_file(name), status, media_type=TYPES[name.rpartition(".")[2]], headers=HEADERS)


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(content, status, headers=HEADERS)


def _plain(text: str, status: int) -> Response:
    return Response(text, status, media_type="text/plain; charset=utf-8", headers=HEADERS)


async def _body(request: Request, patience: float) -> bytes:
    """Return the request's body, refused before it is read past :data:`BODY`, and given up after `patience` seconds."""
    read = bytearray()
    with anyio.fail_after(patience):
        async for part in request.stream():
            read += part
            if len(read) > BODY:
                raise AnswerRefused(f"an answer has at most {BODY} bytes")
    return bytes(read)


def _late() -> Response:
    return Response(
        "the request did not arrive in time",
        408,
        media_type="text/plain; charset=utf-8",
        headers={**HEADERS, "Connection": "close"},
    )


def _failed(error: ANDError, state: dict[str, Any] | None = None) -> Response:
    """Return a reason the page can show; only a 503 is worth sending again."""
    status = (
        503
        if isinstance(error, StorageError)
        else 409
        if isinstance(error, AnswerConflict)
        else 422
        if isinstance(error, AnswerRefused)
        else 400
    )
    reason = (
        UNUSABLE if isinstance(error, StorageError) else str(error)
    )  # what the driver says may name hosts and users: it goes to the owner's log
    if isinstance(error, StorageError):
        LOG.warning("%s", error)
    return _json({"error": reason, **({"state": state} if state else {})}, status)


class _Rating:
    """Routes of one study."""

    def __init__(self, study: Study, patience: float) -> None:
        self.study, self.patience = study, patience
        self._threads: anyio.CapacityLimiter | None = None
        self._joins: dict[str, list[float]] = {}

    def _many_joins(self, client: str) -> bool:
        """Return whether an address has taken so many places that it must wait: nobody takes all of them at once."""
        if client in LOOPBACK:  # this machine's own; a proxy here hands on whom it serves
            return False
        now = time.monotonic()
        recent = [at for at in self._joins.get(client, []) if now - at < JOIN_SPAN]
        self._joins[client] = [*recent, now] if len(recent) < JOINS else recent
        if len(self._joins) > 10_000:
            self._joins.clear()
        return len(recent) >= JOINS

    def _session(self, request: Request) -> Session | None:
        place = self.study.place(request.path_params["token"])
        return None if place is None else Session(self.study, place)

    async def page(self, request: Request) -> Response:
        try:
            place = await run_in_threadpool(self.study.place, request.path_params["token"])
        except StorageError as error:
            LOG.warning("%s", error)
            return _plain(
                f"{UNUSABLE[:1].upper()}{UNUSABLE[1:]}. Nothing you saved is lost; open this link again in a while.",
                503,
            )
        return _page("rate.html") if place else _plain(GONE, 404)

    async def state(self, request: Request) -> Response:
        def work() -> Response:
            session = self._session(request)
            return _json(session.state()) if session else _json({"error": GONE}, 404)

        return await self._work(work)

    async def events(self, request: Request) -> Response:
        try:
            sent = json.loads(await _body(request, self.patience))
        except (ValueError, RecursionError):
            return _json({"error": "an answer must be JSON"}, 422)
        except AnswerRefused as error:
            return _failed(error)
        except ClientDisconnect:
            return _json({"error": "the answer did not arrive whole"}, 400)
        except TimeoutError:
            return _late()

        def work() -> Response:
            session = self._session(request)
            if session is None:
                return _json({"error": GONE}, 404)
            try:
                saved = session.record(sent)
            except AnswerConflict as error:
                return _failed(error, self._session(request).state())  # type: ignore[union-attr]
            fresh = self._session(request)
            return _json({**saved, "state": fresh.state() if fresh else None})

        return await self._work(work)

    async def sound(self, request: Request) -> Response:
        def work() -> Response:
            session = self._session(request)
            opaque, wanted = request.path_params["opaque"], request.headers.get("range")
            if session is None:
                return _plain(GONE, 404)
            state = session.state() if session.stage == "volume" else {}
            if state.get("beeps") == opaque:
                return ranged(wanted, beeps(session.beep_count(), self.study.config.loudness), "audio/flac", HEADERS)
            name = session.file_of(opaque) if session.stage == "item" else None
            if name is None:
                return _plain("no such sound", 404)
            return ranged(
                wanted,
                read_sound(self.study.sounds, name),
                "image/jpeg" if name.endswith(".jpg") else "audio/flac",
                HEADERS,
            )

        return await self._work(work)

    async def static(self, request: Request) -> Response:
        return _page(request.path_params["name"]) if request.path_params["name"] in STATIC else _plain("not found", 404)

    async def join(self, request: Request) -> Response:
        if not await run_in_threadpool(self.study.joined_by, request.path_params["token"]):
            return _plain(GONE, 404)
        return _page("join.html")

    async def take_place(self, request: Request) -> Response:
        if not await run_in_threadpool(self.study.joined_by, request.path_params["token"]):
            return _json({"error": GONE}, 404)
        try:
            sent = json.loads(await _body(request, self.patience))
            pseudonym = sent["pseudonym"] if isinstance(sent, dict) else None
            if not isinstance(pseudonym, str):
                raise AnswerRefused("give a pseudonym")
            if self._many_joins(request.client.host if request.client else ""):
                return _json({"error": "many have joined from your network just now; try again in a minute"}, 429)
            token = await run_in_threadpool(self.study.take_place, pseudonym)
        except (ValueError, KeyError, RecursionError):
            return _json({"error": "give a pseudonym"}, 422)
        except TimeoutError:
            return _late()
        except ANDError as error:
            return _failed(error)
        return _json({"link": f"/r/{token}"})

    async def _work(self, work: Callable[[], Response]) -> Response:
        """Work of a thread.

        Where the database hangs, the page is told so in time, and sends again what may or may not have been stored.
        """
        try:
            with anyio.fail_after(self.patience):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter())
        except TimeoutError:
            return _failed(StorageError(f"no answer from the study's database in {self.patience:g} s"))
        except ANDError as error:
            return _failed(error)

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._threads is None:  # in the loop that it belongs to
            self._threads = anyio.CapacityLimiter(THREADS)
        return self._threads


def make_app(study: Study, hosts: Sequence[str] = LOOPBACK, patience: float = PATIENCE) -> Starlette:
    """Return the rating server's application, which answers `hosts` alone.

    `patience`: seconds for a request to arrive, and for the database.
    """
    rating = _Rating(study, patience)
    routes = [
        Route("/r/{token}", rating.page, methods=["GET"]),
        Route("/r/{token}/state", rating.state, methods=["GET"]),
        Route("/r/{token}/events", rating.events, methods=["POST"]),
        Route("/r/{token}/media/{opaque}", rating.sound, methods=["GET"]),
        Route("/join/{token}", rating.join, methods=["GET"]),
        Route("/join/{token}", rating.take_place, methods=["POST"]),
        Route("/static/{name}", rating.static, methods=["GET"]),
    ]

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _plain("not found" if status == 404 else "this can't be done", status)

    guard = Middleware(HostGuard, hosts=hosts)
    app = Starlette(routes=routes, middleware=[guard], exception_handlers={HTTPException: refused, Exception: refused})
    app.router.redirect_slashes = False
    return app


def serve(study: Study, host: str, port: int, say: Callable[[str], None] = print, names: Sequence[str] = ()) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    host, port : str, int
        Address to listen on.
    names : sequence of str
        Further host names by which raters reach the server (a proxy's); others are refused.

    Raises
    ------
    StudyError
        The address can't be listened on.
    """
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra("uvicorn", "study", "serving a study") from None
    config = uvicorn.Config(
        make_app(study, told_hosts(host, *names)),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    say(f"rating page of {study.name!r} at http://{host}:{port}; stop with Ctrl+C")
    try:
        server.run()
    except (SystemExit, OSError) as error:
        raise StudyError(f"host={host!r}, port={port}: can't be listened on") from (
            error if isinstance(error, OSError) else None
        )
