"""File servers (wire.md 1.5): a shared folder with an SSH endpoint of its own."""

from __future__ import annotations

import uuid
from typing import Any

from azext_batchai.service.arm import operations, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import conflict
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.arm.schema import Array, Enum, Field, Integer, Object, String, clean
from azext_batchai.service.clock import wire_now
from azext_batchai.service.control.file_servers import KIND
from azext_batchai.service.model import parents
from azext_batchai.service.resources import accounts, volumes, workspaces
from azext_batchai.service.resources.nested import Nested
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

_SSH = Object(
    {
        "publicIPsToAllow": Field(Array(String(minimum=1), maximum=400)),
        "userAccountSettings": Field(accounts.USER_ACCOUNT, required=True),
    }
)
_DISKS = Object(
    {
        "diskSizeInGB": Field(Integer(1, 32767), required=True),
        "cachingType": Field(Enum(("none", "readonly", "readwrite")), default="none"),
        "diskCount": Field(Integer(1, 64), required=True),
        "storageAccountType": Field(Enum(("Standard_LRS", "Premium_LRS")), required=True),
    }
)
_FILE_SERVER = Object(
    {
        "vmSize": Field(String(r"[A-Za-z0-9_]+", minimum=1, maximum=64, upper=True), required=True),
        "sshConfiguration": Field(_SSH, required=True),
        "dataDisks": Field(_DISKS, required=True),
        "subnet": Field(volumes.RESOURCE_ID),
    }
)


# The id has `fileservers` where the URL has `fileServers` (wire.md 1.0).
NESTED = Nested(KIND, "fileservers")


async def create(service: Service, call: Call) -> Reply:
    """202; 200 for the same body again, 409 for another. Its endpoint is made when its record stands."""
    workspace = workspaces.find(service, call)
    parents.refuse_under_deletion(service, workspace.key)
    cleaned = clean(_FILE_SERVER, call.properties())
    fingerprint = service.vault.fingerprint(call.properties())
    existing = NESTED.look_up(service, call)
    if existing:
        parents.refuse_under_deletion(service, existing.key)
        if existing.internal["fingerprint"] != fingerprint:
            raise conflict(f"The file server {existing.name} already exists with other properties.")
        return replies.resource(existing, existing.body)
    unique = uuid.uuid4()
    settings = cleaned.body["sshConfiguration"]["userAccountSettings"]
    path = "properties.sshConfiguration.userAccountSettings"
    now = wire_now()
    subnet = cleaned.body.pop("subnet", None) or {
        "id": f"/subscriptions/{call.subscription}/resourceGroups/fileserverrg-{unique}"
        f"/providers/Microsoft.Network/virtualNetworks/{unique}vnet/subnets/Subnet-1"
    }
    body: dict[str, Any] = {
        "id": NESTED.id(call, workspace.name, call.name),
        "name": call.name,
        "type": "Microsoft.BatchAI/workspaces/fileservers",
        "properties": {
            "provisioningState": "creating",
            "creationTime": now,
            "provisioningStateTransitionTime": now,
            **cleaned.body,
            "subnet": subnet,
        },
    }
    record = Record(key_of(body["id"]), NESTED.kind, workspace.key, body)
    record.internal = {
        "fingerprint": fingerprint,
        "login": accounts.take_login(cleaned, path, settings),
        "folder": str(service.storage.file_servers / str(unique) / "data"),
        "port": 0,
    }
    with service.store.transaction():
        parents.reserve(service, record)
        operation = service.operations.begin(f"{call.subscription}${call.group}${workspace.name}${call.name}")
        record.internal["operation"] = operation
        service.store.update(record, touch=False)
    service.file_servers.begin(record, operation)
    return operations.accepted(call.base_url, call.subscription, workspace.body["location"], operation)
