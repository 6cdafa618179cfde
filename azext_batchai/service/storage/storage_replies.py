"""Answers that files and blobs have in common: downloads, properties and lists."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import mimetypes
import os
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import conditions, content
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.kept import Said
from azext_batchai.service.storage.layout import BLOBS, SHARE_PATTERN
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.uploads import MAX_RANGE
from azext_batchai.service.storage.xml_text import legible

T = TypeVar("T")
_REMOVALS = 5


def wire_moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def content_type(name: str) -> str:
    """By the name alone, where nobody has said another."""
    # With a slash before it: a name like `data:text/html,` is no URL that says its own type.
    return mimetypes.guess_type(f"/{name.rpartition('/')[2]}")[0] or "application/octet-stream"


def changed(status: int, path: Path, headers: dict[str, str] | None = None) -> Response:
    """The answer to a change: what the file or folder is now."""
    now = {**content.identity(path.stat()), "x-ms-request-server-encrypted": "false"}
    return Response(status_code=status, headers={**now, **(headers or {})})


async def download(
    call: StorageCall, path: Path | None, headers: Callable[[os.stat_result], dict[str, str]]
) -> Response:
    """GET or HEAD of a file or blob. Raises StorageFault."""
    if not path:
        conditions.check(call.headers, None, reading=True)
        raise missing(call)
    file = content.open_file(path)
    if not file:
        raise missing(call)
    try:
        status = os.fstat(file.fileno())
        conditions.check(call.headers, status, reading=True)
        said = call.kept.get(call.place, status).headers
        answer = {
            "accept-ranges": "bytes",
            "content-type": content_type(path.name),
            **content.identity(status),
            **headers(status),
            **said,
            **dict(call.grant.replies),
        }
        if call.method == "HEAD":
            file.close()
            return Response(headers={**answer, "content-length": str(status.st_size)})
        span = content.span(call.range, status.st_size)
        if span is None:
            raise StorageFault(
                416,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
                {"content-range": f"bytes */{status.st_size}"},
            )
        start, end, partly = span
        answer["content-length"] = str(end - start)
        if partly:
            answer["content-range"] = f"bytes {start}-{end - 1}/{status.st_size}"
            if "content-md5" in answer:  # which is that of the whole file
                name = "x-ms-blob-content-md5" if call.service == BLOBS else "x-ms-content-md5"
                answer[name] = answer.pop("content-md5")
        if call.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
            answer["content-md5"] = await _range_md5(file.fileno(), start, end, partly)
    except BaseException:
        file.close()
        raise
    return content.answer(file, start, end, 206 if partly else 200, answer)


async def _range_md5(descriptor: int, start: int, end: int, partly: bool) -> str:
    if not partly or end - start > MAX_RANGE:
        raise bad_input("x-ms-range-get-content-md5 needs a range of 4 MiB at most.", "InvalidHeaderValue")
    data = await asyncio.to_thread(os.pread, descriptor, end - start, start)
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def missing(call: StorageCall) -> StorageFault:
    blob = call.service == "blobs"
    return StorageFault(
        404,
        "BlobNotFound" if blob else "ResourceNotFound",
        f"The specified {'blob' if blob else 'resource'} does not exist.",
    )


def page(call: StorageCall, items: Iterable[T], name: Callable[[T], str]) -> tuple[list[T], str]:
    """As many items as the client wants, and the marker of the next page ('' at the end)."""
    taken = list(islice(items, call.page_size + 1))
    if len(taken) <= call.page_size:
        return taken, ""
    return taken[:-1], quote(name(taken[-1]), safe="", errors="surrogateescape")


def enumeration(call: StorageCall, **attributes: str) -> ElementTree.Element:
    """The root of a list, with what was asked for."""
    host = legible(call.headers.get("host", ""))  # not `request.url`, which takes not every host that a client may send
    place = f"{call.endpoint}/" if call.endpoint else ""
    endpoint = f"{call.request.scope['scheme']}://{host}/{place}"
    root = ElementTree.Element("EnumerationResults", {"ServiceEndpoint": endpoint, **attributes})
    for key, tag in (
        ("prefix", "Prefix"),
        ("marker", "Marker"),
        ("maxresults", "MaxResults"),
        ("delimiter", "Delimiter"),
    ):
        if key in call.query:
            ElementTree.SubElement(root, tag).text = legible(call.query[key])
    return root


def finished(root: ElementTree.Element, next_marker: str) -> Response:
    ElementTree.SubElement(root, "NextMarker").text = next_marker
    return Response(ElementTree.tostring(root, "utf-8", xml_declaration=True), media_type="application/xml")


def add_properties(parent: ElementTree.Element, properties: dict[str, str]) -> None:
    element = ElementTree.SubElement(parent, "Properties")
    for name, value in properties.items():
        ElementTree.SubElement(element, name).text = value


def includes(call: StorageCall, what: str) -> bool:
    """Whether a list is to have it, too."""
    return what in call.query.get("include", "").lower().split(",")


def add_metadata(parent: ElementTree.Element, said: Said) -> None:
    element = ElementTree.SubElement(parent, "Metadata")
    for name, value in said.metadata.items():
        ElementTree.SubElement(element, name).text = legible(value)


async def list_roots(call: StorageCall, tags: tuple[str, str], properties: dict[str, str]) -> Response:
    """The shares or the containers of an account."""
    return await asyncio.to_thread(_root_page, call, tags, properties)


def _root_page(call: StorageCall, tags: tuple[str, str], properties: dict[str, str]) -> Response:
    root = enumeration(call)
    entries = ElementTree.SubElement(root, tags[0])
    with_metadata = includes(call, "metadata")
    prefix, start = call.query.get("prefix", ""), call.marker
    names = filter(SHARE_PATTERN.fullmatch, call.layout.names(call.account, call.service))
    found, marker = page(call, (name for name in names if name.startswith(prefix) and name >= start), str)
    for name in found:
        try:
            status = call.layout.folder(call.account, call.service, name).stat()
        except FileNotFoundError:  # it was deleted meanwhile
            continue
        state, said = content.identity(status), call.kept.get(f"{call.service}/{name}", status)
        entry = ElementTree.SubElement(entries, tags[1])
        ElementTree.SubElement(entry, "Name").text = legible(name)
        more = {"Quota": said.quota} if said.quota else {}
        add_properties(entry, {"Last-Modified": state["last-modified"], "Etag": state["etag"], **properties, **more})
        if with_metadata:
            add_metadata(entry, said)
    return finished(root, marker)


async def delete_root(call: StorageCall) -> None:
    """Remove the share or container. Raises StorageFault where others write to it faster than it can be emptied."""
    await asyncio.to_thread(_remove, call.tree.root)
    call.kept.forget_below(call.place)
    if call.folder.is_dir():
        noun = "Share" if call.service == "files" else "Container"
        raise StorageFault(409, f"{noun}BeingDeleted", f"The specified {noun.lower()} is written to; try again.")


def _remove(folder: Path) -> None:
    for _ in range(_REMOVALS):
        try:
            return shutil.rmtree(folder)
        except OSError as exc:  # something came into a folder after it was emptied, or went by itself
            if exc.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
    return None


def create_root(call: StorageCall, said: Said) -> Response:
    try:
        call.folder.mkdir(parents=True)
    except FileExistsError:
        noun = "Share" if call.service == "files" else "Container"
        raise StorageFault(409, f"{noun}AlreadyExists", f"The specified {noun.lower()} already exists.") from None
    call.kept.put(call.place, call.folder.stat(), said)
    return changed(201, call.folder)
