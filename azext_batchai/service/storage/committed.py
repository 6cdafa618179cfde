"""The blocks that a blob was made of, and blobs made of some of them and of blocks that were uploaded since.

Kept of each are name and length, in the order of the blob: where it is follows from that.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

from azext_batchai.service.storage import content, uploads
from azext_batchai.service.storage.blocks import COMMITTED, UNCOMMITTED, Span, Wanted, invalid
from azext_batchai.service.storage.storage_call import StorageCall


class Part(NamedTuple):
    """A block of a blob that is to be made, and where it is: in the one that is there or among those that wait."""

    name: str
    span: Span
    committed: bool


def packed(blocks: Iterable[tuple[str, int]]) -> bytes:
    """Names and lengths as they are kept; b"" for none."""
    text = "\n".join(f"{name} {length}" for name, length in blocks)
    return zlib.compress(text.encode("ascii"), 1) if text else b""


def unpacked(record: bytes, size: int) -> list[tuple[str, Span]]:
    """The blocks and where they are; none where they do not make up a blob of this size."""
    found, offset = list[tuple[str, Span]](), 0
    for line in zlib.decompress(record).decode("ascii").splitlines() if record else ():
        name, _, length = line.partition(" ")
        found.append((name, Span(offset, int(length))))
        offset += int(length)
    return found if offset == size else []


@dataclass
class CommittedBlob:
    """The blob that a request is about, open: it stays there while another takes its place."""

    call: StorageCall
    path: Path
    file: BinaryIO
    status: os.stat_result

    @cached_property
    def record(self) -> bytes:
        """Of which blocks it was made, as it is kept."""
        return self.call.kept.blocks(self.call.place, self.status)

    @cached_property
    def blocks(self) -> list[tuple[str, Span]]:
        return unpacked(self.record, self.status.st_size)

    def check(self) -> None:
        """Raises StorageFault where it is the blob no more: where it was written to, or another is in its place."""
        try:
            record = self.call.kept.blocks(self.call.place, self.path.stat())
        except FileNotFoundError:
            record = b""
        if record != self.record:
            raise invalid("the blob was changed meanwhile")


@contextmanager
def committed_blob(call: StorageCall, path: Path | None) -> Iterator[CommittedBlob | None]:
    """The blob that is the file at the path; None where there is none."""
    file = content.open_file(path) if path else None
    if not (path and file):
        yield None
        return
    with file:
        yield CommittedBlob(call, path, file, os.fstat(file.fileno()))


def chosen(wanted: list[Wanted], waiting: dict[str, Span], blob: CommittedBlob | None) -> list[Part]:
    """Where the blocks are that are to be a blob. Raises StorageFault where one is not there."""
    committed: dict[str, Span] | None = None
    parts = []
    for where, name in wanted:
        span = waiting.get(name) if where != COMMITTED else None
        if span:
            parts.append(Part(name, span, False))
            continue
        if committed is None:
            committed = dict(blob.blocks) if blob and where != UNCOMMITTED else {}
        if where == UNCOMMITTED or name not in committed:
            raise invalid("a block was not uploaded")
        parts.append(Part(name, committed[name], True))
    return parts


def assemble(parts: list[Part], waiting: Path, blob: CommittedBlob | None, target: int) -> None:
    """The parts one after the other into a new file; what lies together already is copied at once."""
    offset = 0
    staged = -1 if all(part.committed for part in parts) else os.open(waiting, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for committed, span in _joined(parts):
            source = blob.file.fileno() if blob and committed else staged
            uploads.copy(source, span.offset, target, offset, span.length)
            offset += span.length
    finally:
        if staged >= 0:
            os.close(staged)


def _joined(parts: list[Part]) -> Iterator[tuple[bool, Span]]:
    committed, span = False, Span(0, 0)
    for part in parts:
        if (part.committed, part.span.offset) == (committed, span.end):
            span = Span(span.offset, span.length + part.span.length)
        else:
            yield committed, span
            committed, span = part.committed, part.span
    yield committed, span
