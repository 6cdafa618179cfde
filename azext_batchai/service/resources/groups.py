"""Resource groups, as far as Batch AI needs them: they hold workspaces and storage accounts.

A group comes into being with the first thing made in it, so that nobody needs another tool to begin.
"""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply, empty
from azext_batchai.service.model import parents
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

KIND = "group"


def key(subscription: str, group: str) -> str:
    return key_of(f"/subscriptions/{subscription}/resourceGroups/{group}")


def ensure(service: Service, subscription: str, group: str, location: str) -> Record:
    """The group, made in the current transaction where it does not exist."""
    record = service.store.get(key(subscription, group))
    if record:
        return record
    body = {
        "id": f"/subscriptions/{subscription}/resourceGroups/{group}",
        "name": group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    }
    record = Record(key(subscription, group), KIND, key_of(f"/subscriptions/{subscription}"), body)
    service.store.add(record)
    return record


def find(service: Service, call: Call) -> Record:
    record = service.store.get(key(call.subscription, call.group))
    if not record:
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{call.group}' could not be found.")
    return record


async def create(service: Service, call: Call) -> Reply:
    location = call.body.get("location") if isinstance(call.body, dict) else None
    if not isinstance(location, str) or not location:
        raise bad_request("'location' is required.", "location", code="LocationRequired")
    existed = service.store.get(key(call.subscription, call.group)) is not None
    parents.refuse_under_deletion(service, key(call.subscription, call.group))
    with service.store.transaction():
        record = ensure(service, call.subscription, call.group, location.replace(" ", "").lower())
    return Reply(200 if existed else 201, record.body)


async def get(service: Service, call: Call) -> Reply:
    return Reply(200, find(service, call).body)


async def exists(service: Service, call: Call) -> Reply:
    found = service.store.get(key(call.subscription, call.group)) is not None
    return empty(204 if found else 404)


async def list_groups(service: Service, call: Call) -> Reply:
    parent = key_of(f"/subscriptions/{call.subscription}")
    return paging.record_page(
        call, lambda after, limit: service.store.children(parent, KIND, after, limit), lambda record: record.body
    )


async def delete(service: Service, call: Call) -> Reply:
    """202; everything in the group goes with it (walkthrough row 13)."""
    record = find(service, call)
    operation = service.deletions.begin(record, record.name)
    url = f"{call.base_url}/subscriptions/{call.subscription}/operationresults/{operation}?api-version=2021-04-01"
    return Reply(202, None, {"Location": url, "retry-after-ms": "1"})


async def poll_delete(service: Service, call: Call) -> Reply:
    """202 while a group is being deleted, 200 afterwards, as ARM's Location polling has it.

    Raises ArmError where the deletion failed.
    """
    operation_id = call.raw_path.rstrip("/").rsplit("/", 1)[-1]
    reply = await service.operations.poll("", operation_id)
    body: dict[str, Any] = reply.body
    if body["status"] == "InProgress":
        return Reply(202, None, {"Location": f"{call.base_url}{call.raw_path}", "retry-after-ms": "50"})
    await service.operations.ended(operation_id)
    return empty(200)
