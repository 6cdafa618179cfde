"""From a job's record to the plan that an engine launches."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import Container, JobPlan, TaskError
from azext_batchai.service.resources import node_specs, volumes
from azext_batchai.service.store import Record
from azext_batchai.service.toolkits import launch_plan, ports_needed


def plan_of(service: Service, record: Record) -> JobPlan:
    """How a job is to be launched. Raises TaskError for a volume that cannot be mounted."""
    properties = record.properties
    segments = record.body["id"].split("/")
    container = _container(service, record)
    notes: tuple[str, ...] = ()
    if container and service.settings.containers_on_host:
        notes = (
            f"container image {container.image} is not used: AZURE_BATCHAI_CONTAINERS_ON_HOST runs the job on the node",
        )
        container = None
    addresses = node_specs.addresses(service, record)
    return JobPlan(
        job_key=record.key,
        attempt=record.internal["attempt"],
        workspace=segments[-5],
        experiment=segments[-3],
        name=record.name,
        node_ids=tuple(record.internal["nodes"]),
        addresses=tuple(addresses),
        volumes=tuple(volumes.resolve(service, properties.get("mountVolumes", {}))),
        output_prefix=properties["stdOutErrPathPrefix"],
        output_segment=properties["jobOutputDirectoryPathSegment"],
        directories=tuple(
            (entry["id"], entry["pathPrefix"], entry.get("pathSuffix", ""))
            for entry in properties.get("outputDirectories", ())
        ),
        inputs=tuple((entry["id"], entry["path"]) for entry in properties.get("inputDirectories", ())),
        environment=node_specs.environment(service, record, properties, "properties"),
        preparation=properties.get("jobPreparation", {}).get("commandLine"),
        processes=launch_plan(properties, addresses, _ports(service, record)),
        container=container,
        notes=notes,
    )


def _container(service: Service, record: Record) -> Container | None:
    settings = record.properties.get("containerSettings")
    if not settings:
        return None
    source = settings["imageSourceRegistry"]
    sealed = service.vault.open(record.key) or {}
    return Container(
        source["image"],
        source.get("serverUrl", ""),
        source.get("credentials", {}).get("username", ""),
        sealed.get("properties.containerSettings.imageSourceRegistry.credentials.password", ""),
        settings.get("shmSize", ""),
    )


def _ports(service: Service, record: Record) -> list[int]:
    """Ports for the job's processes, chosen once for each attempt: a restarted service must tell the same ones."""
    count = ports_needed(record.properties)
    chosen: dict[str, list[int]] = record.internal.setdefault("ports", {})
    attempt = str(record.internal["attempt"])
    if count and attempt not in chosen:
        record.internal["ports"] = {attempt: free_ports(count)}
        with service.store.transaction():
            service.store.update(record, touch=False)
    ports: list[int] = record.internal["ports"].get(attempt, [])
    return ports


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment, on any address of this machine.

    They lie below the range from which the system gives ports to outgoing connections: one of those could take a port
    before the job's process does.
    """
    found: list[int] = []
    candidates = range(10000, _first_ephemeral_port())
    for port in random.sample(candidates, len(candidates)):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise TaskError("NoFreePorts", "There are not enough free ports for the job's processes")


def _first_ephemeral_port() -> int:
    try:
        return max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]), 11000)
    except OSError:
        return 32768
