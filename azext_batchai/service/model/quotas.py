"""Quotas: what a location may hold, and what is used of it (wire.md 4, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.model import vm_sizes
from azext_batchai.service.state import State
from azext_batchai.service.store import Record


def clusters_in(state: State, subscription: str, location: str) -> Iterator[Record]:
    for cluster in state.store.all_of("cluster", f"/subscriptions/{subscription}/"):
        workspace = state.store.get(cluster.parent)
        if workspace and workspace.body["location"] == location:
            yield cluster


def check_new_cluster(state: State, subscription: str, location: str) -> None:
    """Raises ArmError ClusterQuotaReached where there is no room for one more cluster."""
    used, limit = sum(1 for _ in clusters_in(state, subscription, location)), state.settings.cluster_quota
    if used >= limit:
        raise _reached(limit, used)


def check_target(state: State, vm_size: str, scale_settings: dict[str, Any]) -> None:
    """Raises ArmError ClusterQuotaReached for a size that the quota could not hold even if nothing else ran."""
    manual = scale_settings.get("manual")
    nodes = manual["targetNodeCount"] if manual else scale_settings["autoScale"]["minimumNodeCount"]
    limit = state.settings.vcpu_quota
    if nodes * vm_sizes.vcpus_of(vm_size) > limit:
        raise _reached(limit, 0)


def _reached(limit: int, used: int) -> ArmError:
    return ArmError(
        409,
        "ClusterQuotaReached",
        "Operation results in exceeding quota limits of Microsoft.BatchAI/clusters. "
        f"Maximum allowed: {limit}, Current in use: {used}. Please contact support to increase the quota for "
        "resource type Microsoft.BatchAI/clusters",
    )
