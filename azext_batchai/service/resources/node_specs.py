"""What an engine needs to know of a cluster's node."""

from __future__ import annotations

from dataclasses import replace

from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import NodeSpec, SetupTask
from azext_batchai.service.resources import accounts, vm_sizes, volumes
from azext_batchai.service.store import Record


def of(service: Service, cluster_key: str, node: Record) -> NodeSpec:
    """The node without its volumes: enough to allocate it."""
    cluster = service.store.get(cluster_key)
    assert cluster
    login = accounts.login(cluster.properties["userAccountSettings"], cluster.internal["login"])
    task = cluster.properties.get("nodeSetup", {}).get("setupTask")
    setup = None
    if task:
        setup = SetupTask(
            task["commandLine"],
            environment(service, cluster, task, "properties.nodeSetup.setupTask"),
            task["stdOutErrPathPrefix"],
            task["stdOutErrPathSuffix"],
        )
    size = vm_sizes.look_up(cluster.properties["vmSize"])
    return NodeSpec(
        node.name,
        cluster_key,
        login,
        (),
        setup,
        node.internal["port"],
        size.gpus if size else 0,
        tuple(node.internal.get("gpus", ())),
    )


def _address(number: int) -> str:
    """A loopback address for the machine's node `number`: nodes are told apart by it, as by an IP address in Azure."""
    number = 4 + number % (1 << 22)  # in Azure the first node of a subnet is .4
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def addresses(service: Service, job: Record) -> list[str]:
    """Addresses of the nodes that a job runs on, the master's first."""
    found = []
    for name in job.internal["nodes"]:
        node = service.store.get(f"{job.internal['cluster']}/nodes/{name}".lower())
        found.append(_address(node.seq) if node else "127.0.0.1")
    return found


def mounted(service: Service, cluster_key: str, spec: NodeSpec) -> NodeSpec:
    """The node with its volumes. Raises TaskError for one that cannot be mounted."""
    cluster = service.store.get(cluster_key)
    assert cluster
    found = volumes.resolve(service, cluster.properties.get("nodeSetup", {}).get("mountVolumes", {}))
    return replace(spec, volumes=tuple(found))


def environment(service: Service, owner: Record, settings: dict[str, object], path: str) -> dict[str, str]:
    """The user's environment variables and secrets of a job or a setup task."""
    sealed = service.vault.open(owner.key) or {}
    variables: dict[str, str] = {}
    plain = settings.get("environmentVariables", [])
    secret = settings.get("secrets", [])
    assert isinstance(plain, list) and isinstance(secret, list)
    for entry in plain:
        variables[entry["name"]] = entry["value"]
    for index, entry in enumerate(secret):
        variables[entry["name"]] = sealed.get(f"{path}.secrets[{index}].value", "")
    return variables
