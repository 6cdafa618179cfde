"""Putting files into Azure Files and Azure Blobs over their REST API, signed with the account's key.

A file that is there as it is here is not sent, and an upload that broke off goes on behind what came over. What is
whole has its MD5 in storage, which is said last. Whether a file is executable is said in its metadata: neither kind of
storage has a bit for it, shares that nodes mount by SMB show every file as executable, and the embedded service sets
the bit (docs/storage.md).
"""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments
import base64
import hashlib
import posixpath
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from azext_batchai.storage.data_plane import Container, Share, StorageError

_RANGE = 4 << 20  # bytes; the most that Azure Files takes at once
_EXISTS = {"ResourceAlreadyExists"}
_EXECUTABLE = {"x-ms-meta-executable": "true"}
_MD5, _BLOB_MD5 = "x-ms-content-md5", "x-ms-blob-content-md5"
_BETWEEN_LOOKS = 0.5  # seconds, at a copy that goes on

Told = Callable[[int], None]


def put_file(
    folder: Share | Container,
    session: Any,
    path: str,
    file: BinaryIO,
    told: Told = lambda _: None,
    *,
    executable: bool = False,
) -> bool:
    """Make `path` in the share or container what the file is; False where it was that already.

    `told` is called with the bytes sent, now and then. Raises StorageError, and OSError for a file that cannot be read.
    """
    account, url = folder.account, folder.account.url(folder.name, path)
    there = account.head(session, url)
    if there and _is_same(there, file):
        _set_executable(account, session, url, there, executable)
        return False
    upload = _to_share if isinstance(folder, Share) else _to_container
    sent = upload(account, session, url, there, file, told, _EXECUTABLE if executable else {})
    if there and isinstance(folder, Share):
        _set_executable(account, session, url, there, executable)
    return sent


def copy_file(folder: Share | Container, session: Any, source: str, path: str) -> None:
    """Let the account copy a file within the share or container. Raises StorageError."""
    account, url = folder.account, folder.account.url(folder.name, path)
    from_where = {"x-ms-copy-source": account.url(folder.name, source)}
    status = account.put(session, url, {}, from_where).get("x-ms-copy-status")
    while status == "pending":
        time.sleep(_BETWEEN_LOOKS)
        status = (account.head(session, url) or {}).get("x-ms-copy-status")


def make_folders(folder: Share | Container, session: Any, path: str, made: set[str]) -> None:
    """Make a folder and those it is in, but for those in `made`. In a container they are parts of names."""
    if isinstance(folder, Container) or not path or path in made:
        return
    make_folders(folder, session, posixpath.dirname(path), made)
    made.add(path)
    try:
        folder.account.put(session, folder.account.url(folder.name, path), {"restype": "directory"}, _NEW_FOLDER)
    except StorageError as error:
        if error.code not in _EXISTS:
            raise


_NEW = {"x-ms-file-attributes": "None", "x-ms-file-creation-time": "now", "x-ms-file-last-write-time": "now"}
_KEPT = dict.fromkeys((*_NEW, "x-ms-file-permission"), "preserve")
_NEW_FOLDER = {**_NEW, "x-ms-file-permission": "inherit"}


def _is_same(there: Any, file: BinaryIO) -> bool:
    if not there.get("Content-MD5") or int(there["Content-Length"]) != file.seek(0, 2):
        return False
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while data := file.read(_RANGE):
        digest.update(data)
    return bool(there["Content-MD5"] == _shown(digest))


def _set_executable(account: Any, session: Any, url: str, there: Any, executable: bool) -> None:
    if (there.get("x-ms-meta-executable") == "true") != executable:
        account.put(session, url, {"comp": "metadata"}, _EXECUTABLE if executable else {})


def _to_share(
    account: Any, session: Any, url: str, there: Any, file: BinaryIO, told: Told, metadata: dict[str, str]
) -> bool:
    digest = hashlib.md5(usedforsecurity=False)
    size = file.seek(0, 2)
    before = int(there["Content-Length"]) if there else 0
    offset = _equal_bytes(account, session, url, min(before, size), file, digest)
    is_whole = bool(there) and offset == size == before
    if there and not is_whole:
        # Where a content property is given, the MD5 goes as well: it was that of another content.
        other = {"x-ms-content-length": str(offset), "x-ms-content-type": "application/octet-stream"}
        account.put(session, url, {"comp": "properties"}, {**_KEPT, **other})
    is_made = bool(there)
    while (data := file.read(_RANGE)) or not is_made:
        # It grows with what is written, so that readers and the next attempt see by its size how far it came.
        grown = {"x-ms-content-length": str(offset + len(data))}
        if is_made:
            account.put(session, url, {"comp": "properties"}, {**_KEPT, **grown})
        else:
            account.put(session, url, {}, {**_NEW_FOLDER, "x-ms-type": "file", **grown, **metadata})
            is_made = True
        if data:
            span = {"x-ms-write": "update", "x-ms-range": f"bytes={offset}-{offset + len(data) - 1}"}
            account.put(session, url, {"comp": "range"}, span, data=data)
        digest.update(data)
        offset += len(data)
        told(len(data))
    account.put(session, url, {"comp": "properties"}, {**_KEPT, _MD5: _shown(digest)})
    return not is_whole


def _equal_bytes(account: Any, session: Any, url: str, most: int, file: BinaryIO, digest: Any) -> int:
    """How many bytes of the file are there already, in whole ranges, which are fetched: sizes prove nothing.

    The file stands behind them, and they are in the digest.
    """
    offset = 0
    file.seek(0)
    while offset < most:
        data = file.read(min(_RANGE, most - offset))
        if not data or account.read(session, url, offset, len(data)) != data:
            break
        digest.update(data)
        offset += len(data)
    file.seek(offset)
    return offset


def _to_container(
    account: Any, session: Any, url: str, _: Any, file: BinaryIO, told: Told, metadata: dict[str, str]
) -> bool:
    """In blocks that are named by their content: those that an upload left that broke off are there already."""
    waiting = _waiting_blocks(account, session, url)
    blocks = []
    digest = hashlib.md5(usedforsecurity=False)
    file.seek(0)
    while data := file.read(_RANGE):
        digest.update(data)
        name = f"{len(blocks):08}-{hashlib.sha256(data).hexdigest()[:40]}"
        blocks.append(base64.b64encode(name.encode()).decode())
        if waiting.get(blocks[-1]) != len(data):
            account.put(session, url, {"comp": "block", "blockid": blocks[-1]}, {}, data=data)
            told(len(data))
    listed = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
    said = {_BLOB_MD5: _shown(digest), **metadata}
    # Where the answer to a first request was lost, the blocks wait no more: they are the blob's, and found there.
    account.put(session, url, {"comp": "blocklist"}, said, data=body)
    return True


def _waiting_blocks(account: Any, session: Any, url: str) -> dict[str, int]:
    """Name -> size of the blocks that are there and not yet part of a blob."""
    try:
        found = account.get(session, url, {"comp": "blocklist", "blocklisttype": "uncommitted"})
    except StorageError as error:
        if error.status != 404:
            raise
        return {}
    blocks = {block.findtext("Name") or "": int(block.findtext("Size") or 0) for block in found.iter("Block")}
    if any(len(name) != _BLOCK_NAME for name in blocks):
        # Another client's. Names of one blob have one length: these would keep ours out.
        account.put(session, url, {}, {"x-ms-blob-type": "BlockBlob"})
        return {}
    return blocks


_BLOCK_NAME = len(base64.b64encode(bytes(8 + 1 + 40)))


def _shown(digest: Any) -> str:
    return base64.b64encode(digest.digest()).decode()
