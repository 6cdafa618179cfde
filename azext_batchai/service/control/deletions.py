"""Deletion with all that hangs below: the one place that takes resources away.

A deletion is marked before it begins, so a service that is stopped half-way finishes it at its next start. While the
mark is there nothing can be made below (`model.parents`); the record goes in a transaction that finds no child left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from azext_batchai.service.background import Background
from azext_batchai.service.clock import wire_now
from azext_batchai.service.state import State
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

# What lies below each kind, in the order in which it must go: jobs before the nodes they run on.
_BELOW = {
    "group": ("workspace", "account"),
    "workspace": ("experiment", "cluster", "fileserver"),
    "experiment": ("job",),
}
_BATCH = 200  # whose deletions run at the same time
# How many go in one transaction: others wait no longer than for one.
_INACTIVE_BATCH = 200
_ACTIVE_BATCH = 50

TearDown = Callable[[Record], Awaitable[None]]


class Deletions:
    """`tear_downs` has, for each kind that is more than a record, what takes the rest of it away.

    `at_once` has, for kinds of which there may be very many, what ends one in the current transaction and tells
    whether more is to be done, which takes time.
    """

    def __init__(
        self, state: State, tear_downs: Mapping[str, TearDown], at_once: Mapping[str, Callable[[Record], bool]]
    ) -> None:
        self._state = state
        self._tear_downs = tear_downs
        self._at_once = at_once
        self._background = Background("deletions")

    def begin(self, record: Record, resource: str) -> str:
        """Begin to delete `record`; returns the id of the operation that ends when all is gone."""
        under_way: str | None = record.internal.get("deleting")
        if under_way and self._state.operations.reopen(under_way):
            return under_way
        properties = record.properties
        if record.kind in ("workspace", "experiment", "cluster", "job", "fileserver"):
            properties["provisioningState"] = "deleting"
            properties["provisioningStateTransitionTime"] = wire_now()
        return self._mark(record, resource, touch=True)

    def resume(self) -> None:
        """Take up the deletions that an earlier service left unfinished."""
        for kind in ("job", "experiment", "cluster", "fileserver", "workspace", "account", "group"):
            for record in self._state.store.being_deleted(kind):
                self._mark(record, "", touch=False)

    def _mark(self, record: Record, resource: str, touch: bool) -> str:
        operations = self._state.operations
        with self._state.store.transaction():
            operation: str = record.internal.get("deleting", "")
            if not operations.reopen(operation):
                operation = operations.begin(resource)
            record.internal["deleting"] = operation
            self._state.store.update(record, touch)
        self._background.spawn(operations.carry_out(operation, self._delete(record), f"Deleting {record.name}"))
        return operation

    async def _delete(self, record: Record) -> None:
        store = self._state.store
        while True:
            for kind in _BELOW.get(record.kind, ()):
                await self._delete_children(record.key, kind)
            tear_down = self._tear_downs.get(record.kind)
            if tear_down:
                await tear_down(record)
            with store.transaction():
                if not any(store.children(record.key, kind, limit=1) for kind in _BELOW.get(record.kind, ())):
                    store.forget_damaged(record.key)
                    store.remove(record.key)
                    return

    async def _delete_children(self, parent: str, kind: str) -> None:
        store = self._state.store
        if kind in self._at_once:
            await self._delete_at_once(parent, kind)
        after = 0
        while children := store.children(parent, kind, after, _BATCH):
            after = children[-1].seq
            results = await asyncio.gather(*(self._delete(child) for child in children), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            await asyncio.sleep(0)

    async def _delete_at_once(self, parent: str, kind: str) -> None:
        """All of these that need nothing but to be forgotten, in transactions that nobody else waits for long."""
        store = self._state.store
        more = True
        while more:
            with store.transaction():
                more = store.remove_inactive(parent, kind, _INACTIVE_BATCH) == _INACTIVE_BATCH
            await asyncio.sleep(0)
        takes_time, after = self._at_once[kind], 0
        while children := store.children(parent, kind, after, _ACTIVE_BATCH):
            after = children[-1].seq
            with store.transaction():
                for child in children:
                    if not child.internal.get("deleting") and not takes_time(child):
                        store.remove(child.key)
            await asyncio.sleep(0)
