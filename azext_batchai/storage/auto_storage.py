"""`--use-auto-storage`: one storage account per region, made when it is first needed, and mounted on every node."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import Any

from knack.log import get_logger

from azext_batchai.storage import accounts
from azext_batchai.storage.mounts import Mounts
from azext_batchai.transport.arm import RESOURCES_API, Arm, resource_group

logger = get_logger(__name__)

GROUP = "batchaiautostorage"
SHARE = "batchaishare"
CONTAINER = "batchaicontainer"
SHARE_MOUNT_PATH = "autoafs"
CONTAINER_MOUNT_PATH = "autobfs"
_ACCOUNT_PREFIX = "bai"
_ATTEMPTS = 5


@dataclass(frozen=True)
class AutoStorage:
    account: str
    key: str

    def mount(self, mounts: Mounts, volumes: Any) -> Any:
        """Add the share and the container to `volumes` (SDK MountVolumes or None); returns the volumes."""
        volumes = mounts.share_of(volumes, self.account, self.key, SHARE, SHARE_MOUNT_PATH)
        return mounts.container_of(volumes, self.account, self.key, CONTAINER, CONTAINER_MOUNT_PATH)


def provide(arm: Arm, location: str) -> AutoStorage:
    """The auto storage account of a region, with its share and its container; made where they are missing."""
    if not arm.exists(resource_group(GROUP), RESOURCES_API):
        arm.put(resource_group(GROUP), RESOURCES_API, {"location": location})
    account = _existing(arm, location)
    if account:
        logger.warning("Using the auto storage account %s of resource group %s.", account, GROUP)
    else:
        account = _new(arm, location)
        logger.warning("Created the auto storage account %s in resource group %s.", account, GROUP)
    share = accounts.create_folder(arm, accounts.share_path(GROUP, account, SHARE))
    container = accounts.create_folder(arm, accounts.container_path(GROUP, account, CONTAINER))
    for resource, mount in ((share, SHARE_MOUNT_PATH), (container, CONTAINER_MOUNT_PATH)):
        if accounts.local_path(resource):
            logger.warning("$AZ_BATCHAI_MOUNT_ROOT/%s is %s", mount, accounts.local_path(resource))
    return AutoStorage(account, accounts.key_of(arm, accounts.account_path(GROUP, account)))


def _existing(arm: Arm, location: str) -> str | None:
    for account in accounts.accounts_of_group(arm, GROUP):
        if _region(account["location"]) == _region(location):
            return str(account["name"])
    return None


def _new(arm: Arm, location: str) -> str:
    from azure.core.exceptions import HttpResponseError

    for attempt in range(1, _ATTEMPTS + 1):
        # Account names are unique in all of Azure.
        name = _ACCOUNT_PREFIX + "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
        try:
            accounts.create_account(arm, GROUP, name, location)
        except HttpResponseError as error:
            if error.status_code != 409 or attempt == _ATTEMPTS:
                raise
        else:
            break
    return name


def _region(location: str) -> str:
    return location.replace(" ", "").lower()
