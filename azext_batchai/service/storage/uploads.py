"""Bodies of requests into files: in constant memory, and under their names only when complete."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from azext_batchai.service.storage.content import CHUNK
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.tree import PARTIAL_PREFIX

MAX_RANGE = 4 << 20
MAX_BLOCK = 4000 << 20
MAX_BLOB = 5000 << 20
MAX_BLOCK_LIST = 8 << 20


def content_length(request: Request, limit: int) -> int:
    """Raises StorageFault for a body of unknown or too great length."""
    text = request.headers.get("content-length", "")
    if not text.isdecimal():
        raise StorageFault(411, "MissingContentLengthHeader", "The Content-Length header was not specified.")
    if int(text) > limit:
        raise StorageFault(413, "RequestBodyTooLarge", f"The body of this request may have {limit} bytes at most.")
    return int(text)


async def whole(request: Request, limit: int) -> bytes:
    """A small body. Raises StorageFault for a large one and for one that does not have its Content-MD5."""
    length = content_length(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    _check(length, len(body))
    check_md5(request.headers.get("content-md5"), hashlib.md5(body, usedforsecurity=False).digest())
    return bytes(body)


async def receive(request: Request, target: Path, limit: int, *md5_headers: str) -> bytes:
    """Write the body to `target`, return its MD5. Raises StorageFault for what is not as its headers say."""
    length = content_length(request, limit)
    digest = hashlib.md5(usedforsecurity=False)
    received = 0

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    with target.open("wb", buffering=0) as file:
        waiting = bytearray()
        async for chunk in request.stream():
            waiting += chunk
            received += len(chunk)
            if len(waiting) >= CHUNK:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(write, bytes(waiting))
    _check(length, received)
    for header in ("content-md5", *md5_headers):
        check_md5(request.headers.get(header), digest.digest())
    return digest.digest()


@asynccontextmanager
async def partial(target: Path) -> AsyncIterator[Path]:
    """A file beside `target` to be filled and renamed; removed where that does not come about."""
    path = target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def join(target: Path, sources: list[Path]) -> None:
    with target.open("wb") as file:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, file, CHUNK)


def check_md5(header: str | None, digest: bytes) -> None:
    if header is not None and header != base64.b64encode(digest).decode():
        raise bad_input("The MD5 value specified in the request did not match the content received.", "Md5Mismatch")


def _check(length: int, received: int) -> None:
    if length != received:
        raise bad_input(f"The body has {received} bytes, Content-Length says {length}.", "InvalidHeaderValue")
