"""Where a path of a node is in storage: a share or container, as a folder of this machine where it is one."""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azext_batchai.storage import accounts, data_plane
from azext_batchai.transport.arm import STORAGE_API, Arm

CLUSTER_ROOT, JOB_ROOT = "$AZ_BATCHAI_MOUNT_ROOT", "$AZ_BATCHAI_JOB_MOUNT_ROOT"


@dataclass(frozen=True)
class Place:
    """A path in a share or container. `local`: the folder of this machine that it is, where there is one."""

    folder: data_plane.Share | data_plane.Container
    path: str
    local: Path | None = None


def below(path: str, mount_path: str, root: str = CLUSTER_ROOT) -> str | None:
    """The part of `path` below a mount, '' for the mount itself; None where it is elsewhere."""
    path = posixpath.normpath(path.replace(root.replace("$", "${") + "}", root))
    mount = posixpath.normpath(posixpath.join(root, mount_path))
    if path == mount:
        return ""
    return path.removeprefix(mount + "/") if path.startswith(mount + "/") else None


def locate(client: Any, is_local: bool, volumes: Any, path: str, root: str = CLUSTER_ROOT) -> Place | None:
    """The place of a node's path on these SDK MountVolumes; None where it is on no share and no container.

    `is_local`: the service is the embedded one, whose storage is folders of this machine.
    Raises ResourceNotFoundError for an account that is not there.
    """
    for share in getattr(volumes, "azure_file_shares", None) or []:
        rest = below(path, share.relative_mount_path, root)
        if rest is not None:
            name, _, inside = urlsplit(share.azure_file_url).path.strip("/").partition("/")
            return _place(client, is_local, share.account_name, "file", name, posixpath.join(inside, rest))
    for blobs in getattr(volumes, "azure_blob_file_systems", None) or []:
        rest = below(path, blobs.relative_mount_path, root)
        if rest is not None:
            return _place(client, is_local, blobs.account_name, "blob", blobs.container_name, rest)
    return None


def _place(client: Any, is_local: bool, account_name: str, kind: str, name: str, path: str) -> Place:
    arm = Arm(client)
    account_path = accounts.find_account(arm, account_name)
    group = account_path.split("/")[2]
    resource = arm.get(account_path, STORAGE_API)
    endpoint = resource.get("properties", {}).get("primaryEndpoints", {}).get(kind)
    if not endpoint:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(
            f"The storage account {account_name} has no {kind} endpoint.",
            recommendation="Choose an account that has one.",
        )
    account = data_plane.Account(account_name, accounts.key_of(arm, account_path), endpoint)
    is_share = kind == "file"
    local = ""
    if is_local:
        found = (accounts.share_path if is_share else accounts.container_path)(group, account_name, name)
        local = accounts.local_path(arm.find(found, STORAGE_API) or {})
    folder = account.share(name) if is_share else account.container(name)
    path = posixpath.normpath(path) if path else ""
    return Place(folder, path, Path(local, path) if local else None)
