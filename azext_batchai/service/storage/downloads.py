"""Downloads by signed link: whole files and ranges, of files that may grow meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.storage import content
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.storage.links import LinkSigner


def download(request: Request, layout: StorageLayout, signer: LinkSigner, path: str) -> Response:
    """Answer a signed link. 403 bad or expired, 404 gone, 416 nothing (new) in the range."""
    refusal = signer.refusal(path, request.query_params.get("se", ""), request.query_params.get("sig", ""))
    if refusal:
        return _error(403, "AuthenticationFailed", refusal)
    account, service, name, inside = path.split("/", 3)
    file = _find(layout.folder(account, service, name), inside)
    if not file:
        return _error(404, "ResourceNotFound", "The specified file does not exist.")
    status = os.fstat(file.fileno())
    headers = {
        "accept-ranges": "bytes",
        "content-type": "application/octet-stream",
        **content.identity(status),
    }
    span = content.span(request.headers.get("x-ms-range") or request.headers.get("range"), status.st_size)
    if span is None:
        file.close()
        refused = _error(416, "InvalidRange", "The range lies behind the end of the file.")
        refused.headers["content-range"] = f"bytes */{status.st_size}"
        return refused
    start, end, partial = span
    headers["content-length"] = str(end - start)
    if partial:
        headers["content-range"] = f"bytes {start}-{end - 1}/{status.st_size}"
    if request.method == "HEAD":
        file.close()
        return Response(status_code=200, headers=headers)
    return content.answer(file, start, end, 206 if partial else 200, headers)


def _find(folder: Path, inside: str) -> BinaryIO | None:
    try:
        root = folder.resolve()
        target = (root / inside).resolve()
    except (OSError, RuntimeError):  # a link to itself
        return None
    return content.open_file(target) if target.is_relative_to(root) else None


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse(ArmError(status, code, message).body(), status)
