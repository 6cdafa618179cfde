"""Quotas: what a location may hold, and what is used of it (wire.md 4, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.context import Service
from azext_batchai.service.resources import vm_sizes
from azext_batchai.service.store import Record


def clusters_in(service: Service, subscription: str, location: str) -> Iterator[Record]:
    for cluster in service.store.all_of("cluster", f"/subscriptions/{subscription}/"):
        workspace = service.store.get(cluster.parent)
        if workspace and workspace.body["location"] == location:
            yield cluster


def check_new_cluster(service: Service, subscription: str, location: str) -> None:
    """Raises ArmError ClusterQuotaReached where there is no room for one more cluster."""
    used, limit = sum(1 for _ in clusters_in(service, subscription, location)), service.settings.cluster_quota
    if used >= limit:
        raise _reached(limit, used)


def check_target(service: Service, vm_size: str, scale_settings: dict[str, Any]) -> None:
    """Raises ArmError ClusterQuotaReached for a size that the quota could not hold even if nothing else ran."""
    manual, auto = scale_settings.get("manual"), scale_settings.get("autoScale")
    nodes = manual["targetNodeCount"] if manual else auto["minimumNodeCount"] if auto else 0
    limit = service.settings.vcpu_quota
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


def room_for_nodes(service: Service, vm_size: str, vm_priority: str) -> int:
    """How many more nodes of this kind the quota allows: a short quota gives fewer nodes (wire.md 7)."""
    used = 0
    for controller in service.controllers.values():
        if controller.vm_priority == vm_priority:
            used += len(controller.nodes) * vm_sizes.vcpus_of(controller.vm_size)
    return max(service.settings.vcpu_quota - used, 0) // vm_sizes.vcpus_of(vm_size)


def advice(service: Service, vm_size: str) -> str:
    """What the user should know of a VM size on this machine; '' where there is nothing to say."""
    size, gpus = vm_sizes.look_up(vm_size), service.engine.gpu_count()
    if not size:
        return f"VM size {vm_size} is not in the catalogue: its nodes have no GPUs and count as one vCPU"
    if size.gpus > gpus:
        found = f"has {gpus}" if gpus else "has none"
        return (
            f"VM size {vm_size} has {size.gpus} GPU(s) a node, this machine {found}: "
            "AZ_BATCHAI_NUM_GPUS says what a node really gets"
        )
    return ""
