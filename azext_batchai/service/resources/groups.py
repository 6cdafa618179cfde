"""Resource groups, as far as Batch AI needs them: they hold workspaces and storage accounts.

A group comes into being with the first thing made in it, so that nobody needs another tool to begin.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, bad_request, conflict
from azext_batchai.service.arm.filters import conditions
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply, empty
from azext_batchai.service.model import parents
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

KIND = "group"
TAG_FIELDS = ("tagName", "tagValue")


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
    """201, or 200 for one that exists: its tags become those of the request."""
    location = call.body.get("location") if isinstance(call.body, dict) else None
    if not isinstance(location, str) or not location:
        raise bad_request("'location' is required.", "location", code="LocationRequired")
    location = location.replace(" ", "").lower()
    tags = tags_of(call)
    parents.refuse_under_deletion(service, key(call.subscription, call.group))
    record = service.store.get(key(call.subscription, call.group))
    if not record:
        with service.store.transaction():
            record = ensure(service, call.subscription, _as_typed(call), location)
            return Reply(201, _tagged(service, record, tags or {}))
    if record.body["location"] != location:
        raise conflict(
            f"The resource group '{record.name}' is in '{record.body['location']}' already, not in '{location}'. "
            "Create it there, or choose another name.",
            code="InvalidResourceGroupLocation",
        )
    with service.store.transaction():
        return Reply(200, _tagged(service, record, tags or {}))


async def update(service: Service, call: Call) -> Reply:
    record = find(service, call)
    tags = tags_of(call)
    with service.store.transaction():
        return Reply(200, record.body if tags is None else _tagged(service, record, tags))


def _as_typed(call: Call) -> str:
    return unquote(call.raw_path.split("/")[4])


def _tagged(service: Service, record: Record, tags: dict[str, str]) -> dict[str, Any]:
    if tags != record.body.get("tags", {}):
        record.body["tags"] = tags
        service.store.update(record)
    return record.body


def tags_of(call: Call) -> dict[str, str] | None:
    """The tags of a request; None where it names none. Raises ArmError 400 for what cannot be tags."""
    tags = call.body.get("tags") if isinstance(call.body, dict) else None
    if tags is None:
        return None
    if not isinstance(tags, dict) or len(tags) > 50 or not all(isinstance(value, str) for value in tags.values()):
        raise bad_request("'tags' must be an object of strings, 50 at most.", "tags", code="InvalidTags")
    return tags


def has_tag(body: dict[str, Any], wanted: dict[str, str]) -> bool:
    """Whether a resource has the tag that a filter wants (`conditions` with TAG_FIELDS)."""
    tags = {name.lower(): value for name, value in body.get("tags", {}).items()}
    if "tagName" not in wanted:
        return "tagValue" not in wanted or wanted["tagValue"] in tags.values()
    value = tags.get(wanted["tagName"].lower())
    return value is not None and wanted.get("tagValue", value) == value


async def get(service: Service, call: Call) -> Reply:
    return Reply(200, find(service, call).body)


async def exists(service: Service, call: Call) -> Reply:
    found = service.store.get(key(call.subscription, call.group)) is not None
    return empty(204 if found else 404)


async def list_groups(service: Service, call: Call) -> Reply:
    parent = key_of(f"/subscriptions/{call.subscription}")
    wanted = conditions(call.query.get("$filter", ""), *TAG_FIELDS)
    if not wanted:
        return paging.record_page(
            call, lambda after, limit: service.store.children(parent, KIND, after, limit), lambda record: record.body
        )
    records = service.store.children(parent, KIND)
    return paging.item_page(call, [record.body for record in records if has_tag(record.body, wanted)])


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
