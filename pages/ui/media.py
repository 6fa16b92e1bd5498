"""Routes that serve clips: `/clips/<dissection>/<clip>.flac` and `.jpg`, the parts of them that a neuron listens to,
and sounds that were made for one session.

Stable addresses, so the browser keeps what it has.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from and_core import Dissection, NeuronId
from and_core.errors import ANDError
from and_core.listen.localize import localized_picture, localized_sound
from and_core.web import ranged
from pages.ui.data import get_dissection
from pages.ui.player import held_sound

TYPES = {"flac": ("audio", "audio/flac"), "jpg": ("spectrogram", "image/jpeg")}
PARTS = {"kept.flac": "audio/flac", "rest.flac": "audio/flac", "map.jpg": "image/jpeg"}
SOUNDS = {"flac": "audio/flac", "jpg": "image/jpeg"}
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # only under the key of the clips as they are now
BRIEFLY = {"Cache-Control": "no-store"}


def media_url(dissection: Dissection, clip: int, ending: str) -> str:
    """Return the address of a clip's sound (``flac``) or picture (``jpg``); it changes with the clips' fingerprint."""
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


def part_url(dissection: Dissection, neuron: NeuronId, clip: int, what: str) -> str:
    """Return the address of the part of a clip on which a neuron fires (``kept.flac``), of the ``rest.flac``, or of its
    ``map.jpg``."""
    version = dissection.manifest.stages["activations"].key
    return f"/parts/{dissection.name}/{quote(neuron.layer)}/{neuron.unit}/{clip}/{what}?v={version}"


async def _part(request: Request) -> Response:
    parameters = request.path_params
    if parameters["what"] not in PARTS or not re.fullmatch(r"\d{1,9}", parameters["clip"]):
        return PlainTextResponse("no such file", 404)

    def work() -> bytes:
        d = get_dissection(parameters["name"])
        neuron = d.neuron_id(d.index(f"{parameters['layer']}/{parameters['unit']}"))
        clip = int(parameters["clip"])
        d.clip_row(clip)
        kind = parameters["what"].partition(".")[0]
        return localized_picture(d, neuron, clip) if kind == "map" else localized_sound(d, neuron, clip, kind)

    try:
        data = await run_in_threadpool(work)
    except ANDError as error:
        return PlainTextResponse(str(error), 404, headers={"X-Content-Type-Options": "nosniff"})
    return ranged(request.headers.get("range"), data, PARTS[parameters["what"]], BRIEFLY)


async def _highest(request: Request) -> Response:
    """Answer with the sound of a neuron's highest clip."""
    match = re.fullmatch(r"(\d{1,9})\.flac", request.path_params["file"])
    if match is None:
        return PlainTextResponse("no such file", 404)

    def work() -> bytes:
        d = get_dissection(request.path_params["name"])
        tops = d.extreme_clips(d.neuron_id(int(match[1])), "high", 1)
        return d.audio(tops[0].clip.index) if tops else b""

    try:
        data = await run_in_threadpool(work)
    except ANDError as error:
        return PlainTextResponse(str(error), 404, headers={"X-Content-Type-Options": "nosniff"})
    return ranged(request.headers.get("range"), data, "audio/flac", BRIEFLY)


async def _sound(request: Request) -> Response:
    token, _, ending = request.path_params["file"].rpartition(".")
    held = held_sound(token) if ending in SOUNDS else None
    if held is None:
        return PlainTextResponse("no such sound", 404)
    data = await run_in_threadpool(getattr, held, ending)
    return ranged(request.headers.get("range"), data, SOUNDS[ending], BRIEFLY)


def media_routes() -> list[Route]:
    """Return routes for the server."""
    return [
        Route("/clips/{name}/{file}", _serve, methods=["GET", "HEAD"]),
        Route("/highest/{name}/{file}", _highest, methods=["GET"]),
        Route("/sounds/{file}", _sound, methods=["GET", "HEAD"]),
        Route("/parts/{name}/{layer:path}/{unit}/{clip}/{what}", _part, methods=["GET"]),
    ]
