"""The folder behind a share or container: names in it found safely, its entries listed in order."""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from azext_batchai.service.storage.faults import StorageFault, bad_input

# Files that are being uploaded; they get their names when they are complete.
PARTIAL_PREFIX = ".az-upload-"
_DEEPEST = 254
_SEPARATORS = [separator for separator in (os.sep, os.altsep) if separator]


@dataclass(frozen=True)
class Entry:
    """A file or folder; the keys of folders end with a slash, so that they come where the paths in them come.

    Links have keys without one: what they are need not be known to put them in order.
    """

    key: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def name(self) -> str:
        """The key, for all folders with a slash."""
        return f"{self.key.rstrip('/')}/" if self.is_folder else self.key


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

    def entries(self, folder: Path, most: int, wanted: Callable[[str], bool]) -> Iterator[Entry]:
        """What is in a folder and has a wanted key, by key; only those that are taken are looked at.

        `most` names are held at a time, so that neither time nor memory is spent on those of other pages.
        """
        last = ""
        while True:
            keys = heapq.nsmallest(most, (key for key in _keys(folder) if key > last and wanted(key)))
            for key in keys:
                entry = self._entry(folder, key)
                if entry:
                    yield entry
            if len(keys) < most:
                return
            last = keys[-1]

    def walk(self, prefix: str, start: str, most: int) -> Iterator[Entry]:
        """All files whose path has the prefix and does not come before `start`, ordered by path."""

        def below(folder: Path, base: str) -> tuple[Path, str, Iterator[Entry]]:
            def wanted(key: str) -> bool:
                path = base + key
                if key.endswith("/"):
                    reached = path >= start or start.startswith(path)
                    return reached and (path.startswith(prefix) or prefix.startswith(path))
                return path >= start and path.startswith(prefix)

            return folder, base, self.entries(folder, most, wanted)

        levels = [below(self.root, "")]
        while levels:  # no recursion: jobs make folders as deep as they like
            folder, base, entries = levels[-1]
            entry = next(entries, None)
            if not entry:
                levels.pop()
            elif not entry.is_folder:
                yield replace(entry, key=base + entry.key)
            elif entry.key.endswith("/"):
                # A linked folder may contain itself; its files are found under the path that they really have.
                levels.append(below(folder / entry.key[:-1], base + entry.key))

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

    def _entry(self, folder: Path, key: str) -> Entry | None:
        path = folder / key.rstrip("/")
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                if not path.resolve().is_relative_to(self.root):
                    return None
                status = path.stat()
        except (OSError, RuntimeError):  # gone meanwhile, or a link that leads nowhere or to itself
            return None
        return Entry(key, status) if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode) else None


def _keys(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as items:
            for item in items:
                if not item.name.startswith(PARTIAL_PREFIX):
                    yield f"{item.name}/" if item.is_dir(follow_symlinks=False) else item.name
    except OSError as exc:
        # Gone meanwhile, or so deep that no path leads there.
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise


def _segments(path: str) -> list[str]:
    segments = path.split("/")
    if len(segments) > _DEEPEST:
        raise bad_input(f"A path may have {_DEEPEST} segments at most.", "InvalidResourceName")
    for segment in segments:
        if segment in ("", ".", "..") or "\0" in segment or any(separator in segment for separator in _SEPARATORS):
            raise bad_input(f"'{path}' cannot be the path of a file or folder.", "InvalidResourceName")
        if segment.startswith(PARTIAL_PREFIX):
            raise bad_input(f"Names that start with '{PARTIAL_PREFIX}' are taken for uploads.", "InvalidResourceName")
        if len(os.fsencode(segment)) > 255:
            raise bad_input("A segment of a path may have 255 bytes at most.", "InvalidResourceName")
    return segments
