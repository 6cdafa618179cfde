"""A new file takes the place of a blob, with what is kept of it, where the request's conditions allow that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.responses import Response

from azext_batchai.service.storage import conditions
from azext_batchai.service.storage.blocks import StagedBlocks
from azext_batchai.service.storage.faults import StorageFault
from azext_batchai.service.storage.kept import Said, content_in, metadata_in, set_executable
from azext_batchai.service.storage.layout import BLOBS
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.storage_replies import changed, content_type


def said_in(call: StorageCall) -> Said:
    return Said(content_in(call.headers, BLOBS), metadata_in(call.headers))


def staged_of(call: StorageCall) -> StagedBlocks:
    return StagedBlocks(call.layout, call.account, call.name, call.path)


def place_to_write(call: StorageCall) -> Path:
    """Where the blob will be, after a first look at the conditions. Raises StorageFault."""
    place = call.tree.place(call.path)
    check_conditions(call, place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _clash("a part of its path is a blob") from None
    return place


def check_conditions(call: StorageCall, place: Path) -> os.stat_result | None:
    """What is there now; None for nothing. Raises StorageFault where it is not to be overwritten."""
    status = place.stat() if place.is_file() else None
    conditions.check(call.headers, status, reading=False)
    if status:
        call.grant.require("w", "o")  # a signature that allows to create does not allow to overwrite
    return status


@asynccontextmanager
async def taking_blocks(call: StorageCall) -> AsyncIterator[StagedBlocks]:
    """Meanwhile the blob is made, by nobody else. Where that succeeds no block waits for it any more."""
    staged = staged_of(call)
    async with staged.committing:
        yield staged
        gone = staged.set_aside()
    if gone:
        await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)


def commit(
    call: StorageCall,
    path: Path,
    place: Path,
    said: Said,
    headers: dict[str, str],
    status: int = 201,
    blocks: bytes = b"",
) -> Response:
    """The file becomes the blob; `blocks` are what it was made of.

    At every moment the blob that is there has its own blocks. Raises StorageFault.
    """
    former = check_conditions(call, place)
    if said.content.get("content-type") == content_type(place.name):
        del said.content["content-type"]  # it is that anyhow
    set_executable(path, said.metadata, {})
    call.kept.put(call.place, path.stat(), said, blocks)
    try:
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        os.replace(path, place)
    except OSError:
        call.kept.settle(call.place, former)
        if place.is_dir():
            raise _clash("it is a folder that has blobs") from None
        raise
    with contextlib.suppress(OSError):  # a full disk, on which a list that is nobody's can stay
        call.kept.settle(call.place, place.stat())
    return changed(status, place, headers)


def _clash(why: str) -> StorageFault:
    return StorageFault(409, "ResourceTypeMismatch", f"The blob cannot be kept as a file here: {why}.")
