"""Subscriptions, tenants and locations: one of each, and the regions whose names scripts use."""

from __future__ import annotations

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.azure import tenancy
from azext_batchai.service.service import Service


async def list_subscriptions(service: Service, call: Call) -> Reply:
    return paging.item_page(call, [tenancy.subscription(service)])


async def get(service: Service, call: Call) -> Reply:
    if call.subscription != service.subscription:
        raise ArmError(
            404,
            "SubscriptionNotFound",
            f"The subscription '{call.subscription}' could not be found in the local cloud.",
        )
    return Reply(200, tenancy.subscription(service))


async def list_tenants(service: Service, call: Call) -> Reply:
    identifier = tenancy.tenant(service.vault)
    tenant = {
        "id": f"/tenants/{identifier}",
        "tenantId": identifier,
        "displayName": tenancy.CLOUD,
        "defaultDomain": "batchai.localhost",
        "tenantCategory": "Home",
    }
    return paging.item_page(call, [tenant])


async def list_locations(service: Service, call: Call) -> Reply:
    value = [
        {
            "id": f"/subscriptions/{call.subscription}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": text,
            "regionalDisplayName": text,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
        }
        for name, text in tenancy.LOCATIONS.items()
    ]
    return paging.item_page(call, value)
