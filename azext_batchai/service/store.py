"""Durable state: resources, operations and secrets in one SQLite file.

A write is on disk when its transaction ends (WAL, synchronous=FULL), so a 2xx that follows it is a promise kept (P1).
A change of state that can be found out again (a job runs, a node is idle) need not wait for the disk: it survives the
death of the service all the same, only not that of the machine, and with the machine the job would be gone as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azext_batchai.service.clock import wire_now
from azext_batchai.service.store_upgrades import upgrade

SCHEMA_VERSION = 2

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


class StateError(Exception):
    """The state file cannot be used; the message says why and what to do."""


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
        """Raises StateError when the file is damaged, unreadable or written by a newer version."""
        self.path = path
        self._depth = 0
        self._durable = True
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._open()
        except sqlite3.Error as exc:
            raise StateError(
                f"The state file {path} cannot be used: {exc}. Nothing was changed. "
                "Move it away (or run 'az batchai local reset') to start with an empty state."
            ) from exc

    def _open(self) -> None:
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA_VERSION:
            raise StateError(
                f"The state file {self.path} has schema version {found}; this release reads up to {SCHEMA_VERSION}. "
                "Install the newer release again, or choose another folder with AZURE_BATCHAI_HOME."
            )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if found == 0:
            self._db.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif found < SCHEMA_VERSION:
            with self.transaction():
                upgrade(self._db, found)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
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
                self._db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise

    def get(self, key: str) -> Record | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM resources WHERE key=?", (key,)).fetchone()
        return _record(row) if row else None

    def add(self, record: Record) -> None:
        record.modified = wire_now()
        record.version = 1
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
        self._db.execute("DELETE FROM resources WHERE key=?", (key,))
        self.forget_secrets(key)

    def children(self, parent: str, kind: str, after: int = 0, limit: int = -1) -> list[Record]:
        """Records of `kind` below `parent` in order of creation, those with seq > `after` only."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM resources WHERE parent=? AND kind=? AND seq>? ORDER BY seq LIMIT ?",
            (parent, kind, after, limit),
        )
        return [_record(row) for row in rows]

    def all_of(self, kind: str, prefix: str = "", after: int = 0, limit: int = -1) -> list[Record]:
        """Records of `kind` whose key starts with `prefix`, in order of creation."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM resources WHERE kind=? AND substr(key, 1, ?)=? AND seq>? ORDER BY seq LIMIT ?",
            (kind, len(prefix), prefix, after, limit),
        )
        return [_record(row) for row in rows]

    def active(self, kind: str) -> list[Record]:
        """Records of `kind` that a service has something to do about, in order of creation."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM resources WHERE kind=? AND active=1 ORDER BY seq", (kind,))
        return [_record(row) for row in rows]

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


_COLUMNS = "key, kind, parent, body, internal, seq, version, modified"


def _record(row: tuple[Any, ...]) -> Record:
    key, kind, parent, body, internal, seq, version, modified = row
    return Record(key, kind, parent, json.loads(body), json.loads(internal), seq, version, modified)
