"""What tells a sound state from a damaged one: the files before they are opened, the tables, and each record.

A file is checked before SQLite sees it: SQLite takes an emptied file for a new one and forgets a missing WAL.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

from azext_batchai.service.clock import parse_duration

# In the header of the file (PRAGMA application_id) while a service has it open. A checkpoint brings it there at once,
# so that a file which says it, without its WAL, has lost what was written last.
OPEN_MARK = 0x62616F70
_MAGIC = b"SQLite format 3\0"
_WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
# What is in a state folder only once a service has had a state there.
_TRACES = ("secrets.key", "node_key", "nodes", "fileservers", "storage")
_TABLES = {
    "resources": {"seq", "key", "kind", "parent", "version", "modified", "body", "internal"},
    "operations": {"id", "status", "started", "ended", "resource", "error"},
    "secrets": {"key", "sealed"},
}
_JOB_STATES = ("running", "terminating", "queued", "succeeded", "failed")
# What the service cannot do without, by kind of resource: in the body, in its properties, and of what only it knows.
_NEEDED: dict[str, tuple[dict[str, type], ...]] = {
    "local": ({"id": str}, {}, {}),
    "group": ({"id": str, "name": str, "location": str}, {}, {}),
    "workspace": ({"id": str, "name": str, "location": str, "properties": dict}, {}, {}),
    "experiment": ({"id": str, "name": str, "properties": dict}, {}, {}),
    "account": ({"id": str, "name": str, "properties": dict}, {}, {}),
    "cluster": (
        {"id": str, "name": str, "properties": dict},
        {"vmSize": str, "vmPriority": str, "scaleSettings": dict, "userAccountSettings": dict, "allocationState": str},
        {"engine": str, "login": dict, "fingerprint": str},
    ),
    "node": ({"name": str}, {}, {"state": str, "block": str, "address": str, "held": dict}),
    "job": (
        {"id": str, "name": str, "properties": dict},
        {
            "executionState": str,
            "nodeCount": int,
            "schedulingPriority": str,
            "constraints": dict,
            "stdOutErrPathPrefix": str,
            "jobOutputDirectoryPathSegment": str,
        },
        {"cluster": str, "engine": str, "attempt": int, "nodes": list, "fingerprint": str},
    ),
    "fileserver": (
        {"id": str, "name": str, "properties": dict},
        {"sshConfiguration": dict},
        {"login": dict, "folder": str},
    ),
}


def left_open(path: Path) -> bool:
    """Whether the last service with this state ended without letting go of it."""
    with path.open("rb") as file:
        header = file.read(100)
    return header.startswith(_MAGIC) and int.from_bytes(header[68:72], "big") == OPEN_MARK


def emptied(path: Path) -> str:
    """What shows that a state was here though its file is empty or missing; '' where there has been none."""
    if path.exists() and path.stat().st_size:
        return ""
    for trace in _TRACES:
        found = path.with_name(trace)
        if any(found.iterdir()) if found.is_dir() else found.exists():
            return trace
    return ""


def wal_fault(wal: Path) -> str:
    """What is wrong with the WAL that a service which did not let go has left; '' where nothing is."""
    if not wal.exists():
        return "is missing"
    with wal.open("rb") as file:
        header = file.read(32)
    if not header:
        return "is empty"
    return "" if header.startswith(_WAL_MAGICS) and len(header) == 32 else "is damaged"


def table_fault(db: sqlite3.Connection) -> str:
    """The first table or column that is missing; '' where all are there, those of the oldest release at least."""
    for table, columns in _TABLES.items():
        found = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if not found:
            return f"the table '{table}' is missing"
        for column in sorted(columns - found):
            return f"the table '{table}' has no column '{column}'"
    return ""


def record_fault(kind: str, body: Any, internal: Any) -> str:
    """Why the service cannot work with a record; '' where it can."""
    if not isinstance(body, dict) or not isinstance(internal, dict):
        return "it is not a JSON object"
    needed = _NEEDED.get(kind)
    if not needed:
        return f"'{kind}' is no kind of resource"
    properties = body.get("properties") or {}
    if needed[1] and not isinstance(properties, dict):
        return "'properties' is missing or wrong"
    for where, have, want in zip(("", "properties.", ""), (body, properties, internal), needed):
        for name, kind_of_value in want.items():
            if not isinstance(have.get(name), kind_of_value):
                return f"'{where}{name}' is missing or wrong"
    return _job_fault(properties, internal) if kind == "job" else ""


def _job_fault(properties: dict[str, Any], internal: dict[str, Any]) -> str:
    state = properties["executionState"]
    if state not in _JOB_STATES:
        return f"'{state}' is no state of a job"
    if state in _JOB_STATES[:2] and not isinstance(internal.get("started"), dict):
        return "it runs, but 'started' is missing"
    if state in _JOB_STATES[3:]:
        return ""
    try:
        parse_duration(properties["constraints"]["maxWallClockTime"])
    except (KeyError, TypeError, ValueError):
        return "'properties.constraints' is wrong"
    return ""


def disk_full(exc: BaseException, folder: Path) -> bool:
    """Whether an error of the state or a file comes from a disk that has no room."""
    if isinstance(exc, OSError):
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    if not isinstance(exc, sqlite3.Error):
        return False
    if "disk is full" in str(exc):
        return True
    # SQLite has no word for a full disk where it makes its files larger before it writes to them.
    return "disk I/O error" in str(exc) and _free_bytes(folder) < 1 << 16


def _free_bytes(folder: Path) -> int:
    import shutil

    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 62
