"""Microsoft.Storage as far as Batch AI's users need it: accounts, keys, file shares and blob containers.

An account, share or container is a plain folder; its resource tells where (`localPath`).
"""

from __future__ import annotations

import base64
import re
from typing import Any

from azext_batchai.service import hosts
from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, bad_request, conflict
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply, empty
from azext_batchai.service.clock import wire_now
from azext_batchai.service.model import parents
from azext_batchai.service.resources import groups
from azext_batchai.service.service import Service
from azext_batchai.service.storage import account_keys
from azext_batchai.service.storage.layout import ACCOUNT_PATTERN, BLOBS, FILES
from azext_batchai.service.store import Record

KIND = "account"
_ACCOUNT_KINDS = ("Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage")
_SKU = re.compile(r"Standard_(LRS|GRS|RAGRS|ZRS|GZRS|RAGZRS)|Premium_(LRS|ZRS)")
_ACCOUNTS_PER_REGION = 250
_AVAILABLE = {"nameAvailable": True}
_CHILDREN = {
    FILES: ("fileServices", "shares"),
    BLOBS: ("blobServices", "containers"),
}


def _id(call: Call) -> str:
    return (
        f"/subscriptions/{call.subscription}/resourceGroups/{call.group}"
        f"/providers/Microsoft.Storage/storageAccounts/{call.names[0].lower()}"
    )


def find(service: Service, call: Call) -> Record:
    record = service.store.get(key_of(_id(call)))
    if not record:
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.Storage/storageAccounts/{call.names[0]}' under resource group "
            f"'{call.group}' was not found.",
        )
    return record


def project(service: Service, call: Call, record: Record) -> dict[str, Any]:
    """The account as this client sees it: with the endpoints that it can reach."""
    endpoints = {kind: hosts.storage_endpoint(call.base_url, record.name, kind) for kind in ("blob", "file")}
    properties = {
        "primaryLocation": record.body["location"],
        "statusOfPrimary": "available",
        "encryption": {"keySource": "Microsoft.Storage"},  # read by clients that change an account
        "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": []},
        **record.properties,
        "primaryEndpoints": endpoints,
        "localPath": str(service.storage.account(record.name)),
    }
    return {**record.body, "properties": properties}


async def create(service: Service, call: Call) -> Reply:
    """200 with the finished account; account names are unique over all groups, as in Azure.

    One that exists is changed: its sku, kind and tags become those of the request.
    """
    parents.refuse_under_deletion(service, groups.key(call.subscription, call.group))
    record = service.store.get(key_of(_id(call)))
    if record:
        parents.refuse_under_deletion(service, record.key)
        return _change(service, call, record)
    name = call.names[0].lower()
    folder = service.storage.account(call.names[0])
    location = call.body.get("location") if isinstance(call.body, dict) else None
    if not isinstance(location, str) or not re.fullmatch(r"[-\w. ]+", location):
        raise bad_request("'location' is required.", "location", code="LocationRequired")
    if _owner(service, name):
        raise conflict(f"The storage account named {name} is already taken.", code="StorageAccountAlreadyTaken")
    location = location.replace(" ", "").lower()
    body = {
        "id": _id(call),
        "name": name,
        "type": "Microsoft.Storage/storageAccounts",
        "location": location,
        "kind": "StorageV2",
        "sku": _sku("Standard_LRS"),
        **_chosen(call),
        "properties": {"provisioningState": "Succeeded", "creationTime": wire_now()},
    }
    record = Record(key_of(_id(call)), KIND, groups.key(call.subscription, call.group), body)
    with service.store.transaction():
        groups.ensure(service, call.subscription, call.group, location)
        parents.reserve(service, record)
        for service_folder in (FILES, BLOBS):
            (folder / service_folder).mkdir(parents=True, exist_ok=True)
    return Reply(200, project(service, call, record))


async def update(service: Service, call: Call) -> Reply:
    return _change(service, call, find(service, call))


def _change(service: Service, call: Call, record: Record) -> Reply:
    chosen = _chosen(call)
    if any(record.body.get(key) != value for key, value in chosen.items()):
        record.body.update(chosen)
        with service.store.transaction():
            service.store.update(record)
    return Reply(200, project(service, call, record))


def _chosen(call: Call) -> dict[str, Any]:
    """What a request says of sku, kind and tags. Raises ArmError 400 for values that no account can have."""
    body = call.body if isinstance(call.body, dict) else {}
    chosen: dict[str, Any] = {}
    if body.get("kind") is not None:
        if body["kind"] not in _ACCOUNT_KINDS:
            raise bad_request(f"'kind' must be one of {', '.join(_ACCOUNT_KINDS)}.", "kind")
        chosen["kind"] = body["kind"]
    if body.get("sku") is not None:
        name = body["sku"].get("name") if isinstance(body["sku"], dict) else None
        if not isinstance(name, str) or not _SKU.fullmatch(name):
            raise bad_request("'sku.name' is not that of a storage account, as Standard_LRS is.", "sku.name")
        chosen["sku"] = _sku(name)
    tags = groups.tags_of(call)
    return chosen if tags is None else {**chosen, "tags": tags}


def _sku(name: str) -> dict[str, str]:
    return {"name": name, "tier": name.partition("_")[0]}


def _owner(service: Service, name: str) -> Record | None:
    return next((record for record in service.store.all_of(KIND) if record.name == name), None)


async def get(service: Service, call: Call) -> Reply:
    return Reply(200, project(service, call, find(service, call)))


async def list_by_group(service: Service, call: Call) -> Reply:
    parent = groups.key(call.subscription, call.group)
    return paging.record_page(
        call,
        lambda after, limit: service.store.children(parent, KIND, after, limit),
        lambda record: project(service, call, record),
    )


async def list_by_subscription(service: Service, call: Call) -> Reply:
    prefix = f"/subscriptions/{call.subscription}/"
    return paging.record_page(
        call,
        lambda after, limit: service.store.all_of(KIND, prefix, after, limit),
        lambda record: project(service, call, record),
    )


async def list_keys(service: Service, call: Call) -> Reply:
    return _keys(service, find(service, call))


async def regenerate_key(service: Service, call: Call) -> Reply:
    """200 with both keys, one of them new; the one that it replaces opens nothing any more."""
    record = find(service, call)
    name = call.body.get("keyName") if isinstance(call.body, dict) else None
    if name not in account_keys.KEY_NAMES:
        raise bad_request(f"'keyName' must be one of {', '.join(account_keys.KEY_NAMES)}.", "keyName")
    account_keys.renew(service.storage, record.name, name)
    return _keys(service, record)


def _keys(service: Service, record: Record) -> Reply:
    keys = [
        {"keyName": name, "value": base64.b64encode(key).decode(), "permissions": "FULL"}
        for name, key in account_keys.account_keys(service.vault, service.storage, record.name).items()
    ]
    return Reply(200, {"keys": keys})


async def check_name(service: Service, call: Call) -> Reply:
    """Whether an account can have this name (StorageAccounts_CheckNameAvailability)."""
    name = call.body.get("name") if isinstance(call.body, dict) else None
    if not isinstance(name, str):
        raise bad_request("'name' is required.", "name")
    reason, message = "", ""
    if not ACCOUNT_PATTERN.fullmatch(name):
        reason = "AccountNameInvalid"
        message = f"{name} is not a valid storage account name: 3 to 24 lower-case letters and digits."
    elif _owner(service, name):
        reason, message = "AlreadyExists", f"The storage account named {name} is already taken."
    return Reply(200, {"nameAvailable": False, "reason": reason, "message": message} if reason else _AVAILABLE)


async def list_usages(service: Service, call: Call) -> Reply:
    location = call.name.replace(" ", "").lower()
    accounts = service.store.all_of(KIND, f"/subscriptions/{call.subscription}/")
    usage = {
        "unit": "Count",
        "currentValue": sum(1 for record in accounts if record.body["location"] == location),
        "limit": _ACCOUNTS_PER_REGION,
        "name": {"value": "StorageAccounts", "localizedValue": "Storage Accounts"},
    }
    return paging.item_page(call, [usage])


async def delete(service: Service, call: Call) -> Reply:
    record = service.store.get(key_of(_id(call)))
    if not record:
        return empty(204)
    operation = service.deletions.begin(record, record.name)
    await service.operations.ended(operation)
    return empty(200)


async def create_share(service: Service, call: Call) -> Reply:
    return _create_child(service, call, FILES)


async def create_container(service: Service, call: Call) -> Reply:
    return _create_child(service, call, BLOBS)


def _create_child(service: Service, call: Call, kind: str) -> Reply:
    account = find(service, call)
    parents.refuse_under_deletion(service, account.key)
    folder = service.storage.folder(account.name, kind, call.name)
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return Reply(200 if existed else 201, _child(service, account, kind, call.name))


async def get_share(service: Service, call: Call) -> Reply:
    return _get_child(service, call, FILES, "ShareNotFound")


async def get_container(service: Service, call: Call) -> Reply:
    return _get_child(service, call, BLOBS, "ContainerNotFound")


def _get_child(service: Service, call: Call, kind: str, code: str) -> Reply:
    account = find(service, call)
    if not service.storage.folder(account.name, kind, call.name).is_dir():
        raise ArmError(404, code, f"The specified {_CHILDREN[kind][1][:-1]} '{call.name}' does not exist.")
    return Reply(200, _child(service, account, kind, call.name))


async def list_shares(service: Service, call: Call) -> Reply:
    return _list_children(service, call, FILES)


async def list_containers(service: Service, call: Call) -> Reply:
    return _list_children(service, call, BLOBS)


def _list_children(service: Service, call: Call, kind: str) -> Reply:
    account = find(service, call)
    names = service.storage.names(account.name, kind)
    return paging.item_page(call, [_child(service, account, kind, name) for name in names])


def _child(service: Service, account: Record, kind: str, name: str) -> dict[str, Any]:
    services, children = _CHILDREN[kind]
    return {
        "id": f"{account.body['id']}/{services}/default/{children}/{name}",
        "name": name,
        "type": f"Microsoft.Storage/storageAccounts/{services}/{children}",
        "properties": {"localPath": str(service.storage.folder(account.name, kind, name))},
    }
