"""What is said of a job that can be run and yet is likely not what its author meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from azext_batchai.service.model.mount_paths import CLUSTER_ROOT, JOB_ROOT, below_root, mounted_places, place_of


def advice(job: Mapping[str, Any], cluster: Mapping[str, Any]) -> str:
    """For the properties of a job and of its cluster; '' where there is nothing to say."""
    mounts = {
        CLUSTER_ROOT: cluster.get("nodeSetup", {}).get("mountVolumes", {}),
        JOB_ROOT: job.get("mountVolumes", {}),
    }
    return "; ".join(
        _off_volume(what, path, mounts) for what, path in _output_paths(job) if not _is_on_volume(path, mounts)
    )


def _output_paths(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "stdOutErrPathPrefix", job["stdOutErrPathPrefix"]
    for directory in job.get("outputDirectories", ()):
        yield f"pathPrefix of output directory {directory['id']}", directory["pathPrefix"]


def _is_on_volume(path: str, mounts: Mapping[str, Mapping[str, Any]]) -> bool:
    """True also for a path that is below no mount root: it is the user's own affair."""
    found = below_root(path)
    return not found or place_of(found[1], mounted_places(mounts[found[0]])) is not None


def _off_volume(what: str, path: str, mounts: Mapping[str, Mapping[str, Any]]) -> str:
    root, rest = below_root(path) or ("", None)
    names = {root_name: [str(place) for place in mounted_places(of_root)] for root_name, of_root in mounts.items()}
    there = [f"{root_name}/{name}" for root_name, of_root in names.items() for name in of_root]
    text = f"{what} '{path}' is on no mounted volume: that output is kept until the job is deleted, not on a share"
    if not there:
        return f"{text}. Neither the cluster nor the job mounts anything."
    close = difflib.get_close_matches(str(rest), names.get(root, []), 1, 0.5)
    likely = f"{root}/{close[0]}" if close else there[0] if len(there) == 1 else ""
    question = f" Did you mean '{likely}'?" if likely else ""
    return f"{text}. Mounted are {', '.join(there)}.{question}"
