"""Experiments (wire.md 1.2)."""

from __future__ import annotations

from azext_batchai.service.arm import replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_now
from azext_batchai.service.model import parents
from azext_batchai.service.resources import workspaces
from azext_batchai.service.resources.nested import Nested
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

NESTED = Nested("experiment", "experiments")
find = NESTED.find


async def create(service: Service, call: Call) -> Reply:
    """200 at once, with the original on a second PUT (wire.md 1.2)."""
    workspace = workspaces.find(service, call)
    parents.refuse_under_deletion(service, workspace.key)
    record = NESTED.look_up(service, call)
    if record:
        parents.refuse_under_deletion(service, record.key)
    else:
        now = wire_now()
        body = {
            "id": NESTED.id(call, workspace.name, call.name),
            "name": call.name,
            "type": "Microsoft.BatchAI/workspaces/experiments",
            "properties": {
                "provisioningState": "succeeded",
                "provisioningStateTransitionTime": now,
                "creationTime": now,
            },
        }
        record = Record(key_of(str(body["id"])), NESTED.kind, workspace.key, body)
        with service.store.transaction():
            parents.reserve(service, record)
    return replies.resource(record, record.body)
