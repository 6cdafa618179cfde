"""`az batchai cluster node` and `az batchai job node`: nodes, and work on one of them over SSH."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.cli.core.azclierror import RequiredArgumentMissingError, ResourceNotFoundError

from azext_batchai.ssh import connection, forward, passwords
from azext_batchai.transport.arm import locate


def list_nodes(  # pylint: disable=unused-argument
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, cluster_name: str
) -> list[Any]:
    return list(client.list_remote_login_information(resource_group_name, workspace_name, cluster_name))


def list_job_nodes(
    client: Any, resource_group_name: str, workspace_name: str, experiment_name: str, job_name: str
) -> list[Any]:
    return list(
        client.jobs.list_remote_login_information(resource_group_name, workspace_name, experiment_name, job_name)
    )


def exec_on_job_node(  # pylint: disable=too-many-locals
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    node_id: str | None = None,
    exec_command: str | None = None,
    address: Any = None,
    ssh_private_key: str | None = None,
    password: str | None = None,
) -> None:
    """The same on a node of a job: the first one, or the one named."""
    task = _Task(exec_command, forward.parse(address), ssh_private_key, password)
    where = (resource_group_name, workspace_name, experiment_name, job_name)
    cluster = locate(client.jobs.get(*where).cluster.id, "", "")
    login = find_node(nodes_of_job(client, where), node_id, f"Job '{job_name}'")
    _carry_out(cmd, client.clusters, cluster, login, task)


def exec_on_node(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    node_id: str | None = None,
    exec_command: str | None = None,
    address: Any = None,
    ssh_private_key: str | None = None,
    password: str | None = None,
) -> None:
    """Run a command on a node, forward ports to it, or both: then the ports are forwarded while the command runs.

    Ends az with the exit status of the command where that is not 0 (128+n for signal n, 130 after Ctrl-C).
    """
    task = _Task(exec_command, forward.parse(address), ssh_private_key, password)
    where = (resource_group_name, workspace_name, cluster_name)
    login = find_node(nodes_of_cluster(client, where), node_id, f"Cluster '{cluster_name}'")
    _carry_out(cmd, client, where, login, task)


def nodes_of_cluster(client: Any, where: tuple[str, str, str]) -> list[Any]:
    """Login information of the cluster's nodes. Raises ResourceNotFoundError where there is none."""
    logins = list(client.list_remote_login_information(*where))
    if logins:
        return logins
    group, workspace, cluster = where
    raise ResourceNotFoundError(
        f"Cluster '{cluster}' has no nodes now.",
        recommendation=f"Give it some with `az batchai cluster resize -g {group} -w {workspace} -n {cluster} "
        "--target 1`, or wait until auto-scale brings one up for a job.",
    )


def nodes_of_job(client: Any, where: tuple[str, str, str, str]) -> list[Any]:
    """Login information of the job's nodes, in the order of ranks. Raises ResourceNotFoundError where there is none."""
    logins = list_job_nodes(client, *where)
    if logins:
        return logins
    raise ResourceNotFoundError(
        f"Job '{where[-1]}' has no nodes now.",
        recommendation="It has them while it runs: see `az batchai job show`.",
    )


@dataclass(frozen=True)
class _Task:
    """What to do on a node, and how to log in to it."""

    command: str | None
    forwards: list[forward.Forward]
    key_file: str | None
    password: str | None

    def __post_init__(self) -> None:
        if not self.command and not self.forwards:
            raise RequiredArgumentMissingError(
                "Nothing to do on the node: neither --exec nor --address/-L is given.",
                recommendation="Give a command, for example --exec 'nvidia-smi', or a forward, for example "
                "-L 8080:localhost:8080, or both.",
            )


def _carry_out(cmd: Any, clusters: Any, where: tuple[str, str, str], login: Any, task: _Task) -> None:
    cluster = clusters.get(*where)
    user = cluster.user_account_settings.admin_user_name
    node = connection.Node(
        node_id=login.node_id,
        address=login.ip_address,
        port=int(login.port),
        user_name=user,
        known_hosts=known_hosts(Path(cmd.cli_ctx.config.config_dir), cluster.id),
    )
    question = f"Password of {user} on node {login.node_id}: "
    password = passwords.chosen(task.password, connection.PASSWORD_VARIABLE, question)
    status = connection.run(node, connection.Credentials(task.key_file, password), task.command, task.forwards)
    if status:
        sys.exit(status)


def find_node(logins: list[Any], node_id: str | None, whose: str) -> Any:
    """Return the login information of the node with this id, of the first one without."""
    if node_id is None:
        return logins[0]
    for login in logins:
        if login.node_id == node_id:
            return login
    raise ResourceNotFoundError(
        f"{whose} has no node '{node_id}'.",
        recommendation=f"Its nodes are: {', '.join(login.node_id for login in logins)}.",
    )


def known_hosts(config_dir: Path, cluster_id: str) -> Path:
    """Return the file of a cluster's host keys: readable names, and a digest since names repeat and ids are long."""
    names = cluster_id.lower().strip("/").split("/")
    digest = hashlib.sha256("/".join(names).encode()).hexdigest()[:12]
    readable = re.sub(r"[^\w.-]", "_", "-".join(names[-3::2]))
    return config_dir / "batchai" / "known_hosts" / f"{readable}-{digest}"
