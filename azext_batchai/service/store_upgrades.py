"""Older state files become today's, in one transaction (P8)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from azext_batchai.service import store_events
from azext_batchai.service.clock import parse_wire_time


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """From schema `version` to today's. Runs in the caller's transaction."""
    if version < 2:
        _to_2(db)
    if version < 3:
        _to_3(db)


def _to_2(db: sqlite3.Connection) -> None:
    """1.0.0b1 had one engine, ports and GPUs in its own form, and looked at every job ever made when it started."""
    db.execute("ALTER TABLE resources ADD COLUMN active INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX active_resources ON resources (kind, seq) WHERE active=1")
    rows = db.execute("SELECT seq, kind, body, internal FROM resources").fetchall()
    for seq, kind, body_text, internal_text in rows:
        try:
            internal, active = _upgraded(seq, kind, json.loads(body_text), json.loads(internal_text))
        except (ValueError, TypeError, LookupError, AttributeError):
            continue  # it is damaged, and stays as it is: who reads it says so
        db.execute("UPDATE resources SET internal=?, active=? WHERE seq=?", (json.dumps(internal), active, seq))


def _to_3(db: sqlite3.Connection) -> None:
    """Before, nothing was kept of what nodes did."""
    for statement in store_events.TABLE.split(";"):  # `executescript` would end the transaction
        db.execute(statement)


def _upgraded(seq: int, kind: str, body: dict[str, Any], internal: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    if kind in ("cluster", "job"):
        internal["engine"] = "local"
    if kind == "node":
        _upgrade_node(internal, str(seq))
    active = bool(internal.get("deleting"))
    if kind == "job" and body["properties"]["executionState"] not in ("succeeded", "failed"):
        _upgrade_job(body["properties"], internal)
        active = True
    return internal, active


def _upgrade_node(internal: dict[str, Any], block: str) -> None:
    port, gpus = internal.pop("port"), internal.pop("gpus", None)
    internal.update(
        block=block,
        address="",
        endpoint={"ip_address": "127.0.0.1", "port": port} if port else None,
        expires=None,
        held={"port": port, "gpus": gpus} if gpus is not None else {},
    )


def _upgrade_job(properties: dict[str, Any], internal: dict[str, Any]) -> None:
    internal["limited"] = False
    ports = internal.get("ports") or {}
    internal["ports"] = ports.get(str(internal["attempt"]), [])
    if "executionInfo" in properties:
        start = parse_wire_time(properties["executionInfo"]["startTime"])
        internal["started"] = {"boot": "", "seconds": 0.0, "epoch": start.timestamp()}
