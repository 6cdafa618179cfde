"""Deletion with all that hangs below: the one place that takes resources away.

A deletion is marked before it begins, so a service that is stopped half-way finishes it at its next start. While the
mark is there nothing can be made below (`model.parents`); the record goes in a transaction that finds no child left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from azext_batchai.service.background import Background, until_written
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
_BATCH = 200  # so many go in one transaction: others wait no longer than for one

TearDown = Callable[[Record], Awaitable[None]]


class Deletions:
    """`tear_downs` has, for each kind that is more than a record, what takes the rest of it away."""

    def __init__(self, state: State, tear_downs: Mapping[str, TearDown]) -> None:
        self._state = state
        self._tear_downs = tear_downs
        self._background = Background("deletions")

    def begin(self, record: Record, resource: str) -> str:
        """Begin to delete `record`; returns the id of the operation that ends when all is gone."""
        under_way: str = record.internal.get("deleting", "")
        if self._state.operations.reopen(under_way):
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

    def close(self) -> None:
        """The service stops: the next one goes on."""
        self._background.cancel()

    async def _delete(self, record: Record) -> None:
        gone = False
        while not gone:
            for kind in _BELOW.get(record.kind, ()):
                await self._delete_children(record.key, kind)
            await self._tear_down(record)
            gone = await until_written(lambda: self._remove([record]))

    async def _delete_children(self, parent: str, kind: str) -> None:
        after = 0
        while children := self._state.store.children(parent, kind, after, _BATCH):
            after = children[-1].seq
            if kind in _BELOW:
                await _all(self._delete(child) for child in children)
            else:
                await _all(self._tear_down(child) for child in children)
                await until_written(lambda: self._remove(children))

    async def _tear_down(self, record: Record) -> None:
        tear_down = self._tear_downs.get(record.kind)
        if tear_down:
            await tear_down(record)

    def _remove(self, records: Sequence[Record]) -> bool:
        """Remove those below which nothing is left; whether these are all."""
        store = self._state.store
        left = False
        with store.transaction():
            for record in records:
                if any(store.children(record.key, kind, limit=1) for kind in _BELOW.get(record.kind, ())):
                    left = True
                else:
                    store.forget_damaged(record.key)
                    store.remove(record.key)
        return not left


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything, also where a part of it fails; raises the first error afterwards."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
