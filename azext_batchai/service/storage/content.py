"""The content of files over HTTP: ranges, entity tags, and reading in constant memory, of files that may grow."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from starlette.responses import Response, StreamingResponse

CHUNK = 1 << 20
AT_ONCE = 64 << 10  # read or written without a thread: handing it over would take longer
_LAST_SECOND = 253402300799  # of the year 9999
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_NUMBER = re.compile(r"[0-9]{1,19}")


def identity(status: os.stat_result) -> dict[str, str]:
    """The headers that tell one state of a file from another."""
    return {
        "etag": f'"0x{status.st_mtime_ns:X}-{status.st_ino:X}-{status.st_size:X}"',
        # A file can have any time, a date of HTTP has four digits for the year.
        "last-modified": formatdate(min(status.st_mtime, _LAST_SECOND), usegmt=True),
    }


def number(text: str) -> int | None:
    """A number in a header or parameter; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def span(header: str | None, size: int) -> tuple[int, int, bool] | None:
    """First byte, one past the last, and whether that is a part; None when the range cannot be served."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if not match or match.groups() == ("", ""):
        return 0, size, False
    first, last = match.groups()
    if not first:
        return (max(size - int(last), 0), size, True) if int(last) and size else None
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return (start, end, True) if start < end else None


def open_file(path: Path, flags: int = os.O_RDONLY) -> BinaryIO | None:
    """A file that exists, unbuffered; None where there is none, where it is no plain file, or where it is a link.

    What was looked up as a file may be something else by now: a pipe would hold the service until someone writes.
    """
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return open(descriptor, "rb" if flags == os.O_RDONLY else "r+b", buffering=0)


def answer(file: BinaryIO, start: int, end: int, status: int, headers: dict[str, str]) -> Response:
    """The bytes from `start` to `end` as an answer with a Content-Length; the file is closed when it is sent."""
    if end - start > AT_ONCE:
        return StreamingResponse(_read(file, start, end), status, headers)
    with file:
        data = os.pread(file.fileno(), end - start, start)
    return Response(data, status, {**headers, "content-length": str(len(data))})


async def _read(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    """Fewer bytes where the file became shorter."""
    with file:
        file.seek(start)
        while start < end:
            chunk = await asyncio.to_thread(file.read, min(CHUNK, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk
