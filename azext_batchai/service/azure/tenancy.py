"""The one tenant and the one service principal of a state folder, and the regions of its cloud."""

from __future__ import annotations

import uuid
from typing import Any

from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.state import State

CLOUD = "BatchAILocal"
SUBSCRIPTION_NAME = "Local Batch AI (this machine)"
# Where Batch AI was to be had, and the regions that its users' storage was in.
LOCATIONS = {
    "eastus": "East US",
    "eastus2": "East US 2",
    "centralus": "Central US",
    "northcentralus": "North Central US",
    "southcentralus": "South Central US",
    "westcentralus": "West Central US",
    "westus": "West US",
    "westus2": "West US 2",
    "canadacentral": "Canada Central",
    "northeurope": "North Europe",
    "westeurope": "West Europe",
    "uksouth": "UK South",
    "southeastasia": "Southeast Asia",
    "eastasia": "East Asia",
    "australiaeast": "Australia East",
    "japaneast": "Japan East",
    "koreacentral": "Korea Central",
    "local": "Local (this machine)",
}


def tenant(vault: Vault) -> str:
    return _guid(vault, "tenant")


def principal(vault: Vault) -> str:
    """The service principal that `az batchai local env` logs in; any other is as good."""
    return _guid(vault, "principal")


def subscription(state: State) -> dict[str, Any]:
    identifier = state.subscription
    return {
        "id": f"/subscriptions/{identifier}",
        "subscriptionId": identifier,
        "tenantId": tenant(state.vault),
        "displayName": SUBSCRIPTION_NAME,
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "Local_2018-05-01",
            "spendingLimit": "Off",
        },
        "managedByTenants": [],
    }


def _guid(vault: Vault, purpose: str) -> str:
    return str(uuid.UUID(bytes=vault.derive(purpose, 16), version=4))
