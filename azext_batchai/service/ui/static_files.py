"""Styles, modules and pictures of the page, from the installed package."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from starlette.responses import Response

from azext_batchai.service.ui import guard

_FOLDER = Path(__file__).parent / "static"
_NAME = re.compile(r"(vendor/)?[A-Za-z][\w-]*(\.[A-Za-z]+)+", re.ASCII)
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def static_file(name: str, known: str) -> Response:
    """`known`: the etag of what the browser has; it asks each time, which costs nothing on one machine."""
    media_type = _TYPES.get(Path(name).suffix)
    if not media_type or not _NAME.fullmatch(name):
        return Response("There is no such file.", 404, guard.static_headers())
    try:
        content = (_FOLDER / name).read_bytes()
    except OSError:
        return Response("There is no such file.", 404, guard.static_headers())
    headers = {**guard.static_headers(), "etag": f'"{hashlib.sha256(content).hexdigest()[:16]}"'}
    if known == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, media_type)
