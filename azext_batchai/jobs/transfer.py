"""Whole folders from a job to this machine and from this machine to a share: what is there already is left alone."""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments
import contextlib
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line.progress import Spinner
from azext_batchai.jobs.stream import JobFile, Reader
from azext_batchai.storage import data_plane, uploads
from azext_batchai.storage.places import Place
from azext_batchai.transport.http import session as http_session

logger = get_logger(__name__)
PART = ".part"  # at the end of a name: a download that is not whole yet
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass
class Tally:
    """What was copied (files and bytes) and what was there already."""

    spinner: Spinner
    copied: int = 0
    size: int = 0
    kept: int = 0
    _name: str = field(default="", repr=False)
    _bar: tuple[int, int] = field(default=(0, 0), repr=False)  # bytes of the file that are there, and all of them

    def begin(self, name: str, size: int, there: int = 0) -> None:
        """The next file; `there`: bytes of it that were copied before."""
        self._name, self._bar = name, (there, size)
        self.add(0)

    def add(self, size: int) -> None:
        """So many bytes more."""
        self.size += size
        there, whole = self._bar[0] + size, self._bar[1]
        self._bar = (there, whole)
        if self.spinner.visible:
            files = self.copied + self.kept
            done = f"[{'#' * (20 * there // whole):20}] " if whole else ""
            self.spinner.show(f"{done}{self._name} ({files} files, {shown_size(self.size)} so far)")

    def told(self) -> str:
        files = "1 file" if self.copied == 1 else f"{self.copied} files"
        return f"{files} ({shown_size(self.size)}) copied, {self.kept} unchanged."

    def summary(self) -> dict[str, int]:
        return {"copied": self.copied, "bytes": self.size, "unchanged": self.kept}


def shown_size(size: float) -> str:
    """`1.5 MB`."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if not unit else f"{size:.1f} {_UNITS[unit]}"


Listing = Callable[[str], list[Any]]


def files_below(listing: Listing, folder: str = "") -> Iterator[tuple[str, Any]]:
    """The files (relative path, SDK File) of an output folder and its subfolders; none where it is not there.

    `listing` lists one folder of it.
    """
    for entry in sorted(_listed(listing, folder or "."), key=lambda entry: entry.name):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if str(entry.file_type).lower().endswith("directory"):
            yield from files_below(listing, path)
        elif entry.download_url:
            yield path, entry


def _listed(listing: Listing, folder: str) -> list[Any]:
    from azure.core.exceptions import HttpResponseError

    from azext_batchai.jobs.stream import is_gone

    try:
        return listing(folder)
    except HttpResponseError as error:
        if error.status_code == 404 and not is_gone(error):
            return []
        raise


class _File:
    """A local file as a sink."""

    def __init__(self, file: Any, tally: Tally | None) -> None:
        self._file, self._tally = file, tally

    def write(self, data: bytes) -> None:
        self._file.write(data)
        if self._tally:
            self._tally.add(len(data))

    def flush(self) -> None:
        self._file.flush()


def download(listing: Listing, job: Callable[[], Any], target: Path, tally: Tally, folder: str = "") -> None:
    """Copy an output folder (`folder`: a subfolder of it alone) to `target`, going on where an earlier copy stopped.

    Raises FileOperationError where nothing can be written there, or a file has not the size it should have.
    """
    for path, entry in files_below(listing, folder):
        name = posixpath.relpath(path, folder) if folder else path
        place = _inside(target, name)
        tally.begin(name, entry.content_length)
        if _is_there(place, entry):
            tally.kept += 1
            continue
        with _local_errors(place):
            _fetch(listing, job, path, entry, place, tally)
        tally.copied += 1


def _fetch(listing: Listing, job: Callable[[], Any], path: str, entry: Any, place: Path, tally: Tally) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # What began with another version of the file cannot go on: its time stands in the name.
    part = place.with_name(f"{place.name}.{_moment(entry)}{PART}")
    folder, name = posixpath.split(path)
    reader = Reader(JobFile(name, lambda: listing(folder or "."), job), entry.download_url)
    with part.open("ab") as file:
        reader.offset = file.tell()
        if reader.offset > entry.content_length:
            reader.offset = file.truncate(0)
        tally.begin(place.name, entry.content_length, reader.offset)
        reader.copy_news(_File(file, tally))
    size = part.stat().st_size
    if size < entry.content_length:
        from azure.cli.core.azclierror import FileOperationError

        raise FileOperationError(
            f"{path} has {entry.content_length} bytes, of which {size} came.",
            recommendation="Run the command again: it goes on where it stopped.",
        )
    part.replace(place)
    os.utime(place, (_moment(entry), _moment(entry)))


def content_of(listing: Listing, job: Callable[[], Any], path: str, entry: Any, most: int) -> bytes | None:
    """The bytes of an output file; None for one larger than `most`."""
    if entry.content_length > most:
        return None
    from io import BytesIO

    kept = BytesIO()
    folder, name = posixpath.split(path)
    Reader(JobFile(name, lambda: listing(folder or "."), job), entry.download_url).copy_news(_File(kept, None))
    return kept.getvalue()


def _is_there(place: Path, entry: Any) -> bool:
    try:
        status = place.stat()
    except OSError:
        return False
    return status.st_size == entry.content_length and int(status.st_mtime) == _moment(entry)


def _moment(entry: Any) -> int:
    return int(entry.last_modified.timestamp()) if entry.last_modified else 0


def _inside(target: Path, name: str) -> Path:
    """A name of a file of the service's is not to lead out of the folder."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or os.sep != "/" and os.sep in part for part in parts):
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(f"The service names a file '{name}', which cannot be one.")
    return target.joinpath(*parts)


def upload(source: Path, place: Place, tally: Tally) -> None:
    """Copy a file, or all files of a folder, below `place`; those that are there stay.

    They are there where, on this machine, they are as large and newer, elsewhere where the MD5 says so. Raises
    FileOperationError where one cannot be read or written, AzureResponseError where the account refuses.
    """
    files = [(source.name, source)] if source.is_file() else _tree(source)
    sender = None if place.local else Sender(place, tally)
    for name, path in files:
        with _local_errors(path):
            tally.begin(name, path.stat().st_size)
            copied = sender.send(path, name) if sender else _copy(path, place.local / name, tally)
        tally.copied += copied
        tally.kept += not copied


def _tree(source: Path) -> list[tuple[str, Path]]:
    found = []
    for folder, folders, names in os.walk(source):
        folders.sort()
        found += [Path(folder, name) for name in sorted(names)]
    return [(path.relative_to(source).as_posix(), path) for path in found if path.is_file()]


def _copy(path: Path, target: Path, tally: Tally) -> bool:
    before, status = (target.stat() if target.is_file() else None), path.stat()
    if before and before.st_size == status.st_size and before.st_mtime >= status.st_mtime:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}{PART}")
    shutil.copy2(path, part)
    part.replace(target)
    tally.add(status.st_size)
    return True


class Sender:
    """Sends files to a place that is not on this machine. Its methods raise AzureResponseError."""

    def __init__(self, place: Place, tally: Tally) -> None:
        self._place, self._tally = place, tally
        self._session = http_session()
        self._made = set[str]()  # folders

    def send(self, path: Path, name: str, executable: bool | None = None) -> bool:
        """Send a file to `name` below the place; False where it is there as it is here.

        `executable`: by default what it is.
        """
        with path.open("rb") as file:
            if executable is None:
                executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
            return self.put(name, file, executable)

    def put(self, name: str, file: Any, executable: bool = False) -> bool:
        """The same of a binary file that is open."""
        with _storage_errors():
            put = uploads.put_file
            return put(self._place.folder, self._session, self._to(name), file, self._tally.add, executable=executable)

    def copy(self, source: str, name: str) -> bool:
        """Let the account copy a file that is there already; False where it is not."""
        try:
            uploads.copy_file(self._place.folder, self._session, self._path(source), self._to(name))
        except data_plane.StorageError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """A small file; b"" where it is not there."""
        account = self._place.folder.account
        url = account.url(self._place.folder.name, self._path(name))
        with _storage_errors():
            size = int((account.head(self._session, url) or {}).get("Content-Length", 0))
            return account.read(self._session, url, 0, size) if size else b""

    def sizes(self, name: str) -> dict[str, int]:
        """The files in a folder; none where it is not there."""
        try:
            listed = self._place.folder.list(self._session, self._path(name))
            return {entry.name: entry.size for entry in listed if entry.size is not None}
        except data_plane.StorageError:
            return {}

    def _path(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self._place.path, name))

    def _to(self, name: str) -> str:
        """The path of a file, whose folder is made where it is not there."""
        path = self._path(name)
        uploads.make_folders(self._place.folder, self._session, posixpath.dirname(path), self._made)
        return path


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except data_plane.StorageError as error:
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(
            str(error), recommendation="Check that its share or container exists and that its firewall lets you in."
        ) from error


@contextlib.contextmanager
def _local_errors(path: Path) -> Iterator[None]:
    from requests.exceptions import RequestException

    try:
        yield
    except RequestException:
        raise
    except OSError as error:
        from azure.cli.core.azclierror import FileOperationError

        raise FileOperationError(
            f"{error.filename or path} cannot be copied: {error.strerror or error}.",
            recommendation="Check the folder, and that there is room in it.",
        ) from error
