"""Where the folders of jobs and clusters are in storage."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Any

from azext_batchai.storage.mounts import setup_output
from azext_batchai.storage.places import CLUSTER_ROOT, JOB_ROOT, Place, locate
from azext_batchai.transport.arm import locate as locate_resource


def output_place(client: Any, is_local: bool, job: Any, directory_id: str) -> Place:
    """The output folder of a job (SDK): `stdouterr`, or the ID of one of its output directories (wire.md 5.5).

    Raises InvalidArgumentValueError for any other, and for one that is on no share or container.
    """
    prefix, tail = job.std_out_err_path_prefix or "", "stdouterr"
    if directory_id != "stdouterr":
        there = {directory.id: directory for directory in job.output_directories or []}
        if directory_id not in there:
            known = ", ".join(["stdouterr", *there])
            _refuse(f"Job {job.name} has no output directory {directory_id}.", f"It has {known}.")
        prefix = there[directory_id].path_prefix or ""
        tail = f"outputs/{there[directory_id].path_suffix or ''}"
    place = locate(client, is_local, job.mount_volumes, prefix, JOB_ROOT) or _of_cluster(client, is_local, job, prefix)
    if not place:
        _refuse(f"{prefix} of job {job.name} is on no file share or container.", "Only those can be reached from here.")
    return inside(place, f"{job.job_output_directory_path_segment}/{tail}")


def local_output(client: Any, job: Any, directory_id: str, path: str) -> Path | None:
    """The folder of this machine that a folder of a job's output (SDK) is; None where there is none."""
    from azure.cli.core.azclierror import AzCLIError
    from azure.core.exceptions import HttpResponseError

    try:
        folder = inside(output_place(client, True, job, directory_id), path.lstrip("/") or ".").local
    except (AzCLIError, HttpResponseError):  # kept elsewhere, or its cluster or account is gone
        return None
    return folder if folder and folder.is_dir() else None


def _of_cluster(client: Any, is_local: bool, job: Any, prefix: str) -> Place | None:
    if not prefix.replace("${AZ_BATCHAI_MOUNT_ROOT}", CLUSTER_ROOT).startswith(f"{CLUSTER_ROOT}/"):
        return None
    cluster = client.clusters.get(*locate_resource(job.cluster.id, "", ""))
    return locate(client, is_local, cluster.node_setup.mount_volumes if cluster.node_setup else None, prefix)


def mounted_place(client: Any, is_local: bool, cluster: Any, path: str | None) -> Place:
    """A path below the mount root of a cluster (SDK), by default its first mount.

    Raises InvalidArgumentValueError where it is on no share or container.
    """
    volumes = cluster.node_setup.mount_volumes if cluster.node_setup else None
    wanted = setup_output(volumes) if path is None else f"{CLUSTER_ROOT}/{path.strip('/')}"
    place = locate(client, is_local, volumes, wanted)
    if not place:
        kinds = ("azure_file_shares", "azure_blob_file_systems")
        there = [volume.relative_mount_path for kind in kinds for volume in getattr(volumes, kind, None) or []]
        _refuse(
            f"{wanted} is on no file share or container of cluster {cluster.name}.",
            f"It mounts {', '.join(there)}." if there else "It mounts none.",
        )
    return place


def inside(place: Place, path: str) -> Place:
    """A path below a place. Raises InvalidArgumentValueError for one that leads out of it."""
    inner = posixpath.normpath(path.replace("\\", "/"))
    if inner.startswith(("/", "..")):
        _refuse(f"--path '{path}' is not below the folder.", "Give a relative path.")
    joined = posixpath.normpath(posixpath.join(place.path, inner)) if place.path or inner != "." else ""
    return replace(place, path=joined, local=place.local / inner if place.local else None)


def _refuse(message: str, recommendation: str) -> None:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)
