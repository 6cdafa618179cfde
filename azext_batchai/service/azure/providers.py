"""Resource providers: those of the local cloud are registered, always."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.azure import tenancy
from azext_batchai.service.service import Service
from azext_batchai.service.settings import API_VERSION

_BATCHAI_TYPES = ("workspaces", "workspaces/clusters", "workspaces/experiments", "workspaces/experiments/jobs")
# Namespace -> its resource types here and their api-versions. Those without types can be registered, as scripts do
# beforehand, and hold nothing.
_PROVIDERS: dict[str, dict[str, list[str]]] = {
    "Microsoft.BatchAI": {kind: [API_VERSION] for kind in (*_BATCHAI_TYPES, "workspaces/fileservers")},
    "Microsoft.Storage": {"storageAccounts": ["2025-08-01", "2023-01-01", "2018-07-01"]},
    "Microsoft.Resources": {kind: ["2024-11-01", "2021-04-01"] for kind in ("resourceGroups", "subscriptions")},
    "Microsoft.Authorization": {kind: ["2022-04-01"] for kind in ("roleAssignments", "roleDefinitions")},
    "Microsoft.Batch": {},
    "Microsoft.Compute": {},
    "Microsoft.ContainerRegistry": {},
    "Microsoft.Insights": {},
    "Microsoft.KeyVault": {},
    "Microsoft.MachineLearningServices": {},
    "Microsoft.ManagedIdentity": {},
    "Microsoft.Network": {},
}
_NAMES = {name.lower(): name for name in _PROVIDERS}


async def list_providers(service: Service, call: Call) -> Reply:
    return paging.item_page(call, [_provider(call, name) for name in _PROVIDERS])


async def get(service: Service, call: Call) -> Reply:
    return Reply(200, _provider(call, _known(call.path.pattern.split("/")[3])))


async def register(service: Service, call: Call) -> Reply:
    return await get(service, call)


async def unregister(service: Service, call: Call) -> Reply:
    """A provider of the local cloud cannot be taken away; the answer says so by its state."""
    return await get(service, call)


def _known(namespace: str) -> str:
    name = _NAMES.get(namespace)
    if not name:
        raise ArmError(
            404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' does not exist in the local cloud."
        )
    return name


def _provider(call: Call, name: str) -> dict[str, Any]:
    regions = list(tenancy.LOCATIONS.values())
    return {
        "id": f"/subscriptions/{call.subscription}/providers/{name}",
        "namespace": name,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationFree",
        "resourceTypes": [
            {"resourceType": kind, "locations": regions, "apiVersions": versions, "capabilities": "SupportsTags"}
            for kind, versions in _PROVIDERS[name].items()
        ],
    }
