"""What is known of files besides their bytes: content properties, metadata, copies, access policies, blobs' blocks.

The bytes stay plain files, which jobs read and write. The rest lies in one SQLite file for each account, made when
there is something to keep. A row tells which state of a file it is about: one that was replaced by other means than
this service has nothing of what was said of the former.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from starlette.datastructures import Headers

from azext_batchai.service.storage.faults import StorageFault, bad_input
from azext_batchai.service.storage.layout import BLOBS

FILE = "properties.db"
META = "x-ms-meta-"
_MOST_METADATA = 8 << 10
_EXECUTABLE = "executable"
NAME = re.compile(r"[a-z_][a-z0-9_]*")  # of an entry of the metadata, which is an element in lists
# Headers of a download -> what they are called in a request that sets them, behind `x-ms-` or `x-ms-blob-`.
CONTENT = {
    "content-type": "content-type",
    "content-encoding": "content-encoding",
    "content-language": "content-language",
    "content-disposition": "content-disposition",
    "cache-control": "cache-control",
    "content-md5": "content-md5",
}
_KEPT = """CREATE TABLE IF NOT EXISTS kept
    (place BLOB PRIMARY KEY, state TEXT NOT NULL, said TEXT NOT NULL) WITHOUT ROWID"""
# The lists of the old blob and of the one that is about to take its place are there both, each for its own state.
_COMMITTED = """CREATE TABLE IF NOT EXISTS committed
    (place BLOB NOT NULL, state TEXT NOT NULL, blocks BLOB NOT NULL, PRIMARY KEY (place, state))"""


@dataclass
class Said:
    """`content` are headers of downloads; `copied` those that tell of the copy that a file is; `policies` are stored
    access policies by their ids, `quota` is that of a share in GiB."""

    content: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    copied: dict[str, str] = field(default_factory=dict)
    policies: dict[str, dict[str, str]] = field(default_factory=dict)
    quota: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """As an answer tells them."""
        return {**self.content, **self.copied, **{META + name: value for name, value in self.metadata.items()}}


def metadata_in(headers: Headers) -> dict[str, str]:
    """Names are in lower case, as HTTP has them here. Raises StorageFault."""
    found = {name[len(META) :]: value.strip() for name, value in headers.items() if name.startswith(META)}
    for name in found:
        if not NAME.fullmatch(name):
            raise bad_input(f"'{name}' cannot be the name of metadata: letters, digits and _.", "InvalidMetadata")
    if sum(len(name) + len(value) for name, value in found.items()) > _MOST_METADATA:
        raise bad_input("The metadata may have 8 KiB at most.", "MetadataTooLarge")
    return found


def content_in(headers: Headers, service: str) -> dict[str, str]:
    """The content properties that a request sets."""
    prefix = "x-ms-blob-" if service == BLOBS else "x-ms-"
    said = {name: headers.get(prefix + called, "").strip() for name, called in CONTENT.items()}
    return {name: value for name, value in said.items() if value}


def set_executable(path: Path, metadata: dict[str, str], before: dict[str, str]) -> None:
    """Metadata `executable`, where it says or said `true`, is a bit of the file, which jobs run or do not run."""
    wanted = metadata.get(_EXECUTABLE) == "true"
    if wanted or before.get(_EXECUTABLE) == "true":
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | (mode & 0o444) >> 2 if wanted else mode & ~0o111)


class Kept:
    """What is kept of one account's files. A place is `SERVICE/ROOT/PATH`; that of a share or container has no path."""

    def __init__(self, account: Path) -> None:
        self._path = account / FILE

    def get(self, place: str, status: os.stat_result) -> Said:
        if not self._path.exists():
            return Said()
        with self._open() as db:
            row = db.execute("SELECT state, said FROM kept WHERE place=?", (os.fsencode(place),)).fetchone()
        return _read(row, _state(place, status)) if row else Said()

    def between(self, first: str, last: str) -> dict[str, tuple[str, str]]:
        """The rows of these places and all between them, for `of_row`."""
        if not self._path.exists():
            return {}
        with self._open() as db:
            ends = os.fsencode(first), os.fsencode(last)
            rows = db.execute("SELECT place, state, said FROM kept WHERE place>=? AND place<=?", ends).fetchall()
        return {os.fsdecode(place): (state, said) for place, state, said in rows}

    def put(self, place: str, status: os.stat_result, said: Said, blocks: bytes = b"") -> None:
        """Keep it in place of what was kept there; `blocks` beside those of the file that is there, see `settle`."""
        text = json.dumps({name: value for name, value in asdict(said).items() if value})
        if text == "{}" and not blocks and not self._path.exists():
            return
        key, state = os.fsencode(place), _state(place, status)
        with self._open(make=True) as db:
            if text == "{}":
                db.execute("DELETE FROM kept WHERE place=?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO kept VALUES (?,?,?)", (key, state, text))
            if blocks:
                db.execute("INSERT OR REPLACE INTO committed VALUES (?,?,?)", (key, state, blocks))

    def blocks(self, place: str, status: os.stat_result) -> bytes:
        """Of which blocks this state of a blob was made; b"" where that is not known."""
        if not self._path.exists():
            return b""
        with self._open(make=True) as db:
            found = db.execute(
                "SELECT blocks FROM committed WHERE place=? AND state=?", (os.fsencode(place), _state(place, status))
            ).fetchone()
        return found[0] if found else b""

    def settle(self, place: str, status: os.stat_result | None) -> None:
        """This is the blob now: the blocks of others, which were there before or did not come to be, are forgotten."""
        if self._path.exists():
            with self._open(make=True) as db:
                ours = os.fsencode(place), _state(place, status) if status else ""
                db.execute("DELETE FROM committed WHERE place=? AND state<>?", ours)

    def touched(self, place: str, before: os.stat_result, after: os.stat_result) -> None:
        """The blob has the same bytes as before, and so the same blocks."""
        if self._path.exists():
            with self._open(make=True) as db:
                states = _state(place, after), os.fsencode(place), _state(place, before)
                db.execute("UPDATE OR REPLACE committed SET state=? WHERE place=? AND state=?", states)

    def forget(self, place: str) -> None:
        if self._path.exists():
            with self._open(make=True) as db:
                db.execute("DELETE FROM kept WHERE place=?", (os.fsencode(place),))
                db.execute("DELETE FROM committed WHERE place=?", (os.fsencode(place),))

    def forget_below(self, place: str) -> None:
        """All that is kept of a folder, share or container, and of what is in it."""
        if self._path.exists():
            below = os.fsencode(f"{place.rstrip('/')}/")
            gone = below[:-1], len(below), below
            with self._open(make=True) as db:
                db.execute("DELETE FROM kept WHERE place=? OR substr(place, 1, ?)=?", gone)
                db.execute("DELETE FROM committed WHERE place=? OR substr(place, 1, ?)=?", gone)

    def move(self, place: str, target: str) -> None:
        """What was said of a file or folder, and of what is in it, is said of it at another place.

        Those are in shares: blobs are not renamed.
        """
        if not self._path.exists():
            return
        old, new = os.fsencode(place), os.fsencode(target)
        self.forget(target)
        with self._open() as db:
            db.execute(
                "UPDATE OR REPLACE kept SET place=CAST(? || substr(place, ?) AS BLOB) "
                "WHERE place=? OR substr(place, 1, ?)=?",
                (new, len(old) + 1, old, len(old) + 1, old + b"/"),
            )

    @contextmanager
    def _open(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction; with `make`, tables are made that are not there. Raises StorageFault, OSError."""
        try:
            db = sqlite3.connect(self._path, isolation_level=None)
            try:
                # As with the bytes of files: what was written survives the death of the service, not of the machine.
                db.execute("PRAGMA synchronous=OFF")
                db.execute("BEGIN IMMEDIATE")
                for table in (_KEPT, _COMMITTED) if make else ():
                    db.execute(table)
                yield db
                db.execute("COMMIT")
            finally:
                db.close()
        except sqlite3.Error as exc:
            if "disk is full" in str(exc):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from exc
            if "no such table" in str(exc):
                raise StorageFault(500, "InternalError", f"{self._path} has lost its table: delete it.") from exc
            raise StorageFault(500, "InternalError", f"{self._path} cannot be used: {exc}.") from exc


def of_row(row: tuple[str, str] | None, place: str, status: os.stat_result) -> Said:
    return _read(row, _state(place, status)) if row else Said()


def _read(row: tuple[str, str], state: str) -> Said:
    return Said(**json.loads(row[1])) if row[0] == state else Said()


def _state(place: str, status: os.stat_result) -> str:
    """Which file it is; of blobs, which are only ever replaced, also when it was written."""
    service, _, rest = place.partition("/")
    written = f"-{status.st_mtime_ns}" if service == BLOBS and rest.partition("/")[2] else ""
    return f"{status.st_ino}{written}"
