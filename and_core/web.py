"""What the dashboard's and the raters' server share: which hosts they answer, and sound and pictures by ranges (RFC
9110)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

# environment variable: further names by which a server of this package may be reached, separated by commas
HOSTS = "AND_HOSTS"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def ranged(wanted: str | None, data: bytes, kind: str, headers: Mapping[str, str]) -> Response:
    """Return the whole, or the one byte range asked for.

    Parameters
    ----------
    wanted : str or None
        The request's ``Range``.
    data : bytes
    kind : str
        Media type.
    headers : mapping
        Further headers of the response.
    """
    told_headers = {**headers, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    match = re.fullmatch(r"bytes=(\d{0,12})-(\d{0,12})", wanted or "")
    if match is None or not any(match.groups()):
        return Response(data, media_type=kind, headers=told_headers)
    if match[1]:
        start, stop = int(match[1]), min(int(match[2]) if match[2] else len(data) - 1, len(data) - 1)
    else:
        start, stop = max(0, len(data) - int(match[2])), len(data) - 1
    if start > stop:
        return Response(b"", 416, headers={"Content-Range": f"bytes */{len(data)}"})
    return Response(
        data[start : stop + 1],
        206,
        media_type=kind,
        headers={**told_headers, "Content-Range": f"bytes {start}-{stop}/{len(data)}"},
    )


def told_hosts(*more: str) -> tuple[str, ...]:
    """Return the hosts that a server answers: this machine's own, `more`, and those in ``AND_HOSTS``."""
    given = (*more, *os.environ.get(HOSTS, "").split(","))
    return (
        *LOOPBACK,
        *(host.strip().strip("[]").lower() for host in given if host.strip() and not _is_wildcard(host.strip())),
    )


class HostGuard:
    """Answer requests for known hosts alone, pages, media and websockets alike.

    Without it a web page whose name is re-bound to this machine's address (DNS rebinding) would drive the server from
    the visitor's browser. A request passes if its ``Host`` is one the server was told of, or the address at which it
    arrived; and if its
    ``Origin``, where it has one, is that same host and port, or a host that the server was told of besides this
    machine's own.

    Parameters
    ----------
    app : ASGI application
    hosts : iterable of str
        From :func:`told_hosts`.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = LOOPBACK) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] in ("http", "websocket"):
            headers = [
                (name.lower(), value.decode("latin-1"))
                for name, value in scope["headers"]
                if name.lower() in (b"host", b"origin")
            ]
            hosts, origins = ([value for key, value in headers if key == name] for name in (b"host", b"origin"))
            if (
                len(hosts) != 1
                or len(origins) > 1
                or not self._answers(scope, hosts[0], origins[0] if origins else None)
            ):
                refusal = PlainTextResponse(
                    "This server does not answer to that host or origin.",
                    403,
                    headers={"X-Content-Type-Options": "nosniff"},
                )
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _answers(self, scope: Scope, host: str, origin: str | None) -> bool:
        asked = _split(f"{scope.get('scheme', 'http')}://{host}")
        at = (scope.get("server") or ("",))[0]
        if asked is None or not (asked[0] in self.hosts or asked[0] == str(at).lower()):
            return False
        if origin is None:
            return True
        place = _split(origin)
        if place is None:
            return False
        here = place[1] == asked[1] and {place[0], asked[0]} <= set(LOOPBACK)  # one machine under several names
        return place == asked or here or (place[0] in self.hosts and place[0] not in LOOPBACK)


def _split(url: str) -> tuple[str, int] | None:
    """Return host and port of an address; None where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    plain = parts.hostname and not parts.username and parts.path in ("", "/") and not parts.query and not parts.fragment
    return (parts.hostname.rstrip("."), port) if plain and parts.hostname else None


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False
