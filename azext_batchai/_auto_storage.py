"""`--use-auto-storage`: one storage account per region, made when it is first needed, and mounted on every node."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass

from knack.log import get_logger

from azext_batchai import _storage as storage
from azext_batchai._arm import RESOURCES_API, Arm, resource_group

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
    share = storage.create_folder(arm, storage.share_path(GROUP, account, SHARE))
    container = storage.create_folder(arm, storage.container_path(GROUP, account, CONTAINER))
    for resource, mount in ((share, SHARE_MOUNT_PATH), (container, CONTAINER_MOUNT_PATH)):
        if storage.local_path(resource):
            logger.warning("$AZ_BATCHAI_MOUNT_ROOT/%s is %s", mount, storage.local_path(resource))
    return AutoStorage(account, storage.key_of(arm, storage.account_path(GROUP, account)))


def _existing(arm: Arm, location: str) -> str | None:
    for account in storage.accounts_of_group(arm, GROUP):
        if _region(account["location"]) == _region(location):
            return str(account["name"])
    return None


def _new(arm: Arm, location: str) -> str:
    from azure.core.exceptions import HttpResponseError

    for attempt in range(1, _ATTEMPTS + 1):
        # Account names are unique in all of Azure.
        name = _ACCOUNT_PREFIX + "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))
        try:
            storage.create_account(arm, GROUP, name, location)
        except HttpResponseError as error:
            if error.status_code != 409 or attempt == _ATTEMPTS:
                raise
        else:
            break
    return name


def _region(location: str) -> str:
    return location.replace(" ", "").lower()
