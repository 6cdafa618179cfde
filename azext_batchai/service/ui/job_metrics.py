"""The metrics that jobs have written, read from their output as it grows: what was read once is not read again."""

from __future__ import annotations

import asyncio
import io
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO

from azext_batchai.formats import event_files, metrics
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import FileEntry, Files, Volume
from azext_batchai.service.resources.output_files import volume_of
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record, StateError
from azext_batchai.service.ui.series import Curve, Point, thinned

PIECE = 8 << 20  # bytes of one job that are read at most at once
_CHUNK = 1 << 20
_LONGEST_LINE = 16 << 20
_MOST_FILES = 50  # of one job
_MOST_FOLDERS = 100
_MOST_ENTRIES = 1000  # of one folder
_DEEPEST = 6
_MOST_METRICS = 200  # of one job
_HELD_POINTS = 1_000_000  # of all jobs in memory, 16 bytes each
_FILE_POINTS = 20  # what is kept of a file beside its points takes as much as these
_TAIL = 64  # bytes before the place where reading goes on, which tell whether the file is still the same


@dataclass
class _File:
    """What was read of one file."""

    size: int = -1
    modified: float = -1.0
    offset: int = 0
    tail: bytes = b""
    more: bool = False  # it has more than was read
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The metrics of a job: points sorted by step. `reading`: there is more to read; ask again.

    `version` is another one where the files are others; `notes` say what is not in it.
    """

    metrics: Mapping[str, list[Point]]
    version: str = ""
    reading: bool = False
    notes: tuple[str, ...] = ()


@dataclass
class _Job:
    files: dict[tuple[str, ...], _File] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def points(self) -> int:
        return sum(len(curve) for file in self.files.values() for curve in file.curves.values())


class MetricsReader:
    """Reads metrics for all pages of one service; holds a bounded number of points, those of the jobs seen last."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._held = 0

    async def read(self, service: Service, record: Record, most: int, piece: int = PIECE) -> Found:
        """The metrics of a job as its files are now, each thinned to about `most` points.

        At most `piece` bytes that were not known are read, in a thread.
        """
        # What is being read is read to its end, whatever becomes of who has asked: a thread cannot be stopped.
        return await asyncio.shield(self._read(service, record, most, piece))

    async def _read(self, service: Service, record: Record, most: int, piece: int) -> Found:
        job = self._jobs.setdefault(record.key, _Job())
        async with job.lock:
            files = service.engines.of(record).files
            listed, notes = await _listed(service, record, files)
            for gone in job.files.keys() - listed.keys():
                del job.files[gone]
            changed: list[_Changed] = []
            for place, (volume, path, entry) in listed.items():
                known = job.files.setdefault(place, _File())
                if (known.size, known.modified) != (entry.size, entry.modified) or known.more:
                    try:
                        changed.append(_Changed(await files.open(volume, path), path, known, entry))
                    except (OSError, ValueError, ArmError):
                        continue  # it has just gone
            found = await asyncio.to_thread(_work, job, changed, most, piece, notes)
        self._note(record.key, job)
        return found

    def forget(self, key: str) -> None:
        """Of a job nothing need be held: what it has written stays as it is, and nobody looks at its curves."""
        self._jobs.pop(key, None)
        self._held -= self._sizes.pop(key, 0)

    def _note(self, key: str, job: _Job) -> None:
        self._jobs[key] = job  # others may have taken its place meanwhile
        self._jobs.move_to_end(key)
        size = job.points + _FILE_POINTS * len(job.files) + 1
        self._held += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._held > _HELD_POINTS and len(self._jobs) > 1:
            oldest, _ = self._jobs.popitem(last=False)
            self._held -= self._sizes.pop(oldest, 0)


@dataclass
class _Changed:
    """A file that has more than is known, opened."""

    stream: BinaryIO
    path: str
    known: _File
    entry: FileEntry


async def _listed(
    service: Service, record: Record, files: Files
) -> tuple[dict[tuple[str, ...], tuple[Volume, str, FileEntry]], list[str]]:
    """The files that may hold metrics, by where they are: directories may lie in each other."""
    found: dict[tuple[str, ...], tuple[Volume, str, FileEntry]] = {}
    notes: list[str] = []
    for directory in ["stdouterr", *(one["id"] for one in record.properties.get("outputDirectories", ()))]:
        try:
            volume = volume_of(service, record, directory)
        except (ArmError, StateError):
            notes.append(f"What lies in {directory} cannot be seen from here.")
            continue
        folders = ["."]
        for number, folder in enumerate(folders):  # it grows meanwhile
            if number == _MOST_FOLDERS:
                notes.append(f"Of {directory} only {_MOST_FOLDERS} folders are looked into.")
                break
            try:
                entries = await files.entries(volume, folder, "", _MOST_ENTRIES)
            except (OSError, ValueError, ArmError):
                continue
            for entry in entries:
                path = entry.name if folder == "." else f"{folder}/{entry.name}"
                if entry.is_directory and path.count("/") < _DEEPEST:
                    folders.append(path)
                elif not entry.is_directory and metrics.is_known(path):
                    where = os.path.normpath(os.path.join(volume.directory, path))
                    found.setdefault((volume.account, volume.service, volume.name, where), (volume, path, entry))
    if len(found) > _MOST_FILES:
        notes.append(f"Metrics are read from {_MOST_FILES} of {len(found)} files.")
    return dict(list(found.items())[:_MOST_FILES]), notes


def _work(job: _Job, changed: Sequence[_Changed], most: int, piece: int, notes: list[str]) -> Found:
    for one in changed:
        with one.stream:
            if piece > 0:
                piece -= _read(one.stream, one.path, one.known, one.entry, piece)
            else:
                one.known.more = True
    return _joined(job, most, notes)


def _read(stream: BinaryIO, path: str, known: _File, entry: FileEntry, piece: int) -> int:
    """Go on where the file was left, or begin anew where it is another one; how many bytes were read."""
    name = path.rpartition("/")[2]
    known.size, known.modified = entry.size, entry.modified
    if name == "metrics.json" or not _is_same(stream, known):
        known.offset, known.tail, known.curves = 0, b"", {}
    begin = known.offset
    try:
        if name == "metrics.json":
            _take(known, path, stream.read(_LONGEST_LINE))
            known.more = False
        else:
            _read_on(stream, path, known, piece)
    except OSError:
        known.more = False
    return known.offset - begin


def _is_same(stream: BinaryIO, known: _File) -> bool:
    """Whether the file still has what was read of it; the stream stands behind that then."""
    if not known.offset or known.size < known.offset:
        return False
    try:
        stream.seek(known.offset - len(known.tail))
        return stream.read(len(known.tail)) == known.tail
    except (OSError, io.UnsupportedOperation):
        return False


def _read_on(stream: BinaryIO, path: str, known: _File, piece: int) -> None:
    rest, end = b"", known.offset + piece
    stream.seek(known.offset)
    known.more = False
    while True:
        chunk = stream.read(_CHUNK)
        data = rest + chunk
        whole = _whole(path, data, not chunk)
        _take(known, path, data[:whole])
        rest = data[whole:]
        if not chunk or len(rest) > _LONGEST_LINE:
            return
        if known.offset >= end:
            known.more = True
            return


def _whole(path: str, data: bytes, at_end: bool) -> int:
    """How many bytes can be read for good; the last line of a file may be whole without its end."""
    if path.rpartition("/")[2].startswith(event_files.NAME):
        return int(event_files.whole(data))
    if at_end and data.rstrip().endswith(b"}") and any(True for _ in metrics.of_file(path, _last_line(data))):
        return len(data)
    return data.rfind(b"\n") + 1


def _last_line(data: bytes) -> bytes:
    return data[data.rfind(b"\n") + 1 :]


def _take(known: _File, path: str, data: bytes) -> None:
    for name, step, value in metrics.of_file(path, data):
        curve = known.curves.get(name)
        if not curve:
            if len(known.curves) >= _MOST_METRICS:
                continue
            curve = known.curves[name] = Curve()
        curve.add(step, value)
    known.offset += len(data)
    known.tail = (known.tail + data)[-_TAIL:]


def _joined(job: _Job, most: int, notes: list[str]) -> Found:
    joined: dict[str, list[Point]] = {}
    totals: dict[str, int] = {}
    for file in job.files.values():
        for name, curve in file.curves.items():
            shift = float(totals.get(name, 0)) if curve.implicit else 0.0
            joined.setdefault(name, []).extend(curve.points(shift))
            totals[name] = totals.get(name, 0) + curve.total
    for points in joined.values():
        points.sort(key=lambda point: point[0])
    if len(joined) >= _MOST_METRICS:
        notes = [*notes, f"Not more than {_MOST_METRICS} metrics are shown."]
    shown = {name: thinned(joined[name], most) for name in sorted(joined)[:_MOST_METRICS] if joined[name]}
    version = repr([(place, file.offset, file.modified) for place, file in job.files.items()])
    more = any(file.more for file in job.files.values())
    return Found(shown, sha256(version.encode()).hexdigest()[:16], more, tuple(notes))
