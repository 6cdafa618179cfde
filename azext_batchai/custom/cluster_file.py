"""az batchai cluster file ...: what the setup task of a cluster wrote, read from its storage account."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import posixpath
import sys
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.storage import data_plane, places
from azext_batchai.transport.http import session as http_session

logger = get_logger(__name__)
# What a folder is called that is not there (yet).
_NO_FOLDER = {"ResourceNotFound", "ParentNotFound"}


def list_files(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    path: str = ".",
    expiry: int = 60,
) -> list[dict[str, Any]]:
    """List a folder of the setup task's output; the keys are those that the command has always had."""
    cluster = client.clusters.get(resource_group_name, workspace_name, cluster_name)
    return setup_files(client, clients.is_local(cmd.cli_ctx), cluster, str(path), int(expiry))


def setup_files(client: Any, is_local: bool, cluster: Any, path: str = ".", expiry: int = 60) -> list[dict[str, Any]]:
    """A folder of the output of an SDK Cluster's setup task, with links for `expiry` minutes; [] where it has none.

    `is_local`: a person at a terminal is told the folder of this machine.
    """
    task = cluster.node_setup.setup_task if cluster.node_setup else None
    if not task:
        return []
    place = _locate(client, is_local, cluster, task, path)
    if place.local and sys.stderr.isatty():
        logger.warning("These files are in %s", place.local)
    try:
        entries = list(place.folder.list(http_session(), place.path))
    except data_plane.StorageError as error:
        if error.code in _NO_FOLDER:
            return []
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(
            str(error), recommendation="Check that its share or container exists and that its firewall lets you in."
        ) from error
    return [
        {
            "name": entry.name,
            "download_url": None if entry.is_folder else place.folder.link(entry, place.path, expiry),
            "is_directory": entry.is_folder,
            "size": entry.size,
        }
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]


def _locate(client: Any, is_local: bool, cluster: Any, task: Any, path: str) -> places.Place:
    """Where a path of the task's output is. Raises InvalidArgumentValueError where it is on no share or container."""
    prefix = posixpath.normpath(task.std_out_err_path_prefix or "")
    inside = posixpath.normpath(path.replace("\\", "/"))
    if inside.startswith(("/", "..")):
        raise _refusal(f"--path '{path}' is not below the output folder of the setup task.", "Give a relative path.")
    if task.std_out_err_path_suffix:
        whole = posixpath.join(prefix, task.std_out_err_path_suffix, inside)
        place = places.locate(client, is_local, cluster.node_setup.mount_volumes, whole)
        if place:
            return place
    raise _refusal(
        f"The output of the setup task is in {prefix}, not on an Azure file share or blob container of the cluster.",
        "Files can be listed there only. Log in to a node to see others (`az batchai cluster node exec`), "
        "or create the cluster with a --setup-task-output below the mount path of a share or container.",
    )


def _refusal(message: str, recommendation: str) -> Exception:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    return InvalidArgumentValueError(message, recommendation=recommendation)
