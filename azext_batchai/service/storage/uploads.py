"""Bodies of requests into files: in constant memory, and under their names only when complete."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from azext_batchai.service.storage.content import AT_ONCE, CHUNK, number
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.tree import PARTIAL_PREFIX

T = TypeVar("T")

MAX_RANGE = 4 << 20
MAX_BLOCK = 4000 << 20
MAX_BLOB = 5000 << 20
MAX_BLOCK_LIST = 8 << 20
_COPIED = 1 << 30


def content_length(request: Request, limit: int) -> int:
    """Raises StorageFault for a body of unknown or too great length."""
    length = number(request.headers.get("content-length", ""))
    if length is None:
        raise StorageFault(411, "MissingContentLengthHeader", "The Content-Length header was not specified.")
    if length > limit:
        raise StorageFault(413, "RequestBodyTooLarge", f"The body of this request may have {limit} bytes at most.")
    return length


async def whole(request: Request, limit: int) -> bytearray:
    """A small body. Raises StorageFault for a large one and for one that does not have its Content-MD5."""
    length = content_length(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    _check(length, len(body))
    if "content-md5" in request.headers:
        digest = await asyncio.to_thread(hashlib.md5, body, usedforsecurity=False)
        check_md5(request.headers["content-md5"], digest.digest())
    return body


async def receive(
    request: Request, descriptor: int, limit: int, *md5_headers: str, offset: int = 0, md5: bool = True
) -> bytes:
    """Write the body to a file from `offset` on, return its MD5. Raises StorageFault where its headers say otherwise.

    Without `md5` it is b"" where no header needs it: it costs more than all else that is done with a large body.
    """
    length = content_length(request, limit)
    claims = [request.headers[header] for header in ("content-md5", *md5_headers) if header in request.headers]
    digest = hashlib.md5(usedforsecurity=False) if md5 or claims else None
    received = 0

    def write(data: bytearray) -> None:
        nonlocal offset
        if digest:
            digest.update(data)
        offset = write_at(descriptor, data, offset)

    async with _Behind(write) as behind:
        waiting = bytearray()
        async for chunk in request.stream():
            waiting += chunk
            received += len(chunk)
            if len(waiting) >= CHUNK:
                await behind.do(waiting)
                waiting = bytearray()
        if received <= AT_ONCE:
            write(waiting)
        else:
            await behind.do(waiting)
    _check(length, received)
    value = digest.digest() if digest else b""
    for claim in claims:
        check_md5(claim, value)
    return value


def write_at(descriptor: int, data: bytes | bytearray, offset: int) -> int:
    """Write all of it; returns the offset behind it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    return offset


class _Behind:
    """One piece of work at a time in a thread, while the next one is got ready."""

    def __init__(self, work: Callable[[bytearray], None]) -> None:
        self._work = work
        self._going: asyncio.Future[None] | None = None

    async def __aenter__(self) -> _Behind:
        return self

    async def do(self, data: bytearray) -> None:
        """Begin with `data` when the work before it is done. Raises what that has raised."""
        await self._finish()
        self._going = asyncio.get_running_loop().run_in_executor(None, self._work, data)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """The work is done in any case: its file may be closed now."""
        if kind is None:
            await self._finish()
        elif self._going:
            await asyncio.wait([self._going])
            self._going.exception()  # what ended this first is told, not what this may have led to

    async def _finish(self) -> None:
        if self._going:
            await asyncio.wait([self._going])
            going, self._going = self._going, None
            going.result()


async def finished(work: Callable[..., T], *args: Any) -> T:
    """Work in a thread that has ended when this ends, however it ends: a descriptor that it uses may be closed then."""
    going = asyncio.get_running_loop().run_in_executor(None, work, *args)
    try:
        await asyncio.wait([going])
    except asyncio.CancelledError:
        await asyncio.wait([going])
        raise
    return going.result()


@contextmanager
def partial(target: Path) -> Iterator[tuple[Path, int]]:
    """A file beside `target`, and its descriptor, to be filled and renamed; removed where that does not come about."""
    path = target.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def copy(source: int, start: int, target: int, offset: int, length: int) -> None:
    """Copy a part of a file into another or elsewhere in itself; the system does it, the bytes do not come here."""
    while length:
        try:
            count = os.copy_file_range(source, target, min(length, _COPIED), start, offset)
        except OSError as exc:
            if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            data = os.pread(source, min(length, CHUNK), start)
            count = write_at(target, data, offset) - offset
        if not count:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        start, offset, length = start + count, offset + count, length - count


def check_md5(claim: str, digest: bytes) -> None:
    if claim != base64.b64encode(digest).decode():
        raise bad_input("The MD5 value specified in the request did not match the content received.", "Md5Mismatch")


def _check(length: int, received: int) -> None:
    if length != received:
        raise bad_input(f"The body has {received} bytes, Content-Length says {length}.", "InvalidHeaderValue")
