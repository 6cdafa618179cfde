"""Storage accounts: finding their keys, and making what the embedded service lacks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from knack.log import get_logger

from azext_batchai.transport.arm import STORAGE_API, Arm, Json, resource_group, url_path

logger = get_logger(__name__)

LOCAL_GROUP = "local"  # of accounts that are made without a command that names a group
_PROVIDER = url_path("providers", "Microsoft.Storage", "storageAccounts")


def account_path(group: str, account: str) -> str:
    return resource_group(group) + _PROVIDER + url_path(account)


def share_path(group: str, account: str, share: str) -> str:
    return account_path(group, account) + url_path("fileServices", "default", "shares", share)


def container_path(group: str, account: str, container: str) -> str:
    return account_path(group, account) + url_path("blobServices", "default", "containers", container)


def accounts_of_group(arm: Arm, group: str) -> list[Json]:
    return list(arm.list(resource_group(group) + _PROVIDER, STORAGE_API))


def create_account(arm: Arm, group: str, account: str, location: str) -> Json:
    body = {"location": location, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    return arm.put(account_path(group, account), STORAGE_API, body)


def create_folder(arm: Arm, folder_path: str) -> Json:
    """Create the share or the container at `folder_path`; one that is there is left as it is."""
    return arm.put(folder_path, STORAGE_API, {"properties": {}})


def find_account(arm: Arm, account: str) -> str:
    """The path of the subscription's account of that name. Raises ResourceNotFoundError."""
    groups = _groups(arm)
    if account not in groups:
        raise _unknown_account(account)
    return account_path(groups[account], account)


def provide_account(arm: Arm, account: str, group: str) -> str:
    """The path of the subscription's account of that name; made in `group` where there is none."""
    groups = _groups(arm)
    if account not in groups:
        made = create_account(arm, group, account, "local")
        groups[account] = group
        logger.warning("Created the storage account %s: %s", account, local_path(made) or "(local)")
    return account_path(groups[account], account)


def key_of(arm: Arm, path: str) -> str:
    """The first key of the account at `path`."""
    keys = arm.post(path + "/listKeys", STORAGE_API).get("keys") or []
    if not keys:
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(
            f"The storage account {path.rpartition('/')[2]} lists no key.",
            recommendation="Give a key with --storage-account-key or AZURE_BATCHAI_STORAGE_KEY.",
        )
    return str(keys[0]["value"])


def local_path(resource: Json) -> str:
    """The folder behind a resource of the embedded service; '' elsewhere."""
    return str(resource.get("properties", {}).get("localPath") or "")


class Accounts:
    """The storage accounts that one command deals with.

    `local`: the embedded service answers. There, an account, share or container that is named but does not exist
    is made in the group of the command, because the command lines of 2018 made it with `az storage` beforehand.
    """

    def __init__(self, arm: Arm, group: str, local: bool) -> None:
        self._arm = arm
        self._group = group
        self._local = local
        self._groups: dict[str, str] | None = None
        self._keys: dict[str, str] = {}

    def key(self, account: str) -> str:
        """A key of the account. Raises ResourceNotFoundError when the subscription has no such account."""
        if account not in self._keys:
            self._keys[account] = key_of(self._arm, account_path(self._group_of(account), account))
        return self._keys[account]

    def provide(self, volumes: Any) -> None:
        """Make what `volumes` (SDK MountVolumes) names and the embedded service lacks; do nothing elsewhere."""
        if not self._local or volumes is None:
            return
        for share in volumes.azure_file_shares or []:
            name = urlsplit(share.azure_file_url or "").path.strip("/").split("/")[0]
            if share.account_name and name:
                self._provide(share_path(self._group_of(share.account_name), share.account_name, name), "share", name)
        for blobs in volumes.azure_blob_file_systems or []:
            account, name = blobs.account_name, blobs.container_name
            if account and name:
                self._provide(container_path(self._group_of(account), account, name), "container", name)

    def _provide(self, folder_path: str, kind: str, name: str) -> None:
        if self._arm.find(folder_path, STORAGE_API) is None:
            made = create_folder(self._arm, folder_path)
            logger.warning("Created the %s %s: %s", kind, name, local_path(made) or folder_path)

    def _group_of(self, account: str) -> str:
        if self._groups is None:
            self._groups = _groups(self._arm)
        if account not in self._groups:
            if not self._local:
                raise _unknown_account(account)
            provide_account(self._arm, account, self._group)
            self._groups[account] = self._group
        return self._groups[account]


def _groups(arm: Arm) -> dict[str, str]:
    """The accounts of the subscription: name -> resource group."""
    return {item["name"]: item["id"].split("/")[4] for item in arm.list(_PROVIDER, STORAGE_API)}


def _unknown_account(account: str) -> Exception:
    from azure.cli.core.azclierror import ResourceNotFoundError

    return ResourceNotFoundError(
        f"There is no storage account {account} in this subscription.",
        recommendation="Check the name, or give the key of an account of another subscription with "
        "--storage-account-key.",
    )
