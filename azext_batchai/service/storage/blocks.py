"""Blocks of a blob that are uploaded but not yet part of it: files beside the containers, forgotten after a week."""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import time
from pathlib import Path
from xml.etree import ElementTree

from azext_batchai.service.storage.faults import bad_input
from azext_batchai.service.storage.layout import StorageLayout

_FOLDER = "blocks"
_KEPT_SECONDS = 7 * 24 * 3600
_LISTS = {"Latest", "Uncommitted", "Committed"}
_MOST = 50_000


class StagedBlocks:
    """The staged blocks of one blob."""

    def __init__(self, layout: StorageLayout, account: str, container: str, blob: str) -> None:
        self._parent = layout.account(account) / _FOLDER / container
        self._folder = self._parent / hashlib.sha256(blob.encode("utf-8", "surrogateescape")).hexdigest()

    def make(self) -> None:
        """Make room for a block; with the first one, drop what was never committed."""
        if self._folder.is_dir():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - _KEPT_SECONDS
        for folder in self._parent.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)

    def block(self, identifier: str) -> Path:
        """The file of a block. Raises StorageFault for an identifier that is none."""
        try:
            name = base64.b64decode(identifier, validate=True)
        except (binascii.Error, ValueError):
            name = b""
        if not 0 < len(name) <= 64:
            raise bad_input("A block has a Base64 identifier of 1 to 64 bytes.", "InvalidQueryParameterValue")
        return self._folder / name.hex()

    def listed(self, body: bytes) -> list[Path]:
        """The files of the blocks of a block list. Raises StorageFault where one is not there."""
        files = [self.block(identifier) for identifier in _identifiers(body)]
        for file in files:
            if not file.is_file():
                raise bad_input("The specified block list is invalid: a block was not uploaded.", "InvalidBlockList")
        return files

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def forget_container(layout: StorageLayout, account: str, container: str) -> None:
        shutil.rmtree(layout.account(account) / _FOLDER / container, ignore_errors=True)


def _identifiers(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8-sig")
        if "<!" in text:  # no document type: entities could be defined there and grow without bound
            raise ValueError
        root = ElementTree.fromstring(text)
    except (ValueError, ElementTree.ParseError):
        raise bad_input("The block list is no valid XML.", "InvalidXmlDocument") from None
    if root.tag != "BlockList" or any(child.tag not in _LISTS for child in root):
        raise bad_input("The body must be a BlockList of Latest, Uncommitted and Committed.", "InvalidXmlDocument")
    if len(root) > _MOST:
        raise bad_input(f"A block list may have {_MOST} blocks at most.", "BlockListTooLong")
    return [(child.text or "").strip() for child in root]
