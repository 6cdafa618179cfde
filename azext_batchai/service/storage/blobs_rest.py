"""Azure Blobs over REST: containers and block blobs.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import conditions, content, copies, uploads
from azext_batchai.service.storage.blob_writes import commit, place_to_write, said_in, taking_blocks
from azext_batchai.service.storage.blocks import StagedBlocks
from azext_batchai.service.storage.faults import bad_input, not_implemented
from azext_batchai.service.storage.kept import Said, content_in, metadata_in, of_row
from azext_batchai.service.storage.layout import BLOBS
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.storage_replies import (
    add_metadata,
    add_properties,
    content_type,
    create_root,
    delete_root,
    download,
    enumeration,
    finished,
    includes,
    list_roots,
    missing,
    page,
)
from azext_batchai.service.storage.tree import Entry, Tree
from azext_batchai.service.storage.xml_text import add_name, legible

_LEASE = {"LeaseStatus": "unlocked", "LeaseState": "available"}
_LEASE_HEADERS = {"x-ms-lease-status": "unlocked", "x-ms-lease-state": "available"}


async def list_containers(call: StorageCall) -> Response:
    return await list_roots(call, ("Containers", "Container"), _LEASE)


async def create_container(call: StorageCall) -> Response:
    return create_root(call, Said(metadata=metadata_in(call.headers)))


async def container_properties(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    said = call.kept.get(call.place, status)
    return Response(headers={**content.identity(status), **_LEASE_HEADERS, **said.headers})


async def delete_container(call: StorageCall) -> Response:
    conditions.check(call.headers, call.tree.root.stat(), reading=False)
    await delete_root(call)
    await asyncio.to_thread(StagedBlocks.forget_container, call.layout, call.account, call.name)
    return Response(status_code=202)


async def list_blobs(call: StorageCall) -> Response:
    delimiter = call.query.get("delimiter", "")
    if delimiter not in ("", "/"):
        raise not_implemented(f"The delimiter '{delimiter}' is not supported, only '/' is.")
    return await asyncio.to_thread(_blob_page, call, _level if delimiter else Tree.walk)


def _blob_page(call: StorageCall, entries: Callable[[Tree, str, str, int], Iterator[Entry]]) -> Response:
    most = call.page_size + 1
    found, marker = page(call, entries(call.tree, call.query.get("prefix", ""), call.marker, most), _key)
    root = enumeration(call, ContainerName=call.name)
    blobs = ElementTree.SubElement(root, "Blobs")
    rows = call.kept.between(*(call.place_of(one.key) for one in (found[0], found[-1]))) if found else {}
    with_metadata, with_copies = includes(call, "metadata"), includes(call, "copy")
    for entry in found:
        element = ElementTree.SubElement(blobs, "BlobPrefix" if entry.is_folder else "Blob")
        add_name(element, entry.name)
        if not entry.is_folder:
            place = call.place_of(entry.key)
            said = of_row(rows.get(place), place, entry.status)
            add_properties(element, _properties(entry, said) | (_of_copy(said) if with_copies else {}))
            if with_metadata:
                add_metadata(element, said)
    return finished(root, marker)


def _key(entry: Entry) -> str:
    return entry.key


def _level(tree: Tree, prefix: str, start: str, most: int) -> Iterator[Entry]:
    """The blobs of one folder, and its folders as prefixes."""
    base, slash, _ = prefix.rpartition("/")
    base += slash
    folder = tree.folder(base[:-1])

    def wanted(key: str) -> bool:
        path = base + key
        return path.startswith(prefix) and path >= start

    for entry in tree.entries(folder, most, wanted) if folder else ():
        yield Entry(base + entry.key, entry.status)


def _properties(entry: Entry, said: Said) -> dict[str, str]:
    state = content.identity(entry.status)
    return {
        "Creation-Time": state["last-modified"],
        "Last-Modified": state["last-modified"],
        "Etag": state["etag"].strip('"'),
        "Content-Length": str(entry.status.st_size),
        "Content-Type": content_type(entry.name),
        "BlobType": "BlockBlob",
        "ServerEncrypted": "false",
        **_LEASE,
        **{_tag(name): legible(value) for name, value in said.content.items()},
    }


def _of_copy(said: Said) -> dict[str, str]:
    return {_tag(name.removeprefix("x-ms-")).replace("-", ""): legible(value) for name, value in said.copied.items()}


def _tag(header: str) -> str:
    """What a list calls a header of a download."""
    return header.title().replace("Md5", "MD5")


async def put_blob(call: StorageCall) -> Response:
    kind = call.headers.get("x-ms-blob-type", "")
    if copies.HEADER in call.headers and kind in ("", "BlockBlob"):
        return await _put_copy(call, kind)
    if kind != "BlockBlob":
        if kind in ("PageBlob", "AppendBlob"):
            raise not_implemented(f"Blobs of type {kind} are not supported, only BlockBlob.")
        raise bad_input("The header x-ms-blob-type must be BlockBlob.", "InvalidHeaderValue")
    place = place_to_write(call)
    with uploads.partial(place) as (path, descriptor):
        md5 = await uploads.receive(call.request, descriptor, uploads.MAX_BLOB, "x-ms-blob-content-md5")
        headers = {"content-md5": base64.b64encode(md5).decode()}
        async with taking_blocks(call):
            return commit(call, path, place, said_in(call), headers)


async def _put_copy(call: StorageCall, kind: str) -> Response:
    """Copy Blob, or Put Blob From URL where the blob's type is given; both have ended with their answer.

    A copy has the blocks of its source.
    """
    with copies.source_of(call) as source:
        said = copies.said_of_copy(call, source)
        headers, blocks = copies.begun(said), b""
        if kind:
            said.copied, headers = {}, {}
            said.content |= content_in(call.headers, BLOBS)
        else:
            blocks = await asyncio.to_thread(source.blocks)
        place = place_to_write(call)
        with uploads.partial(place) as (path, descriptor):
            await source.copy_to(descriptor)
            async with taking_blocks(call):
                return commit(call, path, place, said, headers, 201 if kind else 202, blocks)


async def get_blob(call: StorageCall) -> Response:
    return await download(call, call.tree.file(call.path), _blob_headers)


def _blob_headers(status: os.stat_result) -> dict[str, str]:
    created = content.identity(status)["last-modified"]
    return {"x-ms-blob-type": "BlockBlob", "x-ms-creation-time": created, **_LEASE_HEADERS}


async def delete_blob(call: StorageCall) -> Response:
    path = call.tree.file(call.path)
    conditions.check(call.headers, path.stat() if path else None, reading=False)
    if not path:
        raise missing(call)
    place = call.tree.place(call.path)
    place.unlink()
    call.kept.forget(call.place)
    _prune(call.tree, place.parent)
    return Response(status_code=202)


def _prune(tree: Tree, folder: Path) -> None:
    """Remove the folders that were there only for the sake of a blob: a container has none of its own."""
    while folder != tree.root and folder.is_relative_to(tree.root):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
