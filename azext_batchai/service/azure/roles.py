"""Role definitions and role assignments: answered as Azure does, and without effect, since the cloud has one user.

Nothing is kept: whoever may use the service may do everything, before an assignment and after it.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.filters import conditions
from azext_batchai.service.arm.replies import Reply, empty
from azext_batchai.service.clock import wire_now
from azext_batchai.service.service import Service

PATH = re.compile(
    r"(?P<scope>(?:/.*)?)/providers/microsoft\.authorization/(?P<kind>roleassignments|roledefinitions)(?:/(?P<name>[^/]+))?",
    re.IGNORECASE,
)
_NAMES = (
    "Owner",
    "Contributor",
    "Reader",
    "Storage Account Contributor",
    "Storage Account Key Operator Service Role",
    "Storage Blob Data Contributor",
    "Storage Blob Data Owner",
    "Storage Blob Data Reader",
    "Storage File Data SMB Share Contributor",
    "Storage File Data Privileged Contributor",
)
_NAMESPACE = uuid.UUID("6f0c0a0c-7a5c-4a3e-9a64-5f2f1f8d3b1e")


async def list_definitions(service: Service, call: Call) -> Reply:
    wanted = conditions(call.query.get("$filter", ""), "roleName", "type")
    name = wanted.get("roleName", "").lower()
    return paging.item_page(call, [_definition(call, role) for role in _NAMES if name in ("", role.lower())])


async def get_definition(service: Service, call: Call) -> Reply:
    for role in _NAMES:
        definition = _definition(call, role)
        if definition["name"] == call.raw_path.rpartition("/")[2].lower():
            return Reply(200, definition)
    raise ArmError(404, "RoleDefinitionDoesNotExist", "The specified role definition is not one of the local cloud's.")


async def list_assignments(service: Service, call: Call) -> Reply:
    return paging.item_page(call, [])


async def create_assignment(service: Service, call: Call) -> Reply:
    """201; the assignment changes nothing and is kept nowhere."""
    properties = call.properties()
    for field in ("roleDefinitionId", "principalId"):
        if not isinstance(properties.get(field), str):
            raise bad_request(f"'properties.{field}' is required.", field)
    match = PATH.fullmatch(call.raw_path)
    assert match
    now = wire_now()
    body = {
        "id": call.raw_path,
        "name": match["name"],
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": properties["roleDefinitionId"],
            "principalId": properties["principalId"],
            "principalType": properties.get("principalType") or "ServicePrincipal",
            "scope": match["scope"] or "/",
            "createdOn": now,
            "updatedOn": now,
        },
    }
    return Reply(201, body)


async def delete_assignment(service: Service, call: Call) -> Reply:
    return empty(204)


def _definition(call: Call, role: str) -> dict[str, Any]:
    name = str(uuid.uuid5(_NAMESPACE, role))
    return {
        "id": f"/subscriptions/{call.subscription}/providers/Microsoft.Authorization/roleDefinitions/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role,
            "type": "BuiltInRole",
            "description": "Without effect in the local cloud: it has one user, who may do everything.",
            "assignableScopes": ["/"],
            "permissions": [{"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}],
        },
    }
