"""Clusters (wire.md 1.3, 2, 3.1): create, read, scale, delete. Their nodes are the controller's."""

from __future__ import annotations

import random
import uuid
from typing import Any

from azext_batchai.service.arm import operations, paging, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request, conflict, not_supported
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.arm.schema import Array, Cleaned, Enum, Field, Integer, Object, String, clean
from azext_batchai.service.clock import wire_now
from azext_batchai.service.model import parents, quotas, vm_sizes
from azext_batchai.service.model.node_states import empty_counts
from azext_batchai.service.resources import accounts, volumes, workspaces
from azext_batchai.service.resources.engine_choice import chosen_engine, refuse_unsupported
from azext_batchai.service.resources.nested import Nested
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

MAX_NODES = 1000


def _check_range(settings: dict[str, Any], path: str) -> None:
    low, high = settings["minimumNodeCount"], settings["maximumNodeCount"]
    if low > high:
        raise bad_request(f"'{path}': minimumNodeCount {low} is larger than maximumNodeCount {high}.", path)
    if settings["initialNodeCount"] > high:
        raise bad_request(f"'{path}': initialNodeCount is larger than maximumNodeCount {high}.", path)


SCALE_SETTINGS = Object(
    {
        "manual": Field(
            Object(
                {
                    "targetNodeCount": Field(Integer(0, MAX_NODES), required=True),
                    "nodeDeallocationOption": Field(
                        Enum(("requeue", "terminate", "waitforjobcompletion")), default="requeue"
                    ),
                }
            )
        ),
        "autoScale": Field(
            Object(
                {
                    "minimumNodeCount": Field(Integer(0, MAX_NODES), required=True),
                    "maximumNodeCount": Field(Integer(0, MAX_NODES), required=True),
                    "initialNodeCount": Field(Integer(0, MAX_NODES), default=0),
                },
                check=_check_range,
            )
        ),
    },
    one_of=("manual", "autoScale"),
)
_NAME = Field(String(r"[A-Za-z_][A-Za-z0-9_]*", minimum=1), required=True)
ENVIRONMENT = Array(Object({"name": _NAME, "value": Field(String(), required=True)}))
SECRETS = Array(
    Object(
        {
            "name": _NAME,
            "value": Field(String(), secret=True),
            "valueSecretReference": Field(volumes.KEY_VAULT_SECRET),
        },
        one_of=("value", "valueSecretReference"),
    )
)
_IMAGE = Object(
    {
        "publisher": Field(String(minimum=1), required=True),
        "offer": Field(String(minimum=1), required=True),
        "sku": Field(String(minimum=1), required=True),
        "version": Field(String(minimum=1), default="latest"),
        "virtualMachineImageId": Field(String(minimum=1)),
    }
)
_DEFAULT_IMAGE = {
    "imageReference": {"publisher": "microsoft-dsvm", "offer": "azureml", "sku": "runtime", "version": "latest"}
}
_APP_INSIGHTS = Object(
    {
        "component": Field(volumes.RESOURCE_ID, required=True),
        "instrumentationKey": Field(String(minimum=1), secret=True),
        "instrumentationKeySecretReference": Field(volumes.KEY_VAULT_SECRET),
    },
    one_of=("instrumentationKey", "instrumentationKeySecretReference"),
)
_NODE_SETUP = Object(
    {
        "setupTask": Field(
            Object(
                {
                    "commandLine": Field(String(minimum=1), required=True),
                    "environmentVariables": Field(ENVIRONMENT),
                    "secrets": Field(SECRETS),
                    "stdOutErrPathPrefix": Field(String(minimum=1), required=True),
                }
            )
        ),
        "mountVolumes": Field(volumes.MOUNT_VOLUMES),
        "performanceCountersSettings": Field(
            Object({"appInsightsReference": Field(_APP_INSIGHTS, required=True)})
        ),
    }
)
CLUSTER = Object(
    {
        "vmSize": Field(String(r"[A-Za-z0-9_]+", minimum=1, maximum=64, upper=True), required=True),
        "vmPriority": Field(Enum(("dedicated", "lowpriority")), default="dedicated"),
        "scaleSettings": Field(
            SCALE_SETTINGS, default={"manual": {"targetNodeCount": 0, "nodeDeallocationOption": "requeue"}}
        ),
        "virtualMachineConfiguration": Field(Object({"imageReference": Field(_IMAGE)}), default=_DEFAULT_IMAGE),
        "userAccountSettings": Field(accounts.USER_ACCOUNT, required=True),
        "nodeSetup": Field(_NODE_SETUP),
        "subnet": Field(volumes.RESOURCE_ID),
    }
)
_PATCH = Object({"scaleSettings": Field(SCALE_SETTINGS, required=True)})


def project(service: Service, record: Record) -> dict[str, Any]:
    """The body as the wire shows it: the stored one with what the nodes are doing now."""
    controller = service.fleet.get(record.key)
    stored = dict(record.properties)
    counts = controller.nodes.state_counts() if controller else empty_counts()
    properties: dict[str, Any] = {}
    for name, value in stored.items():
        properties[name] = value
        if name == "vmSize":
            properties["currentNodeCount"] = sum(counts.values())
            properties["nodeStateCounts"] = counts
    errors = controller.nodes.errors() if controller else []
    if errors:
        properties["errors"] = errors
    return {**record.body, "properties": properties}


NESTED = Nested("cluster", "clusters", project)


async def create(service: Service, call: Call) -> Reply:
    """202; 200 for the same body again, 409 for another (wire.md 1.3)."""
    workspace = workspaces.find(service, call)
    parents.refuse_under_deletion(service, workspace.key)
    wanted = call.engine
    cleaned = clean(CLUSTER, call.properties())
    fingerprint = service.vault.fingerprint(call.properties())
    existing = NESTED.look_up(service, call)
    if existing:
        parents.refuse_under_deletion(service, existing.key)
        if existing.internal["fingerprint"] != fingerprint:
            raise conflict(f"The cluster {existing.name} already exists with other properties.")
        if wanted not in ("", existing.internal["engine"]):
            raise conflict(f"The cluster {existing.name} exists on engine '{existing.internal['engine']}'.")
        return replies.resource(existing, project(service, existing))
    engine = chosen_engine(service, wanted, cleaned.body)
    quotas.check_new_cluster(service, call.subscription, workspace.body["location"])
    quotas.check_target(service, cleaned.body["vmSize"], cleaned.body["scaleSettings"])
    resource_id = NESTED.id(call, workspace.name, call.name)
    record = Record(key_of(resource_id), NESTED.kind, workspace.key, {"id": resource_id, "name": call.name})
    record.internal = {
        "fingerprint": fingerprint,
        "engine": engine,
        "login": accounts.take_login(cleaned, "properties.userAccountSettings", cleaned.body["userAccountSettings"]),
        "nodeNumber": random.randint(10**8, 4 * 10**9),
        "nextNode": 1,
    }
    setup = cleaned.body.get("nodeSetup", {})
    mounts = setup.get("mountVolumes", {})
    refuse_unsupported(service, record, cleaned.body, mounts, "properties.nodeSetup.mountVolumes")
    _set_up_nodes(call, record, cleaned)
    now = wire_now()
    record.body["type"] = "Microsoft.BatchAI/workspaces/clusters"
    record.body["properties"] = {
        "provisioningState": "succeeded",
        "allocationState": "resizing",
        "creationTime": now,
        "allocationStateTransitionTime": now,
        "provisioningStateTransitionTime": now,
        **cleaned.body,
    }
    subnet = cleaned.body.get("subnet") or _inherited_subnet(service, cleaned.body)
    if subnet:
        record.body["properties"].pop("subnet", None)
        record.body["properties"]["subnet"] = subnet
    setup_secrets = {name: value for name, value in cleaned.secrets.items() if ".setupTask." in name}
    with service.store.transaction():
        parents.reserve(service, record)
        if setup_secrets:
            service.vault.seal(record.key, setup_secrets)
        operation = service.operations.done(f"{call.subscription}${call.group}${workspace.name}${call.name}")
    service.fleet.create(record)
    reply = operations.accepted(call.base_url, call.subscription, workspace.body["location"], operation)
    return replies.advise(reply, "; ".join(filter(None, (_fewer_gpus(service, record), _not_reported(cleaned)))))


def _set_up_nodes(call: Call, record: Record, cleaned: Cleaned) -> None:
    """Check the node set-up and give the setup task its output path (wire.md 2)."""
    setup = cleaned.body.get("nodeSetup", {})
    volumes.check(setup.get("mountVolumes", {}), "properties.nodeSetup.mountVolumes")
    task = setup.get("setupTask")
    if task:
        if any("valueSecretReference" in secret for secret in task.get("secrets", ())):
            raise not_supported("Key Vault references are not supported: give the secret's value.")
        segment = record.body["id"].split("/providers/", 1)[1].split("/", 1)[1]
        task["stdOutErrPathSuffix"] = f"{call.subscription}/{call.group}/{segment}/{uuid.uuid4()}"


def _fewer_gpus(service: Service, record: Record) -> str:
    """What the user should know of the cluster's VM size on its engine; '' where there is nothing to say."""
    vm_size = record.properties["vmSize"]
    size, gpus = vm_sizes.look_up(vm_size), service.engines.of(record).gpu_count()
    if not size:
        return f"VM size {vm_size} is not in the catalogue: its nodes have no GPUs and count as one vCPU"
    if gpus is not None and size.gpus > gpus:
        found = f"has {gpus}" if gpus else "has none"
        return (
            f"VM size {vm_size} has {size.gpus} GPU(s) a node, this machine {found}: "
            "AZ_BATCHAI_NUM_GPUS says what a node really gets"
        )
    return ""


def _not_reported(cleaned: Cleaned) -> str:
    if "performanceCountersSettings" in cleaned.body.get("nodeSetup", {}):
        return "performance counters are not reported to Application Insights"
    return ""


def _inherited_subnet(service: Service, properties: dict[str, Any]) -> dict[str, Any] | None:
    """A cluster that mounts a file server is in its subnet (wire.md 1.5)."""
    mounts = properties.get("nodeSetup", {}).get("mountVolumes", {})
    for reference in mounts.get("fileServers", ()):
        server = service.store.get(key_of(reference["fileServer"]["id"]))
        if server:
            subnet: dict[str, Any] | None = server.properties.get("subnet")
            return subnet
    return None


async def update(service: Service, call: Call) -> Reply:
    """PATCH of the scale settings: 200 with the new settings and the old allocation state (wire.md 1.3)."""
    record = NESTED.find(service, call)
    parents.refuse_under_deletion(service, record.key)
    settings = clean(_PATCH, call.properties()).body["scaleSettings"]
    quotas.check_target(service, record.properties["vmSize"], settings)
    before = project(service, record)
    record.properties["scaleSettings"] = settings
    with service.store.transaction():
        service.store.update(record)
    before["properties"]["scaleSettings"] = settings
    controller = service.fleet.get(record.key)
    if controller:
        controller.rescale(settings)
    return replies.resource(record, before)


async def list_remote_login(service: Service, call: Call) -> Reply:
    """Node ids with the address and port of their SSH endpoints (wire.md 1.3)."""
    record = NESTED.find(service, call)
    controller = service.fleet.get(record.key)
    return paging.item_page(call, controller.nodes.remote_login() if controller else [])

