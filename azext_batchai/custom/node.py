"""`az batchai cluster node`: the nodes of a cluster, and work on one of them over SSH."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from azure.cli.core.azclierror import RequiredArgumentMissingError, ResourceNotFoundError

from azext_batchai import _ssh, _ssh_forward


def list_nodes(cmd: Any, client: Any, resource_group_name: str, workspace_name: str, cluster_name: str) -> list[Any]:
    return list(client.list_remote_login_information(resource_group_name, workspace_name, cluster_name))


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
    forwards = _ssh_forward.parse(address)
    if not exec_command and not forwards:
        raise RequiredArgumentMissingError(
            "Nothing to do on the node: neither --exec nor --address/-L is given.",
            recommendation="Give a command, for example --exec 'nvidia-smi', or a forward, for example "
            "-L 8080:localhost:8080, or both.",
        )
    where = (resource_group_name, workspace_name, cluster_name)
    login = _choose(list(client.list_remote_login_information(*where)), node_id, where)
    cluster = client.get(*where)
    node = _ssh.Node(
        node_id=login.node_id,
        address=login.ip_address,
        port=int(login.port),
        user_name=cluster.user_account_settings.admin_user_name,
        known_hosts=_known_hosts(Path(cmd.cli_ctx.config.config_dir), cluster.id),
    )
    credentials = _ssh.Credentials(ssh_private_key, password or os.environ.get(_ssh.PASSWORD_VARIABLE) or None)
    status = _ssh.run(node, credentials, exec_command, forwards)
    if status:
        sys.exit(status)


def _choose(logins: list[Any], node_id: str | None, where: tuple[str, str, str]) -> Any:
    """Return the login information of the node with this id, of the first one without."""
    group, workspace, cluster = where
    if not logins:
        raise ResourceNotFoundError(
            f"Cluster '{cluster}' has no nodes now.",
            recommendation=f"Give it some with `az batchai cluster resize -g {group} -w {workspace} -n {cluster} "
            "--target 1`, or wait until auto-scale brings one up for a job.",
        )
    if node_id is None:
        return logins[0]
    for login in logins:
        if login.node_id == node_id:
            return login
    raise ResourceNotFoundError(
        f"Cluster '{cluster}' has no node '{node_id}'.",
        recommendation=f"Its nodes are: {', '.join(login.node_id for login in logins)}.",
    )


def _known_hosts(config_dir: Path, cluster_id: str) -> Path:
    """Return the file of a cluster's host keys: readable names, and a digest since names repeat and ids are long."""
    names = cluster_id.lower().strip("/").split("/")
    digest = hashlib.sha256("/".join(names).encode()).hexdigest()[:12]
    readable = re.sub(r"[^\w.-]", "_", "-".join(names[-3::2]))
    return config_dir / "batchai" / "known_hosts" / f"{readable}-{digest}"
