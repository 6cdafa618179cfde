"""The schema of `mountVolumes`, which stands in clusters (mounted on every node) and jobs (while the job runs)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Array, Field, Object, String

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
    """Raises ArmError for two volumes at one place, or one inside another: its place would be made in the other."""
    seen: list[PurePosixPath] = []
    for kind, entries in volumes.items():
        for entry in entries:
            place = PurePosixPath(entry["relativeMountPath"])
            where = f"{path}.{kind}"
            if place in seen:
                raise bad_request(f"'{where}': two volumes are mounted at '{place}'.", where)
            for other in seen:
                if place.is_relative_to(other) or other.is_relative_to(place):
                    inner, outer = sorted((place, other), key=lambda one: -len(one.parts))
                    raise bad_request(
                        f"'{where}': a volume cannot be mounted at '{inner}', inside the one at '{outer}'.", where
                    )
            seen.append(place)
