"""Blobs in blocks over REST: uploaded, put together with those of the blob that is there, and listed.

https://learn.microsoft.com/rest/api/storageservices/put-block-list and its kin
"""

from __future__ import annotations

import asyncio
import base64
import os
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import content, copies, uploads
from azext_batchai.service.storage.blob_writes import (
    check_conditions,
    commit,
    place_to_write,
    said_in,
    staged_of,
    taking_blocks,
)
from azext_batchai.service.storage.blocks import COMMITTED, Span, StagedBlocks, block_list, block_name
from azext_batchai.service.storage.committed import (
    CommittedBlob,
    Part,
    assemble,
    chosen,
    committed_blob,
    packed,
)
from azext_batchai.service.storage.faults import bad_input
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.storage_replies import missing


async def put_block(call: StorageCall) -> Response:
    """The answer has an MD5 only where the request has one, as since version 2019-02-02 of the real service."""
    call.tree.place(call.path)
    staged = staged_of(call)
    name = block_name(call.query.get("blockid", ""))
    if copies.HEADER in call.headers:
        return await _put_copied_block(call, staged, name)
    with staged.slot(uploads.content_length(call.request, uploads.MAX_BLOCK)) as slot:
        md5 = await uploads.receive(
            call.request, slot.descriptor, uploads.MAX_BLOCK, offset=slot.span.offset, md5=False
        )
        staged.keep(name, slot)
    headers = {"content-md5": base64.b64encode(md5).decode()} if md5 else {}
    return Response(status_code=201, headers={**headers, "x-ms-request-server-encrypted": "false"})


async def _put_copied_block(call: StorageCall, staged: StagedBlocks, name: str) -> Response:
    with copies.source_of(call) as source:
        start, length = copies.source_range(call, source)
        with staged.slot(length) as slot:
            await source.copy_to(slot.descriptor, start, length, slot.span.offset)
            staged.keep(name, slot)
    return Response(status_code=201, headers={"x-ms-request-server-encrypted": "false"})


async def put_block_list(call: StorageCall) -> Response:
    call.tree.place(call.path)
    body = await uploads.whole(call.request, uploads.MAX_BLOCK_LIST)
    wanted = await asyncio.to_thread(block_list, body)
    async with taking_blocks(call) as staged:
        waiting = await asyncio.to_thread(staged.all)
        reuses = any(one.where == COMMITTED or one.name not in waiting for one in wanted)
        with committed_blob(call, call.tree.place(call.path) if reuses else None) as blob:
            parts = await asyncio.to_thread(chosen, wanted, waiting, blob)
            check_conditions(call, call.tree.place(call.path))
            if not reuses:
                await staged.arrange([part.name for part in parts])
                parts = await asyncio.to_thread(lambda: chosen(wanted, staged.all(), None))
            return await _made(call, staged, parts, blob)


async def _made(call: StorageCall, staged: StagedBlocks, parts: list[Part], blob: CommittedBlob | None) -> Response:
    """The blob of these parts; the one that is there is whole until it takes its place. Raises StorageFault."""
    record = await asyncio.to_thread(packed, ((part.name, part.span.length) for part in parts))
    place = place_to_write(call)
    if not blob and staged.are_all([part.span for part in parts], place.parent):
        os.utime(staged.data)  # the blob is as old as its commit
        return commit(call, staged.data, place, said_in(call), {}, blocks=record)
    with uploads.partial(place) as (path, descriptor):
        try:
            await uploads.finished(assemble, parts, staged.data, blob, descriptor)
        except OSError:
            if blob:  # it may have become shorter
                blob.check()
            raise
        if blob:
            blob.check()
        return commit(call, path, place, said_in(call), {}, blocks=record)


async def get_block_list(call: StorageCall) -> Response:
    """A blob that was not made of blocks, or was changed by others since, has none. Raises StorageFault."""
    which = call.query.get("blocklisttype", "committed").lower()
    if which not in ("committed", "uncommitted", "all"):
        raise bad_input("blocklisttype is committed, uncommitted or all.", "InvalidQueryParameterValue")
    call.tree.place(call.path)
    with committed_blob(call, call.tree.file(call.path)) as blob:
        return await asyncio.to_thread(_listed, call, which, blob)


def _listed(call: StorageCall, which: str, blob: CommittedBlob | None) -> Response:
    waiting = staged_of(call).all()
    if not waiting and not blob:
        raise missing(call)
    root = ElementTree.Element("BlockList")
    if which != "uncommitted":
        _add(root, "CommittedBlocks", blob.blocks if blob else [])
    if which != "committed":
        _add(root, "UncommittedBlocks", list(waiting.items()))
    headers = {}
    if blob:
        headers = {**content.identity(blob.status), "x-ms-blob-content-length": str(blob.status.st_size)}
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return Response(body, headers=headers, media_type="application/xml")


def _add(root: ElementTree.Element, tag: str, found: list[tuple[str, Span]]) -> None:
    blocks = ElementTree.SubElement(root, tag)
    for name, span in found:
        block = ElementTree.SubElement(blocks, "Block")
        ElementTree.SubElement(block, "Name").text = base64.b64encode(bytes.fromhex(name)).decode()
        ElementTree.SubElement(block, "Size").text = str(span.length)
