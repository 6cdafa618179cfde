"""`az batchai cluster node ssh`, `cluster node ssh-config` and `job node ssh`: nodes by the OpenSSH client."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line import report
from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.custom import node as nodes
from azext_batchai.local import program
from azext_batchai.ssh import connection, forward, openssh
from azext_batchai.transport.arm import locate

logger = get_logger(__name__)


def ssh_to_node(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    words: list[str] | None = None,
    node_id: str | None = None,
    address: Any = None,
    ssh_private_key: str | None = None,
) -> None:
    """Open a shell on a node, or run a command there; ends az as ssh ends."""
    forwards = forward.parse(address)
    where = (resource_group_name, workspace_name, cluster_name)
    login = nodes.find_node(nodes.nodes_of_cluster(client, where), node_id, f"Cluster '{cluster_name}'")
    _enter(_node(cmd, client.get(*where), login), ssh_private_key, forwards, words)


def ssh_to_job_node(  # pylint: disable=too-many-locals
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    words: list[str] | None = None,
    rank: str | None = None,
    node_id: str | None = None,
    address: Any = None,
    ssh_private_key: str | None = None,
) -> None:
    """The same on a node of a job: that of a rank, the one named, or the first."""
    from azext_batchai.jobs import ranks

    forwards = forward.parse(address)
    where = (resource_group_name, workspace_name, experiment_name, job_name)
    job = client.jobs.get(*where)
    logins = nodes.nodes_of_job(client, where)
    if rank is not None:
        index = ranks.node_index(job, rank)
        if index is None or index >= len(logins):
            from azure.cli.core.azclierror import InvalidArgumentValueError

            raise InvalidArgumentValueError(
                f"Job '{job_name}' has no rank '{rank}'.",
                recommendation=f"Its ranks are: {', '.join(ranks.world(job))}.",
            )
        node_id = logins[index].node_id
    login = nodes.find_node(logins, node_id, f"Job '{job_name}'")
    cluster = client.clusters.get(*locate(job.cluster.id, "", ""))
    _enter(_node(cmd, cluster, login), ssh_private_key, forwards, words)


def show_ssh_config(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    write: bool = False,
    ssh_private_key: str | None = None,
) -> Any:
    """Print the hosts CLUSTER-0, CLUSTER-1, ... for ~/.ssh/config, or write them there; with --output return them."""
    where = (resource_group_name, workspace_name, cluster_name)
    cluster = client.get(*where)
    logins = nodes.nodes_of_cluster(client, where)
    hosts = {f"{cluster.name}-{index}": _node(cmd, cluster, login) for index, login in enumerate(logins)}
    for node in hosts.values():
        node.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = openssh.config(hosts, ssh_private_key)
    if write:
        file = openssh.write_config(next(iter(hosts.values())).known_hosts.name, text)
        logger.warning("%s has the hosts %s. Write them again when nodes have come or gone.", file, ", ".join(hosts))
    if not report.is_wanted(cmd.cli_ctx):
        return [
            {"host": name, "nodeId": node.node_id, "hostName": node.address, "port": node.port, "user": node.user_name}
            for name, node in hosts.items()
        ]
    if not write:
        sys.stdout.write(text)
    return None


def _node(cmd: Any, cluster: Any, login: Any) -> connection.Node:
    return connection.Node(
        node_id=login.node_id,
        address=login.ip_address,
        port=int(login.port),
        user_name=cluster.user_account_settings.admin_user_name,
        known_hosts=nodes.known_hosts(Path(cmd.cli_ctx.config.config_dir), cluster.id),
    )


def _enter(node: connection.Node, key_file: str | None, forwards: list[forward.Forward], words: Any) -> None:
    line = openssh.command(node, key_file, forwards, words or ())
    try:
        for one in forwards:
            logger.warning("Forwarding %s to %s of the node.", one.local, one.remote)
        sys.stdout.flush()
        status = program.run(line, os.environ)
    except KeyboardInterrupt:  # before ssh had it
        status = ExitStatus.INTERRUPTED
    if status:
        sys.exit(status)
