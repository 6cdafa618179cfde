"""From `mountVolumes` of a cluster or job to the volumes that an engine is told to show: names, not folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.engine.base import TaskError, Volume
from azext_batchai.service.state import State
from azext_batchai.service.storage.layout import BLOBS, FILES, NFS, UNMANAGED, parse_file_share_url


def volumes_of(state: State, mounts: dict[str, Any]) -> list[Volume]:
    """The volumes by name. Raises TaskError naming one that cannot be (wire.md 4); the engine finds what is missing."""
    found: list[Volume] = []
    for share in mounts.get("azureFileShares", ()):
        found.append(_azure_files(share))
    for container in mounts.get("azureBlobFileSystems", ()):
        found.append(
            Volume(container["relativeMountPath"], BLOBS, container["accountName"], container["containerName"])
        )
    for reference in mounts.get("fileServers", ()):
        found.append(_file_server(state, reference))
    for file_system in mounts.get("unmanagedFileSystems", ()):
        path, command = file_system["relativeMountPath"], file_system["mountCommand"]
        found.append(Volume(path, UNMANAGED, "", "", mount_command=command))
    return found


def _azure_files(share: dict[str, Any]) -> Volume:
    error = "AZFMountError", "Unable to mount Azure File"
    url = share["azureFileUrl"]
    try:
        account, name = parse_file_share_url(url)
    except ValueError as exc:
        raise TaskError(*error, {"Info": str(exc)}) from None
    if account.lower() != share["accountName"].lower():
        raise TaskError(*error, {"Info": f"Account '{share['accountName']}' does not own {url}"})
    return Volume(share["relativeMountPath"], FILES, account, name)


def _file_server(state: State, reference: dict[str, Any]) -> Volume:
    resource_id = reference["fileServer"]["id"]
    record = state.store.get(key_of(resource_id))
    if not record or record.kind != "fileserver" or record.internal.get("deleting"):
        info = {"Info": f"File server '{resource_id}' doesn't exist"}
        raise TaskError("NFSMountError", "Unable to mount file server", info)
    server = Path(record.internal["folder"]).parent.name
    directory = reference.get("sourceDirectory", "").lstrip("/")
    return Volume(reference["relativeMountPath"], NFS, server, "data", directory)
