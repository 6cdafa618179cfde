"""Long-running operations (wire.md 1.0, LRO protocol).

The names are swapped against ARM custom, as the real service had them: Azure-AsyncOperation points to
`operationresults`, Location to `operationstatuses`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from typing import Any

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.background import until_written
from azext_batchai.service.clock import utc_now, wire_now, wire_time
from azext_batchai.service.settings import API_VERSION
from azext_batchai.service.store import Store

log = logging.getLogger(__name__)

# A client waits this long before its first poll: an ended operation costs it nothing, one in progress is held by the
# server. The SDK takes no `Retry-After: 0` and falls back to 30 s without a header (wire.md 10.1).
FIRST_POLL_MS = 1
NEXT_POLL_MS = 50
HOLD_SECONDS = 2.0


class Operations:
    """The record of every operation, and who waits for the end of one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, asyncio.Event] = {}

    def done(self, resource: str) -> str:
        """Note an operation that ended at once; call it in the transaction that did the work. Returns its id."""
        now = wire_now()
        return self._note({"status": "Succeeded", "started": now, "ended": now, "resource": resource})

    def begin(self, resource: str) -> str:
        """Note an operation that goes on; call it in a transaction. Returns its id."""
        operation_id = self._note({"status": "InProgress", "started": wire_now(), "resource": resource})
        self._waiting[operation_id] = asyncio.Event()
        return operation_id

    def reopen(self, operation_id: str) -> bool:
        """Take up an operation of an earlier service; False where it has ended or is forgotten."""
        operation = self._store.get_operation(operation_id) if operation_id else None
        if not operation or operation["status"] != "InProgress":
            return False
        self._waiting.setdefault(operation_id, asyncio.Event())
        return True

    async def carry_out(self, operation_id: str, work: Coroutine[Any, Any, Any], what: str) -> None:
        """Do the work of an operation, which ends with it, whatever happens; `what` begins the tale of a failure."""
        error: ArmError | None = None
        try:
            await work
        except ArmError as exc:
            error = exc
        except Exception as exc:  # the client must learn of it, whatever it was
            log.exception("%s failed", what)
            error = ArmError(500, "InternalServerError", f"{what} failed: {exc}. It can be asked for again.")
        await until_written(lambda: self.finish(operation_id, error))

    def finish(self, operation_id: str, error: ArmError | None = None) -> None:
        operation = self._store.get_operation(operation_id)
        if operation and operation["status"] == "InProgress":
            operation["status"] = "Failed" if error else "Succeeded"
            operation["ended"] = wire_now()
            operation["error"] = error.body()["error"] if error else None
            with self._store.transaction():
                self._store.put_operation(operation)
        event = self._waiting.pop(operation_id, None)
        if event:
            event.set()

    def finish_others(self) -> None:
        """End what an earlier service began and nobody has taken up: its work was done when that service ended."""
        for operation_id in self._store.unfinished_operations():
            if operation_id not in self._waiting:
                self.finish(operation_id)

    def forget_old(self, days: int = 7) -> None:
        from datetime import timedelta

        with self._store.transaction():
            self._store.forget_operations(before=wire_time(utc_now() - timedelta(days=days)))

    def _note(self, operation: dict[str, Any]) -> str:
        operation["id"] = str(uuid.uuid4())
        self._store.put_operation(operation)
        operation_id: str = operation["id"]
        return operation_id

    async def ended(self, operation_id: str) -> None:
        """Wait for the end of an operation. Raises ArmError where it failed."""
        event = self._waiting.get(operation_id)
        if event:
            await event.wait()
        operation = self._store.get_operation(operation_id)
        if operation and operation["error"]:
            raise ArmError(500, operation["error"]["code"], operation["error"]["message"])

    async def poll(self, url: str, operation_id: str) -> Reply:
        """Answer a poll; one in progress is held until it ends or `HOLD_SECONDS` have passed."""
        event = self._waiting.get(operation_id)
        if event:
            try:
                await asyncio.wait_for(event.wait(), HOLD_SECONDS)
            except asyncio.TimeoutError:
                pass
        operation = self._store.get_operation(operation_id)
        if not operation:
            raise ArmError(404, "OperationNotFound", f"The operation {operation_id} is not found")
        body: dict[str, Any] = {"id": url, "name": operation_id, "status": operation["status"]}
        body["startTime"] = operation["started"]
        if operation["status"] == "InProgress":
            return Reply(200, body, {"retry-after-ms": str(NEXT_POLL_MS)})
        body["endTime"] = operation["ended"]
        if operation["error"]:
            body["error"] = operation["error"]
        else:
            body["properties"] = {"resourceId": operation["resource"]}
        return Reply(200, body)


def accepted(base_url: str, subscription: str, location: str, operation_id: str) -> Reply:
    """202 with both operation URLs (wire.md 1.0)."""
    root = f"{base_url}/subscriptions/{subscription}/providers/Microsoft.BatchAI/locations/{location}"
    query = f"?api-version={API_VERSION}"
    return Reply(
        202,
        None,
        {
            "Location": f"{root}/operationstatuses/{operation_id}{query}",
            "Azure-AsyncOperation": f"{root}/operationresults/{operation_id}{query}",
            "retry-after-ms": str(FIRST_POLL_MS),
        },
    )
