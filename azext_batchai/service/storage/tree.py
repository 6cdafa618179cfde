"""The folder behind a share or container: names in it found safely, its entries listed in order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from azext_batchai.service.storage.faults import StorageFault, bad_input

# Files that are being uploaded; they get their names when they are complete.
PARTIAL_PREFIX = ".az-upload-"
_SEPARATORS = [separator for separator in (os.sep, os.altsep) if separator]


@dataclass(frozen=True)
class Entry:
    """A file or folder; folders have names that end with a slash."""

    name: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


class Tree:
    """A folder which no name and no symbolic link leads out of."""

    def __init__(self, folder: Path) -> None:
        self.root = folder.resolve()

    def place(self, path: str) -> Path:
        """Where `path` is, whether it exists or not; a link at its end is not followed. Raises StorageFault."""
        *parents, name = _segments(path)
        return self._inside(self.root.joinpath(*parents)) / name

    def find(self, path: str) -> Path | None:
        """What exists at `path`, links followed; None where nothing does. '' is the root."""
        found = self._inside(self.place(path)) if path else self.root
        return found if found.exists() else None

    def file(self, path: str) -> Path | None:
        found = self.find(path)
        return found if found and found.is_file() else None

    def folder(self, path: str) -> Path | None:
        found = self.find(path)
        return found if found and found.is_dir() else None

    def entries(self, folder: Path) -> list[Entry]:
        """The files and folders in a folder, in the order in which paths that begin with them come."""
        found = []
        with os.scandir(folder) as items:
            for item in items:
                entry = None if item.name.startswith(PARTIAL_PREFIX) else self._entry(item)
                if entry:
                    found.append(entry)
        return sorted(found, key=lambda entry: entry.name)

    def walk(self, prefix: str, start: str) -> Iterator[Entry]:
        """All files whose path has the prefix and does not come before `start`, ordered by path."""
        return self._walk(self.root, "", prefix, start)

    def _walk(self, folder: Path, base: str, prefix: str, start: str) -> Iterator[Entry]:
        for entry in self.entries(folder):
            path = base + entry.name
            if not entry.is_folder:
                if path.startswith(prefix) and path >= start:
                    yield Entry(path, entry.status)
                continue
            wanted = path.startswith(prefix) or prefix.startswith(path)
            below = folder / entry.name.rstrip("/")
            # A linked folder may contain itself; its files are found under the path that they really have.
            if wanted and (path >= start or start.startswith(path)) and not below.is_symlink():
                yield from self._walk(below, path, prefix, start)

    def _inside(self, path: Path) -> Path:
        try:
            found = path.resolve()
        except (OSError, RuntimeError):  # a link to itself
            found = self.root.parent
        if not found.is_relative_to(self.root):
            raise StorageFault(
                404, "ResourceNotFound", "The specified resource does not exist: a link leads elsewhere."
            )
        return found

    def _entry(self, item: os.DirEntry[str]) -> Entry | None:
        try:
            if item.is_symlink() and not Path(item.path).resolve().is_relative_to(self.root):
                return None
            status = item.stat()
        except (OSError, RuntimeError):  # gone meanwhile, or a link that leads nowhere or to itself
            return None
        if stat.S_ISDIR(status.st_mode):
            return Entry(f"{item.name}/", status)
        return Entry(item.name, status) if stat.S_ISREG(status.st_mode) else None


def _segments(path: str) -> list[str]:
    segments = path.split("/")
    for segment in segments:
        if segment in ("", ".", "..") or "\0" in segment or any(separator in segment for separator in _SEPARATORS):
            raise bad_input(f"'{path}' cannot be the path of a file or folder.", "InvalidResourceName")
        if segment.startswith(PARTIAL_PREFIX):
            raise bad_input(f"Names that start with '{PARTIAL_PREFIX}' are taken for uploads.", "InvalidResourceName")
        if len(os.fsencode(segment)) > 255:
            raise bad_input("A segment of a path may have 255 bytes at most.", "InvalidResourceName")
    return segments
