"""All resources of a subscription or a group in one list (Resources_List): workspaces and storage accounts."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.filters import conditions
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.resources import groups
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

_KINDS = ("workspace", "account")
_SHOWN = ("id", "name", "type", "location", "sku", "kind", "tags")


async def list_by_subscription(service: Service, call: Call) -> Reply:
    return _page(service, call, f"/subscriptions/{call.subscription}/")


async def list_by_group(service: Service, call: Call) -> Reply:
    groups.find(service, call)
    return _page(service, call, f"{groups.key(call.subscription, call.group)}/")


def _page(service: Service, call: Call, prefix: str) -> Reply:
    wanted = conditions(call.query.get("$filter", ""), *_FIELDS, *groups.TAG_FIELDS)
    records = [record for kind in _KINDS for record in service.store.all_of(kind, prefix)]
    return paging.item_page(call, [_shown(record) for record in records if _matches(record, wanted)])


_FIELDS = ("resourceType", "resourceGroup", "name", "location")


def _matches(record: Record, wanted: dict[str, str]) -> bool:
    body = record.body
    there = {
        "resourceType": body["type"],
        "resourceGroup": body["id"].split("/")[4],
        "name": body["name"],
        "location": body["location"],
    }
    plain = all(there[field].lower() == wanted[field].lower() for field in _FIELDS if field in wanted)
    return plain and groups.has_tag(body, wanted)


def _shown(record: Record) -> dict[str, Any]:
    return {key: record.body[key] for key in _SHOWN if key in record.body}
