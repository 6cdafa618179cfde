"""Jobs (wire.md 1.4, 2): create, read, terminate, delete. Their states change in `job_states`."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath
from typing import Any

from azext_batchai.service import toolkits
from azext_batchai.service.arm import operations, paging, replies
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request, conflict, not_found, not_supported
from azext_batchai.service.arm.ids import batchai_id, key_of
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.arm.schema import Cleaned, clean
from azext_batchai.service.clock import wire_now
from azext_batchai.service.model import job_states, parents
from azext_batchai.service.resources import experiments, volumes, workspaces
from azext_batchai.service.resources.engine_choice import check_job
from azext_batchai.service.resources.job_advice import advice
from azext_batchai.service.resources.job_schema import JOB
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

KIND = "job"


def find(service: Service, call: Call) -> Record:
    """The job that the path names. Raises ArmError 404, for a missing parent too."""
    experiments.find(service, call)
    record = service.store.get(key_of(_id(call)))
    if not record:
        raise not_found("job", call.names[2])
    return record


def _id(call: Call) -> str:
    names = call.names
    return batchai_id(call.subscription, call.group, "workspaces", names[0], "experiments", names[1], "jobs", names[2])


async def create(service: Service, call: Call) -> Reply:
    """202; the same body again gives 200 and the job as it was created, another one 409 (wire.md 1.4)."""
    workspace = workspaces.find(service, call)
    experiment = experiments.NESTED.find_below(service, call)
    parents.refuse_under_deletion(service, experiment.key)
    given = call.properties()
    cleaned = _checked(given)
    fingerprint = service.vault.fingerprint(given)
    existing = service.store.get(key_of(_id(call)))
    if existing:
        parents.refuse_under_deletion(service, existing.key)
        if existing.internal["fingerprint"] != fingerprint:
            raise conflict(f"The job {existing.name} already exists with other properties.")
        await service.store.on_disk()  # the request that made it may still wait for that
        return replies.resource(existing, _as_created(existing))
    cluster_key = key_of(cleaned.body["cluster"]["id"])
    cluster = service.store.get(cluster_key)
    if not cluster or cluster.kind != "cluster":
        raise not_found("cluster", cleaned.body["cluster"]["id"].rstrip("/").rsplit("/", 1)[-1])
    parents.refuse_under_deletion(service, cluster.key)
    limited = "maxWallClockTime" in given.get("constraints", {})
    check_job(service, cluster, cleaned.body, limited)
    body = _body(call, workspace, experiment, cleaned)
    record = Record(key_of(body["id"]), KIND, experiment.key, body)
    record.internal = {"fingerprint": fingerprint, "cluster": cluster_key, "attempt": 0, "nodes": []}
    record.internal["engine"] = cluster.internal["engine"]
    record.internal["limited"] = limited
    record.internal["sealed"] = bool(cleaned.secrets)
    with service.store.transaction(durable=False):
        parents.reserve(service, record)
        if cleaned.secrets:
            service.vault.seal(record.key, cleaned.secrets)
        operation = service.operations.done(
            f"{call.subscription}${call.group}${workspace.name}${experiment.name}${call.name}"
        )
    service.fleet.enqueue(record)
    await service.store.on_disk()  # it is begun meanwhile, as in a crash of the machine it would be gone with that
    reply = operations.accepted(call.base_url, call.subscription, workspace.body["location"], operation)
    return replies.advise(reply, advice(body["properties"], cluster.properties))


def _checked(given: dict[str, Any]) -> Cleaned:
    """Raises ArmError 400 for a wrong body and 501 for what cannot be run."""
    cleaned = clean(JOB, given)
    toolkits.fill(cleaned.body)
    volumes.check(cleaned.body.get("mountVolumes", {}), "properties.mountVolumes")
    registry = cleaned.body.get("containerSettings", {}).get("imageSourceRegistry", {})
    if "passwordSecretReference" in registry.get("credentials", {}):
        raise not_supported("Key Vault references are not supported: give the registry's password.")
    if any("valueSecretReference" in secret for secret in cleaned.body.get("secrets", ())):
        raise not_supported("Key Vault references are not supported: give the secret's value.")
    ids = [directory["id"] for directory in cleaned.body.get("outputDirectories", ())]
    if len(set(ids)) != len(ids) or "stdouterr" in ids:
        raise bad_request("'properties.outputDirectories' ids must be unique and not 'stdouterr'.", "outputDirectories")
    for index, directory in enumerate(cleaned.body.get("outputDirectories", ())):
        if ".." in PurePosixPath(directory.get("pathSuffix", "")).parts:
            path = f"properties.outputDirectories[{index}].pathSuffix"
            raise bad_request(f"'{path}' is '{directory['pathSuffix']}': it must not contain '..'.", path)
    return cleaned


def _body(call: Call, workspace: Record, experiment: Record, cleaned: Cleaned) -> dict[str, Any]:
    segments = ("workspaces", workspace.name, "experiments", experiment.name, "jobs", call.name)
    properties: dict[str, Any] = {"experimentName": experiment.name}
    for name, value in cleaned.body.items():
        if name == "nodeCount":
            properties["jobOutputDirectoryPathSegment"] = (
                f"{call.subscription}/{call.group}/{'/'.join(segments)}/{uuid.uuid4()}"
            )
        if name in toolkits.BY_SETTINGS:
            properties["toolType"] = toolkits.BY_SETTINGS[name].TOOL_TYPE
        properties[name] = value
    now = wire_now()
    properties["creationTime"] = now
    properties["provisioningState"] = "succeeded"
    properties["provisioningStateTransitionTime"] = now
    properties["executionState"] = "queued"
    properties["executionStateTransitionTime"] = now
    return {
        "id": batchai_id(call.subscription, call.group, *segments),
        "name": call.name,
        "type": "Microsoft.BatchAI/workspaces/experiments/jobs",
        "properties": properties,
    }


def _as_created(record: Record) -> dict[str, Any]:
    """A replayed PUT shows the job frozen at its creation (wire.md 1.4)."""
    properties = dict(record.properties)
    properties.pop("executionInfo", None)
    properties["executionState"] = "queued"
    properties["executionStateTransitionTime"] = properties["creationTime"]
    return {**record.body, "properties": properties}


async def get(service: Service, call: Call) -> Reply:
    record = find(service, call)
    return replies.resource(record, record.body)


async def list_by_experiment(service: Service, call: Call) -> Reply:
    parent = experiments.find(service, call).key
    return paging.record_page(
        call, lambda after, limit: service.store.children(parent, KIND, after, limit), lambda record: record.body
    )


async def list_remote_login(service: Service, call: Call) -> Reply:
    """The nodes that the job runs on (swagger only: never recorded live)."""
    record = find(service, call)
    controller = service.fleet.get(record.internal["cluster"])
    logins = controller.nodes.remote_login() if controller else []
    nodes = record.internal["nodes"] if record.properties["executionState"] in ("running", "terminating") else []
    return paging.item_page(call, [login for login in logins if login["nodeId"] in nodes])


async def terminate(service: Service, call: Call) -> Reply:
    """202 for a job that has not ended; 200 and nothing for one that has (wire.md 1.4)."""
    record = find(service, call)
    if record.properties["executionState"] in job_states.ENDED:
        return replies.empty(200)
    location = workspaces.location_of(service, call)
    resource_id = f"{call.subscription}${call.group}${'$'.join(call.names)}"
    with service.store.transaction():
        running = service.fleet.terminate(record)
        if running:
            operation = service.operations.begin(resource_id)
            job_states.note_operation(service, record.key, operation)
        else:
            operation = service.operations.done(resource_id)
    if running:
        service.fleet.finish_terminating(record, operation)
    else:
        service.fleet.dequeue(record)
    return operations.accepted(call.base_url, call.subscription, location, operation)


async def delete(service: Service, call: Call) -> Reply:
    """202; a job that runs is ended first (wire.md 1.4)."""
    location = workspaces.location_of(service, call)
    experiments.find(service, call)
    record = service.store.get(key_of(_id(call)))
    if not record:
        return replies.empty(204)
    resource_id = f"{call.subscription}${call.group}${'$'.join(call.names)}"
    operation = service.deletions.begin(record, resource_id)
    return operations.accepted(call.base_url, call.subscription, location, operation)
