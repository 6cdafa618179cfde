"""Workspaces (wire.md 1.1)."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm import operations, paging, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request, conflict, not_found
from azext_batchai.service.arm.ids import batchai_id, key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.arm.schema import Field, Object, String, clean
from azext_batchai.service.clock import wire_now
from azext_batchai.service.model import parents
from azext_batchai.service.resources import groups
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

KIND = "workspace"
_LOCATION = Object({"location": Field(String(r"[-\w._ ]+", maximum=64), required=True)})


def find(service: Service, call: Call) -> Record:
    """The workspace that the path names. Raises ArmError 404."""
    record = service.store.get(key_of(call.path.workspace))
    if not record:
        raise not_found("workspace", call.names[0])
    return record


def location_of(service: Service, call: Call) -> str:
    location: str = find(service, call).body["location"]
    return location


async def create(service: Service, call: Call) -> Reply:
    """200 at once; a second PUT gives the first resource (wire.md 1.1)."""
    cleaned = clean(_LOCATION, call.body, "workspace")
    location = cleaned.body["location"].replace(" ", "").lower()
    tags = _tags(call.body)
    parents.refuse_under_deletion(service, groups.key(call.subscription, call.group))
    record = service.store.get(key_of(call.path.workspace))
    if record:
        parents.refuse_under_deletion(service, record.key)
        if record.body["location"] != location:
            raise conflict(
                f"The workspace {record.name} already exists in location '{record.body['location']}'; "
                f"it cannot be moved to '{location}'.",
                code="InvalidResourceLocation",
            )
        return replies.resource(record, record.body)
    now = wire_now()
    body: dict[str, Any] = {
        "id": batchai_id(call.subscription, call.group, "workspaces", call.name),
        "name": call.name,
        "type": "Microsoft.BatchAI/workspaces",
        "location": location,
    }
    if tags:
        body["tags"] = tags
    body["properties"] = {
        "provisioningState": "succeeded",
        "provisioningStateTransitionTime": now,
        "creationTime": now,
    }
    record = Record(key_of(body["id"]), KIND, groups.key(call.subscription, call.group), body)
    with service.store.transaction():
        groups.ensure(service, call.subscription, call.group, location)
        parents.reserve(service, record)
    return replies.resource(record, body)


async def get(service: Service, call: Call) -> Reply:
    record = find(service, call)
    return replies.resource(record, record.body)


async def update(service: Service, call: Call) -> Reply:
    """PATCH changes the tags (swagger only: never recorded live)."""
    record = find(service, call)
    parents.refuse_under_deletion(service, record.key)
    if not isinstance(call.body, dict):
        raise bad_request("The request body must be a JSON object such as {\"tags\": {}}.", "tags")
    tags = _tags(call.body)
    properties = record.body.pop("properties")
    record.body.pop("tags", None)
    if tags:
        record.body["tags"] = tags
    record.body["properties"] = properties
    with service.store.transaction():
        service.store.update(record)
    return replies.resource(record, record.body)


async def delete(service: Service, call: Call) -> Reply:
    """202; takes its clusters, file servers, experiments and jobs along (wire.md 3.4)."""
    record = service.store.get(key_of(call.path.workspace))
    if not record:
        return replies.empty(204)
    operation = service.deletions.begin(record, f"{call.subscription}${call.group}${record.name}")
    return operations.accepted(call.base_url, call.subscription, record.body["location"], operation)


async def list_by_group(service: Service, call: Call) -> Reply:
    parent = groups.key(call.subscription, call.group)
    return paging.record_page(
        call, lambda after, limit: service.store.children(parent, KIND, after, limit), lambda record: record.body
    )


async def list_by_subscription(service: Service, call: Call) -> Reply:
    prefix = f"/subscriptions/{call.subscription}/"
    return paging.record_page(
        call, lambda after, limit: service.store.all_of(KIND, prefix, after, limit), lambda record: record.body
    )


def _tags(body: Any) -> dict[str, str]:
    tags = body.get("tags") if isinstance(body, dict) else None
    if tags is None:
        return {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise bad_request("'tags' must be an object of strings.", "tags")
    return tags
