"""Experiments (wire.md 1.2)."""

from __future__ import annotations

from azext_batchai.service.arm import operations, paging, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import not_found
from azext_batchai.service.arm.ids import batchai_id, key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_now
from azext_batchai.service.context import Service
from azext_batchai.service.resources import cascade, workspaces
from azext_batchai.service.store import Record

KIND = "experiment"


def find(service: Service, call: Call) -> Record:
    """The experiment that the path names. Raises ArmError 404, for a missing workspace too."""
    workspaces.find(service, call)
    record = service.store.get(key_of(_id(call)))
    if not record:
        raise not_found("experiment", call.names[1])
    return record


def _id(call: Call) -> str:
    return batchai_id(call.subscription, call.group, "workspaces", call.names[0], "experiments", call.names[1])


async def create(service: Service, call: Call) -> Reply:
    """200 at once, with the original on a second PUT (wire.md 1.2)."""
    workspace = workspaces.find(service, call)
    record = service.store.get(key_of(_id(call)))
    if not record:
        now = wire_now()
        body = {
            "id": batchai_id(call.subscription, call.group, "workspaces", workspace.name, "experiments", call.name),
            "name": call.name,
            "type": "Microsoft.BatchAI/workspaces/experiments",
            "properties": {
                "provisioningState": "succeeded",
                "provisioningStateTransitionTime": now,
                "creationTime": now,
            },
        }
        record = Record(key_of(str(body["id"])), KIND, workspace.key, body)
        with service.store.transaction():
            service.store.add(record)
    return replies.resource(record, record.body)


async def get(service: Service, call: Call) -> Reply:
    record = find(service, call)
    return replies.resource(record, record.body)


async def list_by_workspace(service: Service, call: Call) -> Reply:
    parent = workspaces.find(service, call).key
    return paging.record_page(
        call, lambda after, limit: service.store.children(parent, KIND, after, limit), lambda record: record.body
    )


async def delete(service: Service, call: Call) -> Reply:
    """202; takes its jobs along and leaves the cluster (wire.md 3.4)."""
    workspace = workspaces.find(service, call)
    record = service.store.get(key_of(_id(call)))
    if not record:
        return replies.empty(204)
    resource_id = f"{call.subscription}${call.group}${workspace.name}${record.name}"
    operation = cascade.delete_in_background(service, record, resource_id)
    return operations.accepted(call.base_url, call.subscription, workspace.body["location"], operation)
