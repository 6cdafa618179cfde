"""Mount volumes: their schema, and the folders behind them.

`mountVolumes` stands in clusters (mounted on every node) and in jobs (mounted while the job runs).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.arm.schema import Array, Field, Object, String
from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import TaskError, Volume
from azext_batchai.service.storage.layout import BLOBS, FILES, NFS, UNMANAGED, parse_file_share_url

RESOURCE_ID = Object({"id": Field(String(minimum=1), required=True)})
KEY_VAULT_SECRET = Object(
    {"sourceVault": Field(RESOURCE_ID, required=True), "secretUrl": Field(String(minimum=1), required=True)}
)
_CREDENTIALS = Object(
    {"accountKey": Field(String(), secret=True), "accountKeySecretReference": Field(KEY_VAULT_SECRET)},
    one_of=("accountKey", "accountKeySecretReference"),
)


def _check_mount_path(volume: dict[str, Any], path: str) -> None:
    parts = PurePosixPath(volume["relativeMountPath"]).parts
    if not parts or parts[0] == "/" or ".." in parts or "." in parts:
        raise bad_request(
            f"'{path}.relativeMountPath' is '{volume['relativeMountPath']}'; it must be a relative path without '..'.",
            f"{path}.relativeMountPath",
        )


_MOUNT_PATH = Field(String(minimum=1, maximum=255), required=True)
MOUNT_VOLUMES = Object(
    {
        "azureFileShares": Field(
            Array(
                Object(
                    {
                        "accountName": Field(String(minimum=1), required=True),
                        "azureFileUrl": Field(String(minimum=1), required=True),
                        "credentials": Field(_CREDENTIALS, required=True),
                        "relativeMountPath": _MOUNT_PATH,
                        "fileMode": Field(String(r"[0-7]{3,4}"), default="0777"),
                        "directoryMode": Field(String(r"[0-7]{3,4}"), default="0777"),
                    },
                    check=_check_mount_path,
                )
            )
        ),
        "azureBlobFileSystems": Field(
            Array(
                Object(
                    {
                        "accountName": Field(String(minimum=1), required=True),
                        "containerName": Field(String(minimum=1), required=True),
                        "credentials": Field(_CREDENTIALS, required=True),
                        "relativeMountPath": _MOUNT_PATH,
                        "mountOptions": Field(String()),
                    },
                    check=_check_mount_path,
                )
            )
        ),
        "fileServers": Field(
            Array(
                Object(
                    {
                        "fileServer": Field(RESOURCE_ID, required=True),
                        "sourceDirectory": Field(String()),
                        "relativeMountPath": _MOUNT_PATH,
                        "mountOptions": Field(String()),
                    },
                    check=_check_mount_path,
                )
            )
        ),
        "unmanagedFileSystems": Field(
            Array(
                Object(
                    {"mountCommand": Field(String(minimum=1), required=True), "relativeMountPath": _MOUNT_PATH},
                    check=_check_mount_path,
                )
            )
        ),
    }
)


def check(volumes: dict[str, Any], path: str) -> None:
    """Raises ArmError for two volumes at one place."""
    seen: set[str] = set()
    for kind, entries in volumes.items():
        for entry in entries:
            place = str(PurePosixPath(entry["relativeMountPath"]))
            if place in seen:
                raise bad_request(f"'{path}.{kind}': two volumes are mounted at '{place}'.", f"{path}.{kind}")
            seen.add(place)


def resolve(service: Service, volumes: dict[str, Any]) -> list[Volume]:
    """The folder behind each volume. Raises TaskError naming the volume that cannot be mounted (wire.md 4)."""
    found: list[Volume] = []
    for share in volumes.get("azureFileShares", ()):
        found.append(_azure_files(service, share))
    for container in volumes.get("azureBlobFileSystems", ()):
        found.append(_azure_blobs(service, container))
    for reference in volumes.get("fileServers", ()):
        found.append(_file_server(service, reference))
    for file_system in volumes.get("unmanagedFileSystems", ()):
        path, command = file_system["relativeMountPath"], file_system["mountCommand"]
        found.append(Volume(path, Path(), UNMANAGED, "", "", command))
    return found


def _azure_files(service: Service, share: dict[str, Any]) -> Volume:
    error = "AZFMountError", "Unable to mount Azure File"
    url = share["azureFileUrl"]
    try:
        account, name = parse_file_share_url(url)
        folder = service.storage.folder(account, FILES, name)
    except (ValueError, ArmError) as exc:
        raise TaskError(*error, {"Info": str(exc)}) from None
    if account.lower() != share["accountName"].lower():
        raise TaskError(*error, {"Info": f"Account '{share['accountName']}' does not own {url}"})
    if not folder.is_dir():
        raise TaskError(*error, {"Info": f"Azure File Share '{name}' of account '{account}' doesn't exist"})
    return Volume(share["relativeMountPath"], folder, FILES, account, name)


def _azure_blobs(service: Service, container: dict[str, Any]) -> Volume:
    error = "BFSMountError", "unable to mount blob fuse file system"
    account, name = container["accountName"], container["containerName"]
    try:
        folder = service.storage.folder(account, BLOBS, name)
    except ArmError as exc:
        raise TaskError(*error, {"Info": exc.message}) from None
    if not folder.is_dir():
        raise TaskError(*error, {"Info": f"Azure Blob Container '{name}' of account '{account}' doesn't exist"})
    return Volume(container["relativeMountPath"], folder, BLOBS, account, name)


def _file_server(service: Service, reference: dict[str, Any]) -> Volume:
    error = "NFSMountError", "Unable to mount file server"
    resource_id = reference["fileServer"]["id"]
    record = service.store.get(key_of(resource_id))
    if not record or record.kind != "fileserver" or record.internal.get("deleting"):
        raise TaskError(*error, {"Info": f"File server '{resource_id}' doesn't exist"})
    root = Path(record.internal["folder"])
    folder = (root / reference.get("sourceDirectory", "").lstrip("/")).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise TaskError(
            *error, {"Info": f"Directory '{reference['sourceDirectory']}' of file server '{record.name}' doesn't exist"}
        )
    return Volume(reference["relativeMountPath"], folder, NFS, root.parent.name, "data")
