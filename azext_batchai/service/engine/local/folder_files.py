"""Volumes as folders of this machine: where they are, and what is written on them."""

from __future__ import annotations

import asyncio
import errno
import heapq
import os
import stat
from pathlib import Path
from typing import BinaryIO

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import FileEntry, TaskError, Volume
from azext_batchai.service.storage import content
from azext_batchai.service.storage.layout import BLOBS, FILES, KEPT, NFS, StorageLayout

# What the user is told where a volume is missing (wire.md 4).
_ERRORS = {
    FILES: ("AZFMountError", "Unable to mount Azure File", "Azure File Share '{name}' of account '{account}'"),
    BLOBS: (
        "BFSMountError",
        "unable to mount blob fuse file system",
        "Azure Blob Container '{name}' of account '{account}'",
    ),
    NFS: ("NFSMountError", "Unable to mount file server", "Directory '{directory}' of file server '{account}'"),
}


class FolderFiles:
    """See `engine.base.Files`; the folders are those of the storage layout."""

    def __init__(self, layout: StorageLayout) -> None:
        self._layout = layout

    def folder(self, volume: Volume) -> Path:
        """The folder to mount. Raises TaskError where it does not exist."""
        code, message, what = _ERRORS[volume.service]
        try:
            root = self._layout.folder(volume.account, volume.service, volume.name)
            folder = _below(root, volume.directory)
        except ArmError as exc:
            raise TaskError(code, message, {"Info": exc.message}) from None
        except ValueError:
            folder = None
        if not folder or not folder.is_dir():
            missing = what.format(name=volume.name, account=volume.account, directory=volume.directory)
            raise TaskError(code, message, {"Info": f"{missing} doesn't exist"})
        return folder

    def kept(self, job: str, directory_id: str) -> Path:
        """Where output of a job is kept that it wrote on no volume."""
        return self._layout.folder(job, KEPT, directory_id)

    async def entries(self, volume: Volume, directory: str, after: str, limit: int) -> list[FileEntry]:
        return await asyncio.to_thread(_page, self._place(volume, directory), after, limit)

    async def open(self, volume: Volume, path: str) -> BinaryIO:
        return await asyncio.to_thread(self._open, volume, path)

    def _open(self, volume: Volume, path: str) -> BinaryIO:
        file = content.open_file(self._place(volume, path))
        if not file:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return file

    def _place(self, volume: Volume, path: str) -> Path:
        root = self._layout.folder(volume.account, volume.service, volume.name)
        return _below(_below(root, volume.directory), path)


def _below(root: Path, path: str) -> Path:
    """`path` in `root`, links followed. Raises ValueError where it is not in it."""
    if "\0" in path:
        raise ValueError("a path must not contain NUL")
    try:
        base, place = root.resolve(), (root / path).resolve()
    except RuntimeError:  # Python before 3.13 on a link to itself
        raise ValueError(f"{path} is a loop of links") from None
    if not place.is_relative_to(base):
        raise ValueError(f"{path} is not below its root")
    return place


def _page(folder: Path, after: str, limit: int) -> list[FileEntry]:
    """Names first and only then the files themselves: a page costs what it shows, however large the folder is."""
    found: list[FileEntry] = []
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found  # a job that has not started has written nothing
    if after:
        names = [name for name in names if name > after]
    heapq.heapify(names)
    while names and len(found) < limit:
        entry = _entry(folder, heapq.heappop(names))
        if entry:
            found.append(entry)
    return found


def _entry(folder: Path, name: str) -> FileEntry | None:
    """None for what can be neither entered nor downloaded: a dangling link, a pipe, a file that has just gone."""
    try:
        status = os.stat(f"{folder}/{name}")
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        return FileEntry(name, True)
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileEntry(name, False, status.st_size, status.st_mtime)
