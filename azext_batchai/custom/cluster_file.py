"""az batchai cluster file ...: what the setup task of a cluster wrote, read from its storage account."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azext_batchai.storage import accounts, data_plane
from azext_batchai.transport.arm import STORAGE_API, Arm
from azext_batchai.transport.http import session as http_session

_MOUNT_ROOT = "$AZ_BATCHAI_MOUNT_ROOT"
# What a folder is called that is not there (yet).
_NO_FOLDER = {"ResourceNotFound", "ParentNotFound"}


def list_files(
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    path: str = ".",
    expiry: int = 60,
) -> list[dict[str, Any]]:
    """List a folder of the setup task's output; the keys are those that the command has always had."""
    cluster = client.clusters.get(resource_group_name, workspace_name, cluster_name)
    task = cluster.node_setup.setup_task if cluster.node_setup else None
    if not task:
        return []
    place = _locate(client, cluster, task, str(path))
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
            "download_url": None if entry.is_folder else place.folder.link(entry, place.path, int(expiry)),
            "is_directory": entry.is_folder,
            "size": entry.size,
        }
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]


@dataclass(frozen=True)
class _Place:
    folder: data_plane.Share | data_plane.Container
    path: str


def _locate(client: Any, cluster: Any, task: Any, path: str) -> _Place:
    """The share or container and the path in it. Raises InvalidArgumentValueError where it is neither."""
    prefix = posixpath.normpath(task.std_out_err_path_prefix or "")
    volumes = cluster.node_setup.mount_volumes
    suffix = task.std_out_err_path_suffix
    inside = posixpath.normpath(path.replace("\\", "/"))
    if inside.startswith(("/", "..")):
        raise _refusal(f"--path '{path}' is not below the output folder of the setup task.", "Give a relative path.")
    if volumes and suffix:
        for share in volumes.azure_file_shares or []:
            rest = _below(prefix, share.relative_mount_path)
            if rest is not None:
                account = _account(client, share.account_name, "file")
                name, _, root = urlsplit(share.azure_file_url).path.strip("/").partition("/")
                return _Place(account.share(name), posixpath.normpath(posixpath.join(root, rest, suffix, inside)))
        for blobs in volumes.azure_blob_file_systems or []:
            rest = _below(prefix, blobs.relative_mount_path)
            if rest is not None:
                account = _account(client, blobs.account_name, "blob")
                folder = account.container(blobs.container_name)
                return _Place(folder, posixpath.normpath(posixpath.join(rest, suffix, inside)))
    raise _refusal(
        f"The output of the setup task is in {prefix}, not on an Azure file share or blob container of the cluster.",
        "Files can be listed there only. Log in to a node to see others (`az batchai cluster node exec`), "
        "or create the cluster with a --setup-task-output below the mount path of a share or container.",
    )


def _below(path: str, mount_path: str) -> str | None:
    """The part of `path` below a mount, '' for the mount itself; None where it is elsewhere."""
    mount = posixpath.normpath(posixpath.join(_MOUNT_ROOT, mount_path))
    if path == mount:
        return ""
    return path.removeprefix(mount + "/") if path.startswith(mount + "/") else None


def _account(client: Any, name: str, kind: str) -> data_plane.Account:
    """The storage account of the subscription with this name, at its endpoint for this kind of storage."""
    arm = Arm(client)
    path = accounts.find_account(arm, name)
    resource = arm.get(path, STORAGE_API)
    endpoint = resource.get("properties", {}).get("primaryEndpoints", {}).get(kind)
    if not endpoint:
        raise _refusal(f"The storage account {name} has no {kind} endpoint.", "Choose an account that has one.")
    return data_plane.Account(name, accounts.key_of(arm, path), endpoint)


def _refusal(message: str, recommendation: str) -> Exception:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    return InvalidArgumentValueError(message, recommendation=recommendation)
