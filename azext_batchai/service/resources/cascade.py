"""Deletion with all that hangs below: the one place that takes resources away.

A deletion is marked before it begins, so a service that is stopped half-way finishes it at its next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from azext_batchai.service.clock import wire_now
from azext_batchai.service.context import Service
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

# What lies below each kind, in the order in which it must go: jobs before the nodes they run on.
_BELOW = {
    "group": ("workspace", "account"),
    "workspace": ("experiment", "cluster", "fileserver"),
    "experiment": ("job",),
}
_running: set[asyncio.Task[None]] = set()


def delete_in_background(service: Service, record: Record, resource: str) -> str:
    """Begin to delete `record`; returns the id of the operation that ends when all is gone."""
    under_way: str | None = record.internal.get("deleting")
    if under_way:
        return under_way
    properties = record.properties
    if record.kind in ("workspace", "experiment", "cluster", "job", "fileserver"):
        properties["provisioningState"] = "deleting"
        properties["provisioningStateTransitionTime"] = wire_now()
    with service.store.transaction():
        operation = service.operations.begin(resource)
        record.internal["deleting"] = operation
        service.store.update(record)
    in_background(_run(service, record, operation))
    return operation


def resume(service: Service) -> None:
    """Take up the deletions that an earlier service left unfinished."""
    for operation in service.store.unfinished_operations():
        service.operations.finish(operation)
    for kind in ("job", "experiment", "cluster", "fileserver", "workspace", "group"):
        for record in service.store.all_of(kind):
            if record.internal.get("deleting"):
                with service.store.transaction():
                    operation = service.operations.begin("")
                    record.internal["deleting"] = operation
                    service.store.update(record, touch=False)
                in_background(_run(service, record, operation))


def in_background(work: Coroutine[Any, Any, None]) -> None:
    """Let work go on after its request has been answered."""
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _run(service: Service, record: Record, operation: str) -> None:
    from azext_batchai.service.arm.errors import ArmError

    try:
        await _delete(service, record)
    except Exception as exc:  # the client must learn of it, whatever it was
        log.exception("deleting %s failed", record.key)
        service.operations.finish(operation, ArmError(500, "InternalServerError", f"Deleting failed: {exc}"))
    else:
        service.operations.finish(operation)


async def _delete(service: Service, record: Record) -> None:
    from azext_batchai.service.resources import clusters, file_servers, jobs, storage_accounts

    for kind in _BELOW.get(record.kind, ()):
        await asyncio.gather(*(_delete(service, child) for child in service.store.children(record.key, kind)))
    if record.kind == "cluster":
        await clusters.tear_down(service, record)
    elif record.kind == "job":
        await jobs.tear_down(service, record)
    elif record.kind == "fileserver":
        await file_servers.tear_down(service, record)
    elif record.kind == "account":
        await storage_accounts.tear_down(service, record)
    with service.store.transaction():
        service.store.remove(record.key)
