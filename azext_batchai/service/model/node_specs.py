"""What an engine needs to know of a cluster's node."""

from __future__ import annotations

from azext_batchai.service.engine.base import NodeSetup, NodeSpec, SetupTask
from azext_batchai.service.model import vm_sizes
from azext_batchai.service.model.logins import login_of
from azext_batchai.service.model.mounts import volumes_of
from azext_batchai.service.state import State
from azext_batchai.service.store import Record


def spec_of(cluster: Record, node: Record) -> NodeSpec:
    """Enough to allocate the node."""
    size = vm_sizes.look_up(cluster.properties["vmSize"])
    return NodeSpec(
        node_id=node.name,
        number=node.seq,
        cluster_key=cluster.key,
        vm_size=cluster.properties["vmSize"],
        low_priority=cluster.properties["vmPriority"] == "lowpriority",
        login=login_of(cluster.properties["userAccountSettings"], cluster.internal["login"]),
        gpus=size.gpus if size else 0,
        held=node.internal["held"],
    )


def setup_of(state: State, cluster: Record) -> NodeSetup:
    """What makes a node of the cluster ready. Raises TaskError for a volume that cannot be mounted."""
    setup = cluster.properties.get("nodeSetup", {})
    task = None
    if "setupTask" in setup:
        settings = setup["setupTask"]
        task = SetupTask(
            settings["commandLine"],
            environment(state, cluster, settings, "properties.nodeSetup.setupTask"),
            settings["stdOutErrPathPrefix"],
            settings["stdOutErrPathSuffix"],
        )
    return NodeSetup(tuple(volumes_of(state, setup.get("mountVolumes", {}))), task)


def environment(state: State, owner: Record, settings: dict[str, object], path: str) -> dict[str, str]:
    """The user's environment variables and secrets of a job or a setup task."""
    variables: dict[str, str] = {}
    plain = settings.get("environmentVariables", [])
    secret = settings.get("secrets", [])
    assert isinstance(plain, list) and isinstance(secret, list)
    sealed = secret and state.vault.open(owner.key) or {}
    for entry in plain:
        variables[entry["name"]] = entry["value"]
    for index, entry in enumerate(secret):
        variables[entry["name"]] = sealed.get(f"{path}.secrets[{index}].value", "")
    return variables
