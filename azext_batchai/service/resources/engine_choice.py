"""Which engine a new cluster gets, and what that engine does not take (docs/slurm.md)."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.engine.engines import LOCAL
from azext_batchai.service.engine.slurm.profile import ProfileError
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record

_WITHOUT_SHM = ("apptainer", "pyxis")  # they share the node's
HEADER = "x-batchai-engine"


def chosen_engine(service: Service, wanted: str, properties: Mapping[str, Any]) -> str:
    """The engine that a request wants for a cluster, '' for the service's default.

    Raises ArmError 400 for an engine that there is not or that cannot have such a cluster, 501 for a property that it
    does not support.
    """
    try:
        name = service.engines.chosen(wanted)
        profile = service.engines.profile(name) if name != LOCAL else None
    except ProfileError as exc:
        raise bad_request(str(exc), code="EngineNotUsable") from None
    if not profile:
        return name
    home = service.settings.home
    if stat.S_IMODE(home.stat().st_mode) & 0o077:
        raise bad_request(
            f"The state folder {home} can be read by others, and secrets lie in it: chmod 700 it before nodes of "
            "other machines use it.",
            code="StateFolderReadable",
        )
    if properties["vmPriority"] == "lowpriority" and not profile.low_priority:
        raise bad_request(
            f"Engine '{name}' has no low-priority nodes: its profile in {service.settings.profiles_file} has no key "
            "'lowPriority'.",
            "properties.vmPriority",
        )
    return name


def refuse_unsupported(
    service: Service, cluster: Record, properties: Mapping[str, Any], mounts: Any, path: str
) -> None:
    """Raises ArmError 501 NotSupportedByEngine for a property that the engine of a cluster does not support."""
    engine, name = service.engines.of(cluster), cluster.internal["engine"]
    for key, where in ((key, place) for place in (properties, mounts) for key in place):
        if key in engine.not_supported:
            place = f"properties.{key}" if where is properties else f"{path}.{key}"
            raise ArmError(501, "NotSupportedByEngine", f"'{place}' is not supported on engine '{name}'.", place)


def check_job(service: Service, cluster: Record, properties: Mapping[str, Any], limited: bool) -> None:
    """Raises ArmError 400 for a job that no node of the cluster's engine could run to its end, 501 as above."""
    refuse_unsupported(service, cluster, properties, properties.get("mountVolumes", {}), "properties.mountVolumes")
    name = cluster.internal["engine"]
    if name == LOCAL:
        return
    _check_size(cluster, name, properties["nodeCount"])
    try:
        profile = service.engines.profile(name)
    except ProfileError:
        return  # the cluster's errors tell of it
    if profile.containers in _WITHOUT_SHM and "shmSize" in properties.get("containerSettings", {}):
        place = "properties.containerSettings.shmSize"
        why = f"'{place}' is not supported on engine '{name}', whose containers are run by {profile.containers}."
        raise ArmError(501, "NotSupportedByEngine", why, place)
    walltime = profile.walltime_seconds
    if not limited:
        return
    wanted = properties["constraints"]["maxWallClockTime"]
    if walltime and clock.parse_duration(wanted).total_seconds() > walltime:
        raise bad_request(
            f"maxWallClockTime {wanted} is longer than the nodes of engine '{name}' are given for "
            f"({walltime:.0f} s, 'walltime' of its profile).",
            "properties.constraints.maxWallClockTime",
        )


def _check_size(cluster: Record, engine: str, nodes: int) -> None:
    """Of an auto-scale cluster: a manual one has the nodes that it is given, as long as it is given them."""
    limits = cluster.properties["scaleSettings"].get("autoScale")
    if limits and nodes > limits["maximumNodeCount"]:
        raise bad_request(
            f"nodeCount {nodes} is larger than maximumNodeCount {limits['maximumNodeCount']} of cluster "
            f"'{cluster.name}' on engine '{engine}': raise it (az batchai cluster auto-scale --max {nodes}) or ask for "
            "fewer nodes.",
            "properties.nodeCount",
        )
