"""From a job's record, and the nodes it got, to the plan that an engine launches."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from azext_batchai.service.engine.base import Container, JobPlan, TaskError
from azext_batchai.service.model import node_specs
from azext_batchai.service.model.mounts import volumes_of
from azext_batchai.service.state import State
from azext_batchai.service.store import Record
from azext_batchai.service.toolkits import launch_plan

log = logging.getLogger(__name__)


def plan_of(state: State, record: Record, addresses: Sequence[str], ports: Sequence[int], resume: bool) -> JobPlan:
    """How a job is to be launched on its nodes, whose addresses are given, the master's first.

    Raises TaskError for a volume that cannot be mounted; one that is to be taken up again goes on without.
    """
    properties = record.properties
    segments = record.body["id"].split("/")
    container = _container(state, record)
    notes: list[str] = []
    again = record.internal.get("requeued")
    if again:
        notes.append(f"the job runs again: {again}")
    if container and state.settings.containers_on_host:
        notes.append(
            f"container image {container.image} is not used: AZURE_BATCHAI_CONTAINERS_ON_HOST runs the job on the node"
        )
        container = None
    notes += _unused_image(state, record)
    mounts = properties.get("mountVolumes", {})
    try:
        volumes = volumes_of(state, mounts)
    except TaskError as exc:
        if not resume:
            raise
        log.warning("job %s is taken up without file servers: %s %s", record.key, exc.message, exc.details)
        volumes = volumes_of(state, {**mounts, "fileServers": ()})
    return JobPlan(
        job_key=record.key,
        attempt=record.internal["attempt"],
        workspace=segments[-5],
        experiment=segments[-3],
        name=record.name,
        node_ids=tuple(record.internal["nodes"]),
        addresses=tuple(addresses),
        volumes=tuple(volumes),
        output_prefix=properties["stdOutErrPathPrefix"],
        output_segment=properties["jobOutputDirectoryPathSegment"],
        directories=tuple(
            (entry["id"], entry["pathPrefix"], entry.get("pathSuffix", ""))
            for entry in properties.get("outputDirectories", ())
        ),
        inputs=tuple((entry["id"], entry["path"]) for entry in properties.get("inputDirectories", ())),
        environment=node_specs.environment(state, record, properties, "properties"),
        preparation=properties.get("jobPreparation", {}).get("commandLine"),
        processes=launch_plan(properties, list(addresses), list(ports)),
        container=container,
        notes=tuple(notes),
    )


def _unused_image(state: State, record: Record) -> list[str]:
    """What an engine that gives nodes of its own makes of the cluster's image: nothing."""
    if record.internal.get("engine", "local") == "local":
        return []
    cluster = state.store.get(record.internal["cluster"])
    if not cluster:
        return []
    image = cluster.properties["virtualMachineConfiguration"].get("imageReference", {})
    name = " ".join(str(image[key]) for key in ("publisher", "offer", "sku", "version") if image.get(key))
    return [f"image {name or 'of the cluster'} is not used: nodes of engine {record.internal['engine']} have their own"]


def _container(state: State, record: Record) -> Container | None:
    settings = record.properties.get("containerSettings")
    if not settings:
        return None
    source = settings["imageSourceRegistry"]
    sealed = state.vault.open(record.key) or {}
    return Container(
        source["image"],
        source.get("serverUrl", ""),
        source.get("credentials", {}).get("username", ""),
        sealed.get("properties.containerSettings.imageSourceRegistry.credentials.password", ""),
        settings.get("shmSize", ""),
    )
