"""What the palette (Ctrl-K) offers for a few letters: a route that answers with addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from and_core import Dissection
from and_core.display import visible
from and_core.errors import ANDError
from and_core.query.jump import Destination, jump_places
from pages.ui import html
from pages.ui.data import dissection_names, get_dissection

MOST = 12
LONGEST = 200  # letters
SAID = {"concept": "closed concept", "adjective": "word", "layer": "layer", "neuron": "neuron"}


def pages_address(path: str) -> str:
    """Return the address of a page by its file."""
    return "/" if path == "app.py" else f"/{Path(path).stem}"


def offers(name: str, typed: str, pages: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    """Return what to offer: kind, name, note and address, the likeliest first."""
    letters, here = typed.casefold().strip(), {"dissection": name}
    rows = [
        {"kind": "page", "name": label, "note": "", "href": f"{pages_address(path)}?{urlencode(here)}"}
        for path, label in pages
        if letters in label.casefold()
    ]
    rows += [
        {"kind": "dissection", "name": other, "note": "", "href": f"{neurons_address(pages)}?dissection={other}"}
        for other in dissection_names()
        if letters and letters in other.casefold() and other != name
    ]
    if not letters:
        return rows[:MOST]
    try:
        d = get_dissection(name)
        places = [_offer(d, place, pages) for place in jump_places(d, typed)]
    except ANDError:
        places = []
    rows = sorted([*rows, *places], key=lambda row: _far(row["name"].casefold(), letters))
    search = {"kind": "search", "name": typed.strip(), "note": "all neurons, by words or meaning"}
    address = f"{neurons_address(pages)}?{urlencode({**here, 'q': typed.strip(), 'first': 1})}"
    return [*rows[: MOST - 1], {**search, "href": address}]


def _far(name: str, letters: str) -> int:
    """Return how far a name is from what was typed: the same, begun so, a word of it begun so, or within it."""
    if name == letters:
        return 0
    return 1 if name.startswith(letters) else 2 if f" {letters}" in name.replace("/", " ") else 3


def neurons_address(pages: tuple[tuple[str, str], ...]) -> str:
    """Return the address of the Neurons page."""
    return pages_address(next(path for path, label in pages if label == "Neurons"))


def _offer(d: Dissection, place: Destination, pages: tuple[tuple[str, str], ...]) -> dict[str, str]:
    row = {"kind": SAID[place.kind], "name": visible(place.name.replace("_", " ")), "note": visible(place.note)}
    if place.kind == "neuron":
        return {**row, "name": visible(place.name), "href": html.neuron_link(d.name, d.neuron_id(d.index(place.name)))}
    if place.kind == "layer":
        return {**row, "name": place.name, "href": html.neuron_link(d.name, d.neuron_id(d.index(f"{place.name}/0")))}
    query = {"dissection": d.name, "from": place.kind, f"chosen_{place.kind}": place.name}
    return {**row, "href": f"/concepts?{urlencode(query)}"}


async def _answer(request: Request) -> Response:
    from pages.ui.setup import PAGES

    typed = request.query_params.get("q", "")[:LONGEST]
    rows = await run_in_threadpool(offers, request.path_params["name"], typed, PAGES)
    return JSONResponse(rows, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def palette_routes() -> list[Route]:
    """Return routes for the server."""
    return [Route("/jump/{name}", _answer, methods=["GET"])]
