"""Durable state: resources, operations and secrets in one SQLite file.

A write is on disk when its transaction ends (WAL, synchronous=FULL), so a 2xx that follows it is a promise kept (P1).
Who awaits `on_disk` after a transaction that was not durable has the same, and holds nobody up.
A change of state that can be found out again (a job runs, a node is idle) need not wait for the disk: it survives the
death of the service all the same, only not that of the machine, and with the machine the job would be gone as well.

A damaged file is refused as a whole and left alone. A damaged record is left out and left where it is: the rest of the
state goes on without it, who asks for it is told, and so is who reads a list that it should be in.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azext_batchai.service import store_checks, store_events
from azext_batchai.service.clock import wire_now
from azext_batchai.service.store_rows import LastingRows, Row
from azext_batchai.service.store_sync import WalSync
from azext_batchai.service.store_upgrades import upgrade

log = logging.getLogger(__name__)

SCHEMA_VERSION = 3

_TABLES = """
CREATE TABLE resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    version INTEGER NOT NULL,
    modified TEXT NOT NULL,
    body TEXT NOT NULL,
    internal TEXT NOT NULL,
    active INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX active_resources ON resources (kind, seq) WHERE active=1;
CREATE INDEX resources_by_parent ON resources (parent, kind, seq);
CREATE INDEX resources_by_kind ON resources (kind, seq);
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    started TEXT NOT NULL,
    ended TEXT,
    resource TEXT NOT NULL,
    error TEXT
);
CREATE TABLE secrets (key TEXT PRIMARY KEY, sealed BLOB NOT NULL);
"""

# A file of this size is checked at every start (50 ms); a larger one after an unclean end only.
_CHECKED_BYTES = 64 << 20


class StateError(Exception):
    """The state cannot be used; the message says why and what to do."""


class DamagedRecord(StateError):
    """One record cannot be used; the others can."""

    def __init__(self, key: str, kind: str, reason: str) -> None:
        super().__init__(f"The stored record of the {kind} {key} is damaged: {reason}.")
        self.key = key
        self.kind = kind
        self.reason = reason


@dataclass
class Trace:
    """What one request has done to the state: whoever wants to know puts one into `trace`."""

    commits: int = 0
    left_out: list[DamagedRecord] = field(default_factory=list)


trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


@dataclass
class Record:
    """A stored resource. `body` is what the wire shows, `internal` what only the service knows."""

    key: str
    kind: str
    parent: str
    body: dict[str, Any]
    internal: dict[str, Any] = field(default_factory=dict)
    seq: int = 0
    version: int = 0
    modified: str = ""

    @property
    def active(self) -> bool:
        """Whether a service that starts has something to do about it: a job to run, a deletion to finish."""
        unfinished = self.kind == "job" and self.properties["executionState"] not in ("succeeded", "failed")
        return unfinished or bool(self.internal.get("deleting"))

    @property
    def properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.body["properties"]
        return properties

    @property
    def name(self) -> str:
        name: str = self.body["name"]
        return name


class Store:
    """All access to the state file. Used from the event loop's thread only."""

    def __init__(self, path: Path) -> None:
        """Raises StateError when the state is damaged, unreadable or written by a newer version."""
        self.path = path
        self.damaged: dict[str, DamagedRecord] = {}  # those met since the start
        self.commits = 0  # since the start
        self._watchers: list[Callable[[set[str]], None]] = []
        self._touched: set[str] = set()
        self._rows = LastingRows()
        self._depth = 0
        self._durable = True
        self._closed = False
        try:
            self._check()
            self._db = sqlite3.connect(path, isolation_level=None)
            self.node_events = store_events.NodeEvents(self._db)
            self._sync = WalSync(path)
            self._open()
        except (sqlite3.Error, OSError) as exc:
            if store_checks.disk_full(exc, path.parent):
                raise StateError(
                    f"The disk is full: the state file {path} cannot be opened without room to write. "
                    "Nothing was changed. Free some space, then try again."
                ) from exc
            raise self.unusable(str(exc)) from exc

    def unusable(self, why: str) -> StateError:
        """The refusal of a state that was found damaged before anything was written."""
        return StateError(
            f"The state file {self.path} cannot be used: {why}. Nothing was changed. Put back a copy of it, or give "
            "the state up with `az batchai local reset`, which ends the jobs and nodes that still run there and "
            f"deletes what is in {self.path.parent}, storage included."
        )

    def _check(self) -> None:
        """Look at the files, and into them, without the right to write. Raises StateError, OSError, sqlite3.Error."""
        found = store_checks.emptied(self.path)
        if found:
            what = "is empty" if self.path.exists() else "is missing"
            raise self.unusable(f"it {what}, though the folder has been in use ('{found}' is there)")
        if not self.path.exists() or not self.path.stat().st_size:
            return
        unclean = store_checks.left_open(self.path)
        wal = self.path.with_name(f"{self.path.name}-wal")
        fault = store_checks.wal_fault(wal) if unclean else ""
        if fault:
            raise self.unusable(
                f"{wal.name}, which has the latest changes, {fault} (where another program has opened the state since "
                "the service died, that program has kept them: `PRAGMA application_id=0` in it says that all is well)"
            )
        # Without a WAL nothing need be made to read the file; nobody else has it.
        how = "mode=ro" if wal.exists() and wal.stat().st_size else "mode=ro&immutable=1"
        with closing(sqlite3.connect(f"{self.path.as_uri()}?{how}", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StateError(
                    f"The state file {self.path} has schema version {version}; this release reads up to "
                    f"{SCHEMA_VERSION}. Install the newer release again, or choose another folder with "
                    "AZURE_BATCHAI_HOME."
                )
            fault = store_checks.table_fault(db)
            if not fault and (unclean or version < SCHEMA_VERSION or self.path.stat().st_size <= _CHECKED_BYTES):
                (fault,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if fault not in ("", "ok"):
            raise self.unusable(fault)

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            self._db.executescript(f"BEGIN;{_TABLES}{store_events.TABLE}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif found < SCHEMA_VERSION:
            with self.transaction():
                upgrade(self._db, found)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._mark_open()

    def _mark_open(self) -> None:
        """Say in the file itself that it is in use, and bring there what the WAL has."""
        try:
            self._db.execute(f"PRAGMA application_id={store_checks.OPEN_MARK}")
            self._db.execute("PRAGMA wal_checkpoint(FULL)")
        except sqlite3.Error as exc:
            if not store_checks.disk_full(exc, self.path.parent):
                raise
            log.error("the disk is full: the state can be read, nothing can be written")

    def close(self) -> None:
        """Let go of the file, with all that was written in it and no WAL left. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self._db.execute("PRAGMA application_id=0")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as exc:
            log.error("the state could not be closed cleanly, the next start reads its WAL: %s", exc)
            # The last connection removes the WAL, which must not be where the file still says that it has one. One
            # that may only read cannot.
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as reader:
                reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._db.close()
        self._db.close()

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[None]:
        """All writes inside are kept together, or none is. May be nested; the outermost says how durable they are."""
        if self._depth == 0:
            if durable != self._durable:
                self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._roll_back()
            raise
        self._depth -= 1
        if self._depth == 0:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
            if durable:
                self._sync.synced = self._sync.committed
            else:
                self._sync.committed += 1
            self.commits += 1
            observer = trace.get()
            if observer:
                observer.commits += 1
            self._tell_watchers()

    @contextmanager
    def watched_by(self, watcher: Callable[[set[str]], None]) -> Iterator[None]:
        """Meanwhile `watcher` gets the keys that each transaction has changed, when it is over."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def touch(self, key: str) -> None:
        """What belongs to `key` changes in this transaction, its record or something beside it."""
        self._rows.forget(key)
        if self._watchers:
            self._touched.add(key)

    def _tell_watchers(self) -> None:
        if self._touched:
            touched, self._touched = self._touched, set()
            for watcher in self._watchers:
                watcher(touched)

    async def on_disk(self) -> None:
        """Return when all that has been committed is on the disk; others go on meanwhile. Raises OSError."""
        await self._sync.reached()

    def _roll_back(self) -> None:
        self._touched.clear()
        self._rows.forget_all()
        if self._db.in_transaction:  # SQLite has done it already where the disk was full
            self._db.execute("ROLLBACK")

    def get(self, key: str) -> Record | None:
        """Raises DamagedRecord."""
        row = self._row(key)
        if not row:
            return None
        try:
            record = _record(row, self._rows.is_sound(key))
        except DamagedRecord as exc:
            self._note(exc)
            raise
        self._rows.note_sound(key)
        return record

    def place(self, key: str) -> tuple[str, bool] | None:
        """The parent of the record at `key` and whether it is active, without reading what it holds."""
        row = self._row(key)
        if row is None:
            self._rows.keep_missing(key)
        return (row[2], bool(row[-1])) if row else None

    def _row(self, key: str) -> Row | None:
        row: Row | None = self._rows.get(key)
        if row is None:
            row = self._db.execute(f"SELECT {_COLUMNS} FROM resources WHERE key=?", (key,)).fetchone()
            if row:
                self._rows.keep(row)
        return row

    def add(self, record: Record) -> None:
        record.modified = wire_now()
        record.version = 1
        self.touch(record.key)
        cursor = self._db.execute(
            "INSERT INTO resources (key, kind, parent, version, modified, body, internal, active)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (
                record.key,
                record.kind,
                record.parent,
                record.version,
                record.modified,
                json.dumps(record.body),
                json.dumps(record.internal),
                record.active,
            ),
        )
        record.seq = cursor.lastrowid or 0

    def update(self, record: Record, touch: bool = True) -> None:
        """Write a changed record; with `touch` its etag and last-modified change too."""
        if touch:
            record.modified = wire_now()
            record.version += 1
        self.touch(record.key)
        self._db.execute(
            "UPDATE resources SET version=?, modified=?, body=?, internal=?, active=? WHERE key=?",
            (
                record.version,
                record.modified,
                json.dumps(record.body),
                json.dumps(record.internal),
                record.active,
                record.key,
            ),
        )

    def remove(self, key: str) -> None:
        self.touch(key)
        self._db.execute("DELETE FROM resources WHERE key=?", (key,))
        self.forget_secrets(key)

    def children(self, parent: str, kind: str, after: int = 0, limit: int = -1) -> list[Record]:
        """Records of `kind` below `parent` in order of creation, those with seq > `after` only."""
        return self._sound("parent=? AND kind=?", (parent, kind), after, limit)

    def all_of(self, kind: str, prefix: str = "", after: int = 0, limit: int = -1) -> list[Record]:
        """Records of `kind` whose key starts with `prefix`, in order of creation."""
        return self._sound("kind=? AND substr(key, 1, ?)=?", (kind, len(prefix), prefix), after, limit)

    def active(self, kind: str) -> list[Record]:
        """Records of `kind` that a service has something to do about, in order of creation."""
        return self._sound("kind=? AND active=1", (kind,))

    def being_deleted(self, kind: str) -> list[Record]:
        """Records of `kind` whose deletion has begun; the others that are active are not even read."""
        found = self._sound("kind=? AND active=1 AND instr(internal, '\"deleting\"')>0", (kind,))
        return [record for record in found if record.internal.get("deleting")]

    def latest(self, kind: str, limit: int) -> list[Record]:
        """The `limit` youngest records of `kind`, the youngest first."""
        row = self._db.execute(
            "SELECT MIN(seq) FROM (SELECT seq FROM resources WHERE kind=? ORDER BY seq DESC LIMIT ?)", (kind, limit)
        ).fetchone()
        return self._sound("kind=?", (kind,), (row[0] or 1) - 1)[::-1]

    def sizes(self, kind: str) -> dict[str, int]:
        """How many records of `kind` there are, by their parents."""
        rows = self._db.execute("SELECT parent, count(*) FROM resources WHERE kind=? GROUP BY parent", (kind,))
        return dict(rows.fetchall())

    def _sound(self, condition: str, values: tuple[Any, ...], after: int = 0, limit: int = -1) -> list[Record]:
        """Records in order of creation; a damaged one is left out, which makes the list no shorter than `limit`."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM resources WHERE {condition} AND seq>? ORDER BY seq", (*values, after)
        )
        found: list[Record] = []
        for row in rows:
            if len(found) == limit:
                break
            try:
                found.append(_record(row))
            except DamagedRecord as exc:
                self._note(exc)
                observer = trace.get()
                if observer:
                    observer.left_out.append(exc)
        return found

    def _note(self, damage: DamagedRecord) -> None:
        if damage.key not in self.damaged:
            log.error("%s", damage)
        self.damaged[damage.key] = damage

    def forget_damaged(self, key: str) -> None:
        """Remove the damaged record at `key` and the damaged ones below it, with all that hangs from these.

        Call it in a transaction.
        """
        self._rows.forget_all()
        self.touch(key)
        for damaged in [one for one in self.damaged if one == key or one.startswith(f"{key}/")]:
            below = f"{damaged}/"
            for table in ("resources", "secrets"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE key=? OR substr(key, 1, ?)=?", (damaged, len(below), below)
                )
            del self.damaged[damaged]

    def has_children(self, key: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM resources WHERE parent=? LIMIT 1", (key,)).fetchone())

    def count(self, kind: str) -> int:
        (number,) = self._db.execute("SELECT count(*) FROM resources WHERE kind=?", (kind,)).fetchone()
        return int(number)

    def put_operation(self, operation: dict[str, Any]) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO operations (id, status, started, ended, resource, error) VALUES (?,?,?,?,?,?)",
            (
                operation["id"],
                operation["status"],
                operation["started"],
                operation.get("ended"),
                operation["resource"],
                json.dumps(operation["error"]) if operation.get("error") else None,
            ),
        )

    def get_operation(self, operation_id: str) -> dict[str, Any] | None:
        row = self._db.execute(
            "SELECT id, status, started, ended, resource, error FROM operations WHERE id=?", (operation_id,)
        ).fetchone()
        if not row:
            return None
        keys = ("id", "status", "started", "ended", "resource", "error")
        operation = dict(zip(keys, row))
        operation["error"] = json.loads(row[5]) if row[5] else None
        return operation

    def unfinished_operations(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT id FROM operations WHERE status='InProgress'")]

    def forget_operations(self, before: str) -> None:
        self._db.execute("DELETE FROM operations WHERE ended IS NOT NULL AND ended<?", (before,))

    def put_secret(self, key: str, sealed: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO secrets (key, sealed) VALUES (?,?)", (key, sealed))

    def get_secret(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT sealed FROM secrets WHERE key=?", (key,)).fetchone()
        return row[0] if row else None

    def forget_secrets(self, key: str) -> None:
        self._db.execute("DELETE FROM secrets WHERE key=?", (key,))


_COLUMNS = "key, kind, parent, body, internal, seq, version, modified, active"


def _record(row: Row, sound: bool = False) -> Record:
    """Raises DamagedRecord; a row that is known to be `sound` is not looked at again."""
    key, kind, parent, body_text, internal_text, seq, version, modified, _ = row
    try:
        body, internal = json.loads(body_text), json.loads(internal_text)
    except (ValueError, TypeError, RecursionError) as exc:
        raise DamagedRecord(key, kind, f"it is no JSON ({exc})") from None
    fault = "" if sound else store_checks.record_fault(kind, body, internal)
    if fault:
        raise DamagedRecord(key, kind, fault)
    return Record(key, kind, parent, body, internal, seq, version, modified)
