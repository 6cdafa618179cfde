"""What can be said of files, blobs, shares and containers, and moved with them: metadata, content properties, names.

https://learn.microsoft.com/rest/api/storageservices/set-blob-properties and its kin
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from starlette.responses import Response

from azext_batchai.service.storage import conditions, content
from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.kept import Said, content_in, metadata_in, set_executable
from azext_batchai.service.storage.layout import BLOBS
from azext_batchai.service.storage.storage_call import StorageCall
from azext_batchai.service.storage.storage_replies import changed, missing

RENAME_HEADER = "x-ms-file-rename-source"
_LARGEST_QUOTA = 102400  # GiB


async def set_metadata(call: StorageCall) -> Response:
    """Of a blob, a file or a directory."""
    path = _existing(call)
    said = call.kept.get(call.place, path.stat())
    before, said.metadata = said.metadata, metadata_in(call.headers)
    if path.is_file():
        set_executable(path, said.metadata, before)
    _keep_of_changed(call, path, said)
    return changed(200, path)


async def set_content(call: StorageCall) -> Response:
    """Content properties of a blob: where one is given, all are set, and those that are not given cleared."""
    path = _existing(call)
    said = call.kept.get(call.place, path.stat())
    said.content = content_in(call.headers, call.service)
    _keep_of_changed(call, path, said)
    return changed(200, path)


def _existing(call: StorageCall) -> Path:
    directory = call.query.get("restype") == "directory"
    found = call.tree.folder(call.path) if directory else call.tree.file(call.path)
    if call.service == BLOBS:
        conditions.check(call.headers, found.stat() if found else None, reading=False)
    if not found:
        raise missing(call)
    return found


def _keep_of_changed(call: StorageCall, path: Path, said: Said) -> None:
    """The file has another state from now on, as its entity tag tells; a blob is of the same blocks as before."""
    before = path.stat()
    os.utime(path)
    call.kept.put(call.place, path.stat(), said)
    call.kept.touched(call.place, before, path.stat())


async def metadata(call: StorageCall) -> Response:
    path = _existing(call)
    status = path.stat()
    said = call.kept.get(call.place, status)
    return Response(headers={**content.identity(status), **Said(metadata=said.metadata).headers})


# Shares and containers


async def set_root_metadata(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    said = call.kept.get(call.place, status)
    said.metadata = metadata_in(call.headers)
    call.kept.put(call.place, status, said)
    return Response(headers=content.identity(status))


async def set_quota(call: StorageCall) -> Response:
    status = call.tree.root.stat()
    said = call.kept.get(call.place, status)
    said.quota = quota_in(call) or said.quota
    call.kept.put(call.place, status, said)
    return Response(headers=content.identity(status))


def quota_in(call: StorageCall) -> str:
    """The quota that a request gives a share; it is shown, and nobody is held to it. Raises StorageFault."""
    text = call.headers.get("x-ms-share-quota", "")
    if text and not 0 < (content.number(text) or 0) <= _LARGEST_QUOTA:
        raise bad_input(f"The quota of a share is 1 to {_LARGEST_QUOTA} GiB.", "InvalidHeaderValue")
    return text


async def share_stats(call: StorageCall) -> Response:
    used = await asyncio.to_thread(_size, call.tree.root)
    root = ElementTree.Element("ShareStats")
    ElementTree.SubElement(root, "ShareUsageBytes").text = str(used)
    body = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return Response(body, media_type="application/xml", headers=content.identity(call.tree.root.stat()))


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    used, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    elif stat.S_ISREG(status.st_mode):
                        used += status.st_size
        except OSError:  # it went away meanwhile
            continue
    return used


# Names


async def rename(call: StorageCall) -> Response:
    """A file or a directory of a share gets another name in it. Raises StorageFault."""
    directory = call.query.get("restype") == "directory"
    source = _renamed(call)
    old, new = call.tree.place(source), call.tree.place(call.path)
    if not (old.is_dir() if directory else old.is_file()):
        raise missing(call)
    if not new.parent.is_dir():
        raise StorageFault(404, "ParentNotFound", "The specified parent path does not exist.")
    replaces = call.headers.get("x-ms-file-rename-replace-if-exists", "").lower() == "true"
    if new.is_dir() or (new.exists() and (directory or not replaces)):
        raise StorageFault(409, "ResourceAlreadyExists", "The specified resource already exists.")
    try:
        os.rename(old, new)
    except OSError as exc:
        if new.is_relative_to(old):
            raise bad_input("A directory cannot be moved into itself.", "InvalidHeaderValue") from exc
        raise
    call.kept.move(call.place_of(source), call.place)
    return changed(200, new)


def _renamed(call: StorageCall) -> str:
    """The path of what is to be renamed, which is named by its URL."""
    try:
        url = urlsplit(call.headers.get(RENAME_HEADER, ""))
    except ValueError:
        raise bad_input(f"The header {RENAME_HEADER} is no URL.", "InvalidHeaderValue") from None
    path = unquote(url.path, errors="surrogateescape")
    start = "/".join(["", *filter(None, [call.endpoint, call.name]), ""])
    if not path.startswith(start) or not path[len(start) :].strip("/"):
        raise bad_input("A file is renamed within its share.", "InvalidHeaderValue")
    return path[len(start) :].strip("/")
