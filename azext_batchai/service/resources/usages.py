"""Usages (wire.md 6): what the clusters of a location use, in the recorded order and shape."""

from __future__ import annotations

from collections import Counter
from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.model import quotas, vm_sizes
from azext_batchai.service.service import Service

_PRIORITIES = (("dedicated", "Dedicated", "Dedicated"), ("lowpriority", "LowPriority", "Low Priority"))


async def list_by_location(service: Service, call: Call) -> Reply:
    location = call.name.lower()
    clusters, used = 0, Counter[tuple[str, str]]()
    for cluster in quotas.clusters_in(service, call.subscription, location):
        clusters += 1
        controller = service.fleet.get(cluster.key)
        size = vm_sizes.look_up(cluster.properties["vmSize"])
        if controller:
            vcpus = vm_sizes.vcpus_of(cluster.properties["vmSize"]) * len(controller.nodes)
            used[cluster.properties["vmPriority"], size.family if size else "?"] += vcpus
            used[cluster.properties["vmPriority"], ""] += vcpus
    value = [_usage("Clusters", "Clusters", clusters, service.settings.cluster_quota)]
    for priority, word, text in _PRIORITIES:
        value.append(
            _usage(
                f"Total Cluster {word} Regional vCPUs",
                f"Total Cluster {text} Regional vCPUs",
                used[priority, ""],
                service.settings.vcpu_quota,
            )
        )
        for family in vm_sizes.FAMILIES:
            value.append(
                _usage(
                    f"Standard {family} Family Cluster {word} vCPUs",
                    f"Standard {family} Family Cluster {text} vCPUs",
                    used[priority, family],
                    service.settings.vcpu_quota,
                )
            )
    return paging.item_page(call, value)


def _usage(name: str, text: str, current: int, limit: int) -> dict[str, Any]:
    return {
        "unit": "Count",
        "currentValue": current,
        "limit": limit,
        "name": {"value": name, "localizedValue": text},
    }
