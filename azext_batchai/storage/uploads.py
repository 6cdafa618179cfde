"""Putting files into Azure Files and Azure Blobs over their REST API, signed with the account's key."""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments
import base64
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from azext_batchai.storage.data_plane import Container, Share, StorageError

_RANGE = 4 << 20  # bytes; the most that Azure Files takes at once
_EXISTS = {"ResourceAlreadyExists"}


def put_file(
    folder: Share | Container, session: Any, path: str, source: Path, told: Callable[[int], None] = lambda _: None
) -> None:
    """Copy a file to `path` in the share or container; `told` is called with the bytes sent, now and then.

    What is cut off is shorter than the file is. Raises StorageError, and OSError for a file that cannot be read.
    """
    if isinstance(folder, Share):
        _put_share_file(folder, session, path, source, told)
    else:
        _put_blob(folder, session, path, source, told)


def make_folders(folder: Share | Container, session: Any, path: str) -> None:
    """Make a folder and those it is in. In a container they are parts of names."""
    if isinstance(folder, Container) or not path:
        return
    make_folders(folder, session, posixpath.dirname(path))
    try:
        folder.account.put(session, folder.account.url(folder.name, path), {"restype": "directory"}, _NEW_FOLDER)
    except StorageError as error:
        if error.code not in _EXISTS:
            raise


_NEW = {"x-ms-file-attributes": "None", "x-ms-file-creation-time": "now", "x-ms-file-last-write-time": "now"}
_KEPT = dict.fromkeys((*_NEW, "x-ms-file-permission"), "preserve")
_NEW_FOLDER = {**_NEW, "x-ms-file-permission": "inherit"}


def _put_share_file(share: Share, session: Any, path: str, source: Path, told: Callable[[int], None]) -> None:
    url = share.account.url(share.name, path)
    new = {**_NEW_FOLDER, "x-ms-type": "file", "x-ms-content-length": "0"}
    share.account.put(session, url, {}, new)
    offset = 0
    with source.open("rb") as file:
        while data := file.read(_RANGE):
            # It grows with what is written: a file that was cut off is seen by its size.
            grown = {"x-ms-content-length": str(offset + len(data))}
            share.account.put(session, url, {"comp": "properties"}, {**_KEPT, **grown})
            span = {"x-ms-write": "update", "x-ms-range": f"bytes={offset}-{offset + len(data) - 1}"}
            share.account.put(session, url, {"comp": "range"}, span, data=data)
            offset += len(data)
            told(len(data))


def _put_blob(container: Container, session: Any, path: str, source: Path, told: Callable[[int], None]) -> None:
    url = container.account.url(container.name, path)
    blocks = []
    with source.open("rb") as file:
        while data := file.read(_RANGE):
            block = base64.b64encode(f"{len(blocks):08}".encode()).decode()
            container.account.put(session, url, {"comp": "block", "blockid": block}, {}, data=data)
            blocks.append(block)
            told(len(data))
    listed = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
    container.account.put(session, url, {"comp": "blocklist"}, {}, data=body)
