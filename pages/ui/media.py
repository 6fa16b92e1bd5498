"""Routes that serve clips: `/clips/<dissection>/<clip>.flac` and `.jpg`. Stable addresses, so the browser keeps what it has."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from and_core import Dissection
from and_core.errors import ANDError
from and_core.web import ranged
from pages.ui.data import get_dissection

TYPES = {"flac": ("audio", "audio/flac"), "jpg": ("spectrogram", "image/jpeg")}
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # only under the key of the clips as they are now
BRIEFLY = {"Cache-Control": "no-store"}


def media_url(dissection: Dissection, clip: int, ending: str) -> str:
    """Address of a clip's sound (``flac``) or picture (``jpg``); it changes with the clips' fingerprint."""
    return f"/clips/{dissection.name}/{clip}.{ending}?v={dissection.manifest.stages['clips'].key}"


async def _serve(request: Request) -> Response:
    name, file = request.path_params["name"], request.path_params["file"]
    match = re.fullmatch(r"(\d{1,9})\.(flac|jpg)", file)
    if match is None:
        return PlainTextResponse("no such file", 404)
    what, kind = TYPES[match[2]]
    try:
        dissection = await run_in_threadpool(get_dissection, name)
        data = await run_in_threadpool(getattr(dissection, what), int(match[1]))
    except ANDError as error:
        return PlainTextResponse(str(error), 404, headers={"X-Content-Type-Options": "nosniff"})
    fresh = request.query_params.get("v") == dissection.manifest.stages["clips"].key
    return ranged(request.headers.get("range"), data, kind, FOREVER if fresh else BRIEFLY)


def media_routes() -> list[Route]:
    """Routes for the server."""
    return [Route("/clips/{name}/{file}", _serve, methods=["GET", "HEAD"])]
