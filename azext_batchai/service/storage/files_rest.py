"""Azure Files over REST: shares, directories and files.

https://learn.microsoft.com/rest/api/storageservices/file-service-rest-api
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import content, copies, uploads
from azext_batchai.service.storage.faults import StorageFault, bad_input, not_implemented
from azext_batchai.service.storage.kept import Said, content_in, metadata_in, set_executable
from azext_batchai.service.storage.layout import FILES
from azext_batchai.service.storage.properties_rest import quota_in
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.storage_replies import (
    add_properties,
    changed,
    content_type,
    create_root,
    delete_root,
    download,
    enumeration,
    finished,
    list_roots,
    missing,
    page,
    wire_moment,
)
from azext_batchai.service.storage.tree import Entry
from azext_batchai.service.storage.xml_text import add_name

MAX_FILE = 4 << 40
_QUOTA = "102400"  # GiB: the largest of the real service, as nothing is limited here


def _system(status: os.stat_result, attributes: str) -> dict[str, str]:
    return {
        "x-ms-file-attributes": attributes,
        "x-ms-file-creation-time": wire_moment(status.st_ctime),
        "x-ms-file-last-write-time": wire_moment(status.st_mtime),
        "x-ms-file-change-time": wire_moment(status.st_ctime),
        "x-ms-file-id": str(status.st_ino),
        "x-ms-file-parent-id": "0",
    }


async def list_shares(call: StorageCall) -> Response:
    return await list_roots(call, ("Shares", "Share"), {"Quota": _QUOTA})


async def create_share(call: StorageCall) -> Response:
    return create_root(call, Said(metadata=metadata_in(call.headers), quota=quota_in(call)))


async def share_properties(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    said = call.kept.get(call.place, status)
    own = {"x-ms-share-quota": said.quota or _QUOTA, "x-ms-enabled-protocols": "SMB"}
    return Response(headers={**content.identity(status), **own, **said.headers})


async def delete_share(call: StorageCall) -> Response:
    await delete_root(call)
    return Response(status_code=202)


async def create_directory(call: StorageCall) -> Response:
    place = call.tree.place(call.path)
    _check_parent(place)
    try:
        place.mkdir()
    except FileExistsError:
        raise StorageFault(409, "ResourceAlreadyExists", "The specified resource already exists.") from None
    call.kept.put(call.place, place.stat(), Said(metadata=metadata_in(call.headers)))
    return changed(201, place, _system(place.stat(), "Directory"))


async def directory_properties(call: StorageCall) -> Response:
    status = _directory(call).stat()
    said = call.kept.get(call.place, status)
    return Response(headers={**content.identity(status), **_system(status, "Directory"), **said.headers})


async def delete_directory(call: StorageCall) -> Response:
    _directory(call)
    place = call.tree.place(call.path)
    if place.is_symlink():
        place.unlink()
        return Response(status_code=202)
    try:
        place.rmdir()
    except OSError:
        raise StorageFault(409, "DirectoryNotEmpty", "The specified directory is not empty.") from None
    call.kept.forget_below(call.place)
    return Response(status_code=202)


async def list_directory(call: StorageCall) -> Response:
    return await asyncio.to_thread(_file_page, call)


def _file_page(call: StorageCall) -> Response:
    folder = _directory(call)
    prefix, start = call.query.get("prefix", ""), call.marker
    entries = call.tree.entries(folder, call.page_size + 1, lambda key: key.startswith(prefix) and key >= start)
    found, marker = page(call, entries, lambda entry: entry.key)
    root = enumeration(call, ShareName=call.name)
    add_name(root, call.path, "DirectoryPath")
    items = ElementTree.SubElement(root, "Entries")
    for entry in found:
        _add_entry(items, entry)
    ElementTree.SubElement(root, "DirectoryId").text = str(folder.stat().st_ino)
    return finished(root, marker)


def _add_entry(items: ElementTree.Element, entry: Entry) -> None:
    element = ElementTree.SubElement(items, "Directory" if entry.is_folder else "File")
    add_name(element, entry.name.rstrip("/"))
    ElementTree.SubElement(element, "FileId").text = str(entry.status.st_ino)
    state = content.identity(entry.status)
    properties = {} if entry.is_folder else {"Content-Length": str(entry.status.st_size)}
    properties |= {
        "CreationTime": wire_moment(entry.status.st_ctime),
        "LastAccessTime": wire_moment(entry.status.st_atime),
        "LastWriteTime": wire_moment(entry.status.st_mtime),
        "ChangeTime": wire_moment(entry.status.st_ctime),
        "Last-Modified": state["last-modified"],
        "Etag": state["etag"],
    }
    add_properties(element, properties)
    ElementTree.SubElement(element, "Attributes").text = "Directory" if entry.is_folder else "Archive"


async def create_file(call: StorageCall) -> Response:
    if copies.HEADER in call.headers:
        return await _copy_file(call)
    if call.headers.get("x-ms-type", "").lower() != "file":
        raise bad_input("Creating a file needs the header x-ms-type: file.", "MissingRequiredHeader")
    size = _new_size(call)
    place = _place_to_write(call)
    said = Said(content_in(call.headers, FILES), metadata_in(call.headers))
    data = await uploads.whole(call.request, uploads.MAX_RANGE)
    if len(data) > size:
        raise bad_input("The body is larger than x-ms-content-length.", "InvalidHeaderValue")
    with uploads.partial(place) as (path, descriptor):
        await uploads.finished(uploads.write_at, descriptor, data, 0)
        os.ftruncate(descriptor, size)
        _name(call, path, place, said)
    return changed(201, place, _system(place.stat(), "Archive"))


async def _copy_file(call: StorageCall) -> Response:
    with copies.source_of(call) as source:
        place = _place_to_write(call)
        said = copies.said_of_copy(call, source)
        with uploads.partial(place) as (path, descriptor):
            await source.copy_to(descriptor)
            _name(call, path, place, said)
    return changed(202, place, copies.begun(said))


def _place_to_write(call: StorageCall) -> Path:
    """Where the file will be. Raises StorageFault."""
    place = call.tree.place(call.path)
    _check_parent(place)
    if place.is_dir():
        raise StorageFault(409, "ResourceTypeMismatch", "The specified resource is a directory.")
    if place.exists() and not call.grant.allows("w"):
        call.grant.require("w", "o")
    return place


def _name(call: StorageCall, path: Path, place: Path, said: Said) -> None:
    """The file at `path` is complete: it gets its name, and what was said of it is kept."""
    if said.content.get("content-type") == content_type(place.name):
        del said.content["content-type"]  # it is that anyhow
    set_executable(path, said.metadata, {})
    call.kept.put(call.place, path.stat(), said)
    os.replace(path, place)


async def put_range(call: StorageCall) -> Response:
    """Write or clear a range of an existing file; at most 4 MiB are written at once, as with the real service."""
    path = _file(call)
    first, last = _range_to_write(call, path.stat().st_size)
    if copies.HEADER in call.headers:
        return await _copy_range(call, path, first, last)
    action = call.headers.get("x-ms-write", "").lower()
    if action == "update":
        data = await uploads.whole(call.request, uploads.MAX_RANGE)
        if len(data) != last + 1 - first:
            raise bad_input("The body has not the length of the range.", "InvalidHeaderValue")
        await asyncio.to_thread(_write, _open(call, path), first, data)
    elif action == "clear":
        await asyncio.to_thread(_clear, _open(call, path), first, last + 1)
    else:
        raise bad_input("The header x-ms-write must be 'update' or 'clear'.", "InvalidHeaderValue")
    return changed(201, path, {key: call.headers[key] for key in ("content-md5",) if key in call.headers})


async def _copy_range(call: StorageCall, path: Path, first: int, last: int) -> Response:
    with copies.source_of(call) as source, _open(call, path) as file:
        start, length = copies.source_range(call, source)
        if length != last + 1 - first:
            raise bad_input("The source's range has not the length of the range.", "InvalidHeaderValue")
        await source.copy_to(file.fileno(), start, length, first)
    return changed(201, path)


async def list_ranges(call: StorageCall) -> Response:
    """One range for the whole file: which parts were never written is not known."""
    if "prevsharesnapshot" in call.query:
        raise not_implemented("Snapshots of shares are not supported.")
    status = _file(call).stat()
    root = ElementTree.Element("Ranges")
    if status.st_size:
        element = ElementTree.SubElement(root, "Range")
        ElementTree.SubElement(element, "Start").text = "0"
        ElementTree.SubElement(element, "End").text = str(status.st_size - 1)
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    headers = {**content.identity(status), "x-ms-content-length": str(status.st_size)}
    return Response(body, media_type="application/xml", headers=headers)


async def set_file_properties(call: StorageCall) -> Response:
    """Set File Properties: the size where it is given; where a content property is, all of them are set."""
    path = _file(call)
    said = content_in(call.headers, FILES)
    if "x-ms-content-length" in call.headers:
        os.truncate(path, _new_size(call))
    if said or "x-ms-content-length" not in call.headers:
        kept = call.kept.get(call.place, path.stat())
        kept.content = said
        os.utime(path)
        call.kept.put(call.place, path.stat(), kept)
    return changed(200, path, _system(path.stat(), "Archive"))


async def get_file(call: StorageCall) -> Response:
    path = call.tree.file(call.path)
    return await download(call, path, lambda status: {"x-ms-type": "File", **_system(status, "Archive")})


async def delete_file(call: StorageCall) -> Response:
    _file(call)
    call.tree.place(call.path).unlink()
    call.kept.forget(call.place)
    return Response(status_code=202)


def _file(call: StorageCall) -> Path:
    path = call.tree.file(call.path)
    if not path:
        raise missing(call)
    return path


def _open(call: StorageCall, path: Path) -> BinaryIO:
    file = content.open_file(path, os.O_RDWR)
    if not file:
        raise missing(call)
    return file


def _directory(call: StorageCall) -> Path:
    path = call.tree.folder(call.path)
    if not path:
        raise missing(call)
    return path


def _check_parent(place: Path) -> None:
    if not place.parent.is_dir():
        raise StorageFault(404, "ParentNotFound", "The specified parent path does not exist.")


def _new_size(call: StorageCall) -> int:
    size = content.number(call.headers.get("x-ms-content-length", ""))
    if size is None or size > MAX_FILE:
        raise bad_input("The header x-ms-content-length must be a size of 4 TiB at most.", "InvalidHeaderValue")
    return size


def _range_to_write(call: StorageCall, size: int) -> tuple[int, int]:
    first, last = (content.number(part) for part in f"{call.range}-".removeprefix("bytes=").split("-")[:2])
    if first is None or last is None or first > last:
        raise bad_input("The header x-ms-range must be bytes=FIRST-LAST.", "InvalidHeaderValue")
    if last >= size:
        raise StorageFault(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    return first, last


def _write(file: BinaryIO, start: int, data: bytearray) -> None:
    with file:
        uploads.write_at(file.fileno(), data, start)


def _clear(file: BinaryIO, start: int, end: int) -> None:
    """Write zeros where there is data: what was never written is none, however large."""
    with file:
        while start < end:
            try:
                start = os.lseek(file.fileno(), start, os.SEEK_DATA)
                stop = min(end, os.lseek(file.fileno(), start, os.SEEK_HOLE))
            except OSError as exc:
                if exc.errno == errno.ENXIO:  # no data any more, or no such file any more
                    return
                raise
            while start < stop:
                start += os.pwrite(file.fileno(), bytes(min(content.CHUNK, stop - start)), start)
