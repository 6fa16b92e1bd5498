"""What the dashboard's and the raters' server share: sound and pictures over HTTP, by ranges as players ask for them when they seek (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.responses import Response


def ranged(wanted: str | None, data: bytes, kind: str, headers: Mapping[str, str]) -> Response:
    """The whole, or the one byte range asked for.

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
    told = {**headers, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    match = re.fullmatch(r"bytes=(\d{0,12})-(\d{0,12})", wanted or "")
    if match is None or not any(match.groups()):
        return Response(data, media_type=kind, headers=told)
    if match[1]:
        start, stop = int(match[1]), min(int(match[2]) if match[2] else len(data) - 1, len(data) - 1)
    else:
        start, stop = max(0, len(data) - int(match[2])), len(data) - 1
    if start > stop:
        return Response(b"", 416, headers={"Content-Range": f"bytes */{len(data)}"})
    return Response(data[start : stop + 1], 206, media_type=kind, headers={**told, "Content-Range": f"bytes {start}-{stop}/{len(data)}"})
