"""What the browser is told before a page is drawn: where the dashboard lies (else it asks beneath a page first, and the
server knows nothing there), and which theme was chosen."""

from __future__ import annotations

import json
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD = b"<head>"
NEVER = (b"accept-encoding", b"if-none-match", b"if-modified-since")  # a page is written anew, and is small
SCHEME = Path(__file__).with_name("scheme.js")
FIXED = (b"content-length", b"etag", b"last-modified", b"accept-ranges")  # of the file as it was


class BaseAddress:
    """Write into every page of HTML at which address the server's own routes begin, and the script of the theme.

    Parameters
    ----------
    app : ASGI application
    base : str
        Path under which the dashboard is served; empty at the top of a host.
    """

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        self.app, path = app, "/" + base.strip("/")
        script = f"window.__streamlit = {{ BACKEND_BASE_URL: location.origin + {json.dumps(path)} }};"
        self.script = f"<script>{script}</script><script>{SCHEME.read_text(encoding='utf-8')}</script>".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and what is answered with the address in it."""
        if scope["type"] != "http" or b"text/html" not in dict(scope["headers"]).get(b"accept", b""):
            await self.app(scope, receive, send)  # no browser that opens a page
            return
        plain = [(key, value) for key, value in scope["headers"] if key not in NEVER]
        begun: Message = {}
        parts: list[bytes] = []

        async def send_page(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                begun.update(message)
            elif begun and message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    body = b"".join(parts).replace(HEAD, HEAD + self.script, 1)
                    kept = [(key, value) for key, value in begun["headers"] if key.lower() not in FIXED]
                    length = (b"content-length", str(len(body)).encode())
                    await send({**begun, "headers": [*kept, length]})
                    await send({"type": "http.response.body", "body": body})
            else:
                await send(message)

        await self.app({**scope, "headers": plain}, receive, send_page)


def _is_page(message: Message) -> bool:
    headers = {key.lower(): value for key, value in message["headers"]}
    plain = b"content-encoding" not in headers
    return message["status"] == 200 and plain and headers.get(b"content-type", b"").startswith(b"text/html")
