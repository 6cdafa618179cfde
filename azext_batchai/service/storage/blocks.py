"""Blocks of a blob that are uploaded but not yet part of it, forgotten after a week.

They lie one after the other in one file, as they came, beside which an index tells where each is. Most often they came
in the order of the blob: then the file becomes the blob, and nothing is written twice.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from azext_batchai.service.storage import uploads
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.storage.xml_body import parsed

_FOLDER = "blocks"
_KEPT_SECONDS = 7 * 24 * 3600
LATEST, UNCOMMITTED, COMMITTED = "Latest", "Uncommitted", "Committed"
_MOST = 50_000
_LINE = re.compile(r"^([0-9a-f]+) ([0-9]+) ([0-9]+);$", re.MULTILINE)
_commits: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True)
class Span:
    """Where in the file a block is."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class Wanted(NamedTuple):
    """A block of a list, and where it is to be looked for: LATEST is among those that wait, then in the blob."""

    where: str
    name: str


@dataclass(frozen=True)
class _Move:
    """A block, where it is and where it is to be."""

    name: str
    span: Span
    target: Span


@dataclass
class Slot:
    """Room for a block at the end of the file, given back unless it is kept."""

    descriptor: int
    span: Span
    kept: bool = False


class StagedBlocks:
    """The staged blocks of one blob."""

    def __init__(self, layout: StorageLayout, account: str, container: str, blob: str) -> None:
        self._parent = layout.account(account) / _FOLDER / container
        self._folder = self._parent / hashlib.sha256(blob.encode("utf-8", "surrogateescape")).hexdigest()
        self._index = self._folder / "index"
        self.data = self._folder / "data"

    @property
    def committing(self) -> asyncio.Lock:
        """To be held by who makes the blob: one at a time."""
        lock = _commits.get(self._folder)
        if not lock:
            lock = _commits[self._folder] = asyncio.Lock()
        return lock

    @contextlib.contextmanager
    def slot(self, length: int) -> Iterator[Slot]:
        self._make()
        if not self.data.exists():  # it has become the blob, and the service was killed before it forgot the blocks
            self._index.unlink(missing_ok=True)
        descriptor = os.open(self.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            slot = Slot(descriptor, Span(os.fstat(descriptor).st_size, length))
            os.ftruncate(descriptor, slot.span.end)
            try:
                yield slot
            finally:
                if not slot.kept and os.fstat(descriptor).st_size == slot.span.end:
                    os.ftruncate(descriptor, slot.span.offset)
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        """Make room for blocks; with the first one, drop what was never committed."""
        if self._folder.is_dir():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - _KEPT_SECONDS
        for folder in self._parent.iterdir():
            with contextlib.suppress(FileNotFoundError):  # one that is being removed
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)

    def keep(self, name: str, slot: Slot) -> None:
        """The block is whole and takes the place of an earlier one of its name. Raises StorageFault."""
        try:
            ours = os.path.samestat(self.data.stat(), os.fstat(slot.descriptor))
        except FileNotFoundError:
            ours = False
        if not ours:
            raise StorageFault(409, "InvalidBlobOrBlock", "The blob was committed while this block was uploaded.")
        self._note([(name, slot.span)])
        slot.kept = True

    def _note(self, spans: list[tuple[str, Span]]) -> None:
        # A line that a kill cut off is none, and the next one begins on its own.
        text = "".join(f"\n{name} {span.offset} {span.length};\n" for name, span in spans)
        descriptor = os.open(self._index, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        os.utime(self._folder)  # it is in use

    def all(self) -> dict[str, Span]:
        """Where each block is."""
        try:
            index = self._index.read_text(encoding="ascii") if self.data.exists() else ""
        except FileNotFoundError:
            index = ""
        return {name: Span(int(offset), int(length)) for name, offset, length in _LINE.findall(index)}

    def find(self, names: list[str]) -> list[Span]:
        """Where the blocks are. Raises StorageFault where one is not there."""
        spans = self.all()
        try:
            return [spans[name] for name in names]
        except KeyError:
            raise invalid("a block was not uploaded") from None

    def are_all(self, spans: list[Span], folder: Path) -> bool:
        """Whether the file is just these, one after the other, and can be moved to the folder."""
        if not spans:
            return False
        status = self.data.stat()
        wanted = [*(span.offset for span in spans), status.st_size] == [0, *(span.end for span in spans)]
        return wanted and status.st_dev == folder.stat().st_dev

    async def arrange(self, names: list[str]) -> None:
        """Put the few blocks that overtook others where they belong: cheaper than copying all.

        At every moment the index tells of whole blocks, so that nothing is lost where this does not come to its end.
        """
        spans, displaced, offset = self.find(names), list[_Move](), 0
        for name, span in zip(names, spans):
            if span.offset != offset:
                displaced.append(_Move(name, span, Span(offset, span.length)))
            offset += span.length
        size = sum(move.span.length for move in displaced)
        if not 0 < size <= offset // 2 or self.data.stat().st_size != offset or len(set(names)) < len(names):
            return
        targets = {move.target for move in displaced if move.span.length}
        if len(targets) == len(displaced) and {move.span for move in displaced} == targets:
            # They have changed places: one of each circle makes room for the others.
            move_them, size = self._rotate, max(move.span.length for move in displaced)
        else:
            move_them = self._move_all
        with self.slot(size) as slot:
            slot.kept = True  # it has blocks in it where this breaks off
            await uploads.finished(move_them, displaced, slot)
            slot.kept = False

    def _rotate(self, displaced: list[_Move], slot: Slot) -> None:
        wanting = {move.target.offset: move for move in displaced}
        while wanting:
            _, first = next(iter(wanting.items()))
            self._copy(slot, first.name, first.span, slot.span.offset)
            free = first.span.offset
            while (move := wanting.pop(free)) is not first:
                self._copy(slot, move.name, move.span, free)
                free = move.span.offset
            self._copy(slot, first.name, Span(slot.span.offset, first.span.length), free)

    def _move_all(self, displaced: list[_Move], slot: Slot) -> None:
        aside, position = [], slot.span.offset
        for move in displaced:
            aside.append(Span(position, move.span.length))
            position += move.span.length
        for move, there in zip(displaced, aside):
            self._copy(slot, move.name, move.span, there.offset)
        for move, there in zip(displaced, aside):
            self._copy(slot, move.name, there, move.target.offset)

    def _copy(self, slot: Slot, name: str, span: Span, offset: int) -> None:
        uploads.copy(slot.descriptor, span.offset, slot.descriptor, offset, span.length)
        self._note([(name, Span(offset, span.length))])

    def set_aside(self) -> Path | None:
        """Forget the blocks; what is returned can be removed at leisure."""
        gone = self._folder.with_name(f"{self._folder.name}.{uuid.uuid4().hex}")
        try:
            self._folder.rename(gone)
        except FileNotFoundError:  # none wait
            return None
        return gone

    @staticmethod
    def forget_container(layout: StorageLayout, account: str, container: str) -> None:
        shutil.rmtree(layout.account(account) / _FOLDER / container, ignore_errors=True)


def invalid(why: str) -> StorageFault:
    return bad_input(f"The specified block list is invalid: {why}.", "InvalidBlockList")


def block_name(identifier: str) -> str:
    """What a block is known by. Raises StorageFault for an identifier that is none."""
    try:
        name = base64.b64decode(identifier, validate=True)
    except (binascii.Error, ValueError):
        name = b""
    if not 0 < len(name) <= 64:
        raise bad_input("A block has a Base64 identifier of 1 to 64 bytes.", "InvalidQueryParameterValue")
    return name.hex()


def block_list(body: bytearray) -> list[Wanted]:
    """The blocks of which a blob is to be made. Raises StorageFault."""
    root = parsed(body, "The block list is no valid XML.")
    if root.tag != "BlockList" or any(child.tag not in (LATEST, UNCOMMITTED, COMMITTED) for child in root):
        raise bad_input("The body must be a BlockList of Latest, Uncommitted and Committed.", "InvalidXmlDocument")
    if len(root) > _MOST:
        raise bad_input(f"A block list may have {_MOST} blocks at most.", "BlockListTooLong")
    return [Wanted(child.tag, block_name((child.text or "").strip())) for child in root]
