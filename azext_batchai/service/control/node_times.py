"""What nodes did with their time: noted where their states change, asked for by `az batchai cluster usage`."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.store import DamagedRecord, Store
from azext_batchai.service.store_events import GONE

log = logging.getLogger(__name__)

_WRITTEN_SECONDS = 0.1  # after which what was noted is written
_AT_ONCE = 100  # of a thousand nodes that start a job together; requests have their turn between two


class NodeTimes:
    """The events of one cluster's nodes. A full disk costs some of them and stops nothing."""

    def __init__(self, store: Store, cluster: str) -> None:
        self._store = store
        self._cluster = cluster

    def note(self, node: str, state: str, job: str = "") -> None:
        """A node has entered a state, for the job with this key if it is one that runs."""
        waiting = self._store.node_events.waiting
        if not waiting:
            asyncio.get_running_loop().call_later(_WRITTEN_SECONDS, _write_some, self._store)
        waiting.append((node, self._cluster, state, job.rpartition("/jobs/")[0], clock.epoch()))

    def gone(self, node: str) -> None:
        """The node is no more. Call it in the transaction that removes it; raises sqlite3.Error."""
        write(self._store)
        self._store.touch(self._cluster)
        self._store.node_events.add(node, self._cluster, GONE, "", clock.epoch())


def write(store: Store) -> None:
    """Write what was noted since the last time: one transaction for many jobs. What was not is lost in a crash."""
    _write(store, len(store.node_events.waiting))


def _write_some(store: Store) -> None:
    _write(store, _AT_ONCE)
    if store.node_events.waiting:
        asyncio.get_running_loop().call_soon(_write_some, store)


def _write(store: Store, most: int) -> None:
    waiting = store.node_events.waiting
    events, store.node_events.waiting = waiting[:most], waiting[most:]
    if not events:
        return
    try:
        with store.transaction(durable=False):
            for event in events:
                store.touch(event[1])
                store.node_events.add(*event)
    except sqlite3.Error as exc:
        log.error("what nodes do cannot be noted: %s", exc)


def take_up(store: Store) -> None:
    """Go on with the events of an earlier service."""
    try:
        with store.transaction(durable=False):
            store.node_events.close_others({record.key for record in store.all_of("node")})
            store.node_events.prune(clock.epoch())
    except sqlite3.Error as exc:
        log.error("what nodes did cannot be tidied: %s", exc)


def usage(store: Store, seconds: str) -> dict[str, Any]:
    """What nodes did in the last so many seconds: a row for each cluster, experiment and state."""
    now = clock.epoch()
    try:
        span = float(seconds)
    except ValueError:
        span = 0.0
    if not 0 < span <= now:
        raise bad_request(f"'{seconds}' is no number of seconds.")
    write(store)
    first = store.node_events.first()
    return {
        "since": clock.wire_from_epoch(now - span),
        "until": clock.wire_from_epoch(now),
        "keptSince": None if first is None else clock.wire_from_epoch(first),
        "times": [
            {
                "cluster": _id(store, time.cluster),
                "experiment": _id(store, time.experiment) if time.experiment else None,
                "state": time.state,
                "nodeSeconds": round(time.seconds, 3),
            }
            for time in store.node_events.times(now - span, now)
        ],
    }


def _id(store: Store, key: str) -> str:
    """The ARM id of what is at the key; the key itself where that is no more."""
    try:
        record = store.get(key)
    except DamagedRecord:
        record = None
    return str(record.body["id"]) if record else key
