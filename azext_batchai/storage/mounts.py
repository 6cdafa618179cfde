"""Mount volumes of clusters and jobs: those of the configuration file, and those asked for by flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azext_batchai import _client_factory as clients
from azext_batchai.storage.accounts import Accounts
from azext_batchai.transport import file_servers
from azext_batchai.transport.arm import Arm

# What a configuration file may hold in place of a name and a key.
ACCOUNT_PLACEHOLDER = "<AZURE_BATCHAI_STORAGE_ACCOUNT>"
KEY_PLACEHOLDER = "<AZURE_BATCHAI_STORAGE_KEY>"


@dataclass(frozen=True)
class MountFlags:  # pylint: disable=too-many-instance-attributes
    """The flags of `create` commands that say what to mount, and from which storage account; None: not given."""

    nfs: str | None
    nfs_mount_path: str
    azure_file_share: str | None
    afs_mount_path: str
    container_name: str | None
    container_mount_path: str
    account_name: str | None
    account_key: str | None


class Mounts:
    """Builds the MountVolumes of one cluster or job.

    The storage account is the one of --storage-account-name and --storage-account-key, else the configured one:
    AZURE_BATCHAI_STORAGE_ACCOUNT and AZURE_BATCHAI_STORAGE_KEY, or storage_account and storage_key of `[batchai]`.
    (Not AZURE_STORAGE_ACCOUNT: which account a cluster mounts is to be the user's explicit choice.)
    """

    def __init__(
        self, cli_ctx: Any, client: Any, resource_group_name: str, workspace_name: str, flags: MountFlags
    ) -> None:
        self._client = client
        self._place = (resource_group_name, workspace_name)
        self._flags = flags
        self._accounts = Accounts(Arm(client), resource_group_name, clients.is_local(cli_ctx))
        self._suffix = cli_ctx.cloud.suffixes.storage_endpoint
        if flags.account_name:
            self._account, self._key = flags.account_name, flags.account_key or ""
        else:
            self._account = cli_ctx.config.get("batchai", "storage_account", fallback="")
            self._key = cli_ctx.config.get("batchai", "storage_key", fallback="")

    def complete(self, volumes: Any, check_file_server: Callable[[Any], None] = lambda _: None) -> Any:
        """The volumes of the configuration file (SDK MountVolumes or None) with those of the flags.

        Fills in names and keys that were left open, and makes what the embedded service lacks. `check_file_server`
        may refuse the file server of --nfs.
        """
        self._complete_file(volumes)
        flags = self._flags
        if flags.nfs:
            file_server = file_servers.find(self._client, flags.nfs, *self._place)
            check_file_server(file_server)
            volumes = self._file_server(volumes, file_server.id, flags.nfs_mount_path)
        if flags.azure_file_share:
            account = self._required_account()
            key = self._key_of(account)
            volumes = self.share_of(volumes, account, key, flags.azure_file_share, flags.afs_mount_path)
        if flags.container_name:
            account = self._required_account()
            key = self._key_of(account)
            volumes = self.container_of(volumes, account, key, flags.container_name, flags.container_mount_path)
        self._accounts.provide(volumes)
        return volumes

    def _complete_file(self, volumes: Any) -> None:
        if volumes is None:
            return
        for share in volumes.azure_file_shares or []:
            self._complete_share(share)
        for blobs in volumes.azure_blob_file_systems or []:
            if not blobs.account_name:
                self._refuse("An azureBlobFileSystems entry of the configuration file has no accountName.")
            self._complete_account(blobs)

    def share_of(self, volumes: Any, account: str, key: str, name: str, mount_path: str) -> Any:
        """Add the Azure file share `name` of that account; returns the volumes."""
        from azure.mgmt.batchai import models

        volumes = volumes or models.MountVolumes()
        volumes.azure_file_shares = volumes.azure_file_shares or []
        volumes.azure_file_shares.append(
            models.AzureFileShareReference(
                account_name=account,
                azure_file_url=f"https://{account}.file.{self._suffix}/{name}",
                credentials=models.AzureStorageCredentialsInfo(account_key=key),
                relative_mount_path=str(mount_path),
            )
        )
        return volumes

    @staticmethod
    def container_of(volumes: Any, account: str, key: str, name: str, mount_path: str) -> Any:
        """Add the blob container `name` of that account; returns the volumes."""
        from azure.mgmt.batchai import models

        volumes = volumes or models.MountVolumes()
        volumes.azure_blob_file_systems = volumes.azure_blob_file_systems or []
        volumes.azure_blob_file_systems.append(
            models.AzureBlobFileSystemReference(
                account_name=account,
                container_name=name,
                credentials=models.AzureStorageCredentialsInfo(account_key=key),
                relative_mount_path=str(mount_path),
            )
        )
        return volumes

    @staticmethod
    def _file_server(volumes: Any, file_server_id: str, mount_path: str) -> Any:
        from azure.mgmt.batchai import models

        volumes = volumes or models.MountVolumes()
        volumes.file_servers = volumes.file_servers or []
        volumes.file_servers.append(
            models.FileServerReference(
                file_server=models.ResourceId(id=file_server_id),
                relative_mount_path=str(mount_path),
                mount_options="rw",
            )
        )
        return volumes

    def _complete_share(self, share: Any) -> None:
        if share.azure_file_url and ACCOUNT_PLACEHOLDER in share.azure_file_url:
            share.azure_file_url = share.azure_file_url.replace(ACCOUNT_PLACEHOLDER, self._required_account())
        if not share.account_name:
            share.account_name = _account_in_url(share.azure_file_url)
        if not share.account_name:
            self._refuse(
                "An azureFileShares entry of the configuration file has neither an accountName nor an azureFileUrl "
                "that begins with one."
            )
        self._complete_account(share)

    def _complete_account(self, reference: Any) -> None:
        from azure.mgmt.batchai import models

        if reference.account_name == ACCOUNT_PLACEHOLDER:
            reference.account_name = self._required_account()
        credentials = reference.credentials
        key = credentials.account_key if credentials else None
        if key == KEY_PLACEHOLDER:
            # The placeholder stands for the configured key, whatever the account.
            credentials.account_key = self._key or self._key_of(reference.account_name)
        elif not key and not (credentials and credentials.account_key_secret_reference):
            reference.credentials = models.AzureStorageCredentialsInfo(account_key=self._key_of(reference.account_name))

    def _key_of(self, account: str) -> str:
        if account == self._account and self._key:
            return self._key
        return self._accounts.key(account)

    def _required_account(self) -> str:
        if not self._account:
            from azure.cli.core.azclierror import RequiredArgumentMissingError

            raise RequiredArgumentMissingError(
                "No storage account is configured for what is to be mounted.",
                recommendation="Give --storage-account-name, or set AZURE_BATCHAI_STORAGE_ACCOUNT, "
                "or run `az config set batchai.storage_account=NAME`.",
            )
        return self._account

    @staticmethod
    def _refuse(message: str) -> None:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(message, recommendation="Correct the file given with --config-file.")


def setup_output(volumes: Any) -> str:
    """Where a setup task's output goes when nobody says so: the first mount, else the node's own log folder."""
    for kind in ("azure_file_shares", "azure_blob_file_systems", "file_servers", "unmanaged_file_systems"):
        mounted = getattr(volumes, kind, None)
        if mounted:
            return f"$AZ_BATCHAI_MOUNT_ROOT/{mounted[0].relative_mount_path}"
    return "$AZ_BATCHAI_NODE_LOG_DIR"


def _account_in_url(url: str | None) -> str:
    """The account in https://ACCOUNT.file.SUFFIX/SHARE."""
    account, dot, _ = (urlsplit(url or "").hostname or "").partition(".")
    return account if dot else ""
