"""Copies within the service: the system copies the bytes, and a copy has ended when its beginning is answered.

https://learn.microsoft.com/rest/api/storageservices/copy-blob and .../copy-file
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import urlsplit

from starlette.responses import Response

from azext_batchai.service.storage import content, uploads
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.kept import Said, metadata_in
from azext_batchai.service.storage.storage_call import StorageCall

HEADER = "x-ms-copy-source"


@dataclass(frozen=True)
class Source:
    """A file to copy from, open; `said` is what is kept of it."""

    call: StorageCall
    file: BinaryIO
    status: os.stat_result
    said: Said

    @property
    def size(self) -> int:
        return self.status.st_size

    def blocks(self) -> bytes:
        """Of which blocks it was made, as it is kept."""
        return self.call.kept.blocks(self.call.place, self.status)

    async def copy_to(self, descriptor: int, start: int = 0, length: int | None = None, offset: int = 0) -> None:
        length = self.size - start if length is None else length
        await uploads.finished(uploads.copy, self.file.fileno(), start, descriptor, offset, length)


@contextmanager
def source_of(call: StorageCall) -> Iterator[Source]:
    """What the request names as its source. Raises StorageFault."""
    source = call.source(call.headers[HEADER])
    path = source.tree.file(source.path)
    file = content.open_file(path) if path else None
    if not file:
        code = "CannotVerifyCopySource" if call.service == "blobs" else "ResourceNotFound"
        raise StorageFault(404, code, "The source of the copy does not exist.")
    with file:
        status = os.fstat(file.fileno())
        yield Source(source, file, status, source.kept.get(source.place, status))


def said_of_copy(call: StorageCall, source: Source) -> Said:
    """What is kept of the copy: what the request says of it, else what is kept of its source."""
    total = f"{source.size}/{source.size}"
    copied = {
        "x-ms-copy-id": str(uuid.uuid4()),
        "x-ms-copy-source": _without_signature(call.headers[HEADER]),
        "x-ms-copy-status": "success",
        "x-ms-copy-progress": total,
        "x-ms-copy-completion-time": formatdate(usegmt=True),
    }
    return Said(dict(source.said.content), metadata_in(call.headers) or dict(source.said.metadata), copied)


def begun(said: Said) -> dict[str, str]:
    """What the answer to the request says of the copy."""
    return {name: said.copied[name] for name in ("x-ms-copy-id", "x-ms-copy-status")}


def source_range(call: StorageCall, source: Source) -> tuple[int, int]:
    """Start and length of the part of the source that is asked for. Raises StorageFault."""
    span = content.span(call.headers.get("x-ms-source-range"), source.size)
    if span is None:
        raise StorageFault(416, "InvalidRange", "The source has no such range.")
    return span[0], span[1] - span[0]


async def abort(call: StorageCall) -> Response:
    if call.headers.get("x-ms-copy-action", "").lower() != "abort":
        raise bad_input("The header x-ms-copy-action must be 'abort'.", "InvalidHeaderValue")
    raise StorageFault(409, "NoPendingCopyOperation", "There is no copy under way: it has ended already.")


def _without_signature(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()
