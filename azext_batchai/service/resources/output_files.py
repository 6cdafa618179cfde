"""listOutputFiles (wire.md 1.4): what a job has written, with signed links to it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_from_epoch
from azext_batchai.service.context import Service
from azext_batchai.service.engine.base import TaskError, Volume
from azext_batchai.service.node_pool import IDLE, RUNNING
from azext_batchai.service.resources import jobs, volumes
from azext_batchai.service.storage.layout import UNMANAGED
from azext_batchai.service.storage.links import LinkSigner
from azext_batchai.service.store import Record

CLUSTER_ROOT, JOB_ROOT = "$AZ_BATCHAI_MOUNT_ROOT", "$AZ_BATCHAI_JOB_MOUNT_ROOT"
# What the variable stood for in Batch AI (wire.md 5.3).
_DOCUMENTED_CLUSTER_ROOT = "/mnt/batch/tasks/shared/LS_root/mounts"


async def list_output_files(service: Service, call: Call) -> Reply:
    """The files of one output directory, by name; `directory` names a sub-directory."""
    record = jobs.find(service, call)
    directory_id = call.query.get("outputdirectoryid")
    if not directory_id:
        raise bad_request("'outputdirectoryid' is required.", "outputdirectoryid")
    minutes = call.integer("linkexpiryinminutes", default=60, minimum=5, maximum=600)
    volume, inside = _place(service, record, directory_id)
    base = volume.source / inside
    folder = (base / call.query.get("directory", ".").lstrip("/")).resolve()
    if not folder.is_relative_to(base.resolve()):
        raise bad_request("'directory' must stay inside the output directory.", "directory")
    signer = LinkSigner(service.vault.derive("links"))
    root = volume.source.resolve()
    items = [
        _item(service, signer, volume, root, entry, minutes)
        for entry in _entries(folder)
        if entry.is_dir() or entry.is_file()  # neither a dangling link nor a pipe can be downloaded
    ]
    return paging.item_page(call, items)


def _place(service: Service, record: Record, directory_id: str) -> tuple[Volume, Path]:
    """The volume that holds an output directory, and where in it. Raises ArmError 400."""
    properties = record.properties
    segment = properties["jobOutputDirectoryPathSegment"]
    if directory_id == "stdouterr":
        prefix, tail = properties["stdOutErrPathPrefix"], "stdouterr"
    else:
        for entry in properties.get("outputDirectories", ()):
            if entry["id"] == directory_id:
                prefix, tail = entry["pathPrefix"], f"outputs/{entry.get('pathSuffix', '')}"
                break
        else:
            raise bad_request(f"The job has no output directory with id '{directory_id}'.", "outputdirectoryid")
    for variable, mounts in ((JOB_ROOT, _job_mounts(record)), (CLUSTER_ROOT, _cluster_mounts(service, record))):
        spellings = [
            variable,
            f"${{{variable[1:]}}}",
            *([_DOCUMENTED_CLUSTER_ROOT] if variable == CLUSTER_ROOT else []),
        ]
        for spelling in spellings:
            if prefix.startswith(f"{spelling}/"):
                found = _inside(service, mounts, prefix[len(spelling) + 1 :])
                if found and found[0].service == UNMANAGED:
                    volume = _on_a_node(service, record.internal["cluster"], found[0])
                    found = (volume, found[1]) if volume and variable == CLUSTER_ROOT else None
                if found:
                    return found[0], found[1] / segment / tail
    raise bad_request(f"The specified outputDirectoryId {directory_id} is not present on a mount root")


def _job_mounts(record: Record) -> dict[str, Any]:
    mounts: dict[str, Any] = record.properties.get("mountVolumes", {})
    return mounts


def _cluster_mounts(service: Service, record: Record) -> dict[str, Any]:
    cluster = service.store.get(record.internal["cluster"])
    mounts: dict[str, Any] = cluster.properties.get("nodeSetup", {}).get("mountVolumes", {}) if cluster else {}
    return mounts


def _inside(service: Service, mounts: dict[str, Any], path: str) -> tuple[Volume, Path] | None:
    try:
        found = volumes.resolve(service, mounts)
    except TaskError:
        return None
    parts = Path(os.path.normpath(path)).parts
    for volume in found:
        mount = Path(os.path.normpath(volume.relative_path)).parts
        if parts[: len(mount)] == mount and ".." not in parts:
            return volume, Path(*parts[len(mount) :])
    return None


def _on_a_node(service: Service, cluster_key: str, volume: Volume) -> Volume | None:
    """What only the nodes have mounted is seen through one of them, as long as there is one."""
    controller = service.controllers.get(cluster_key)
    name = ":".join(PurePosixPath(volume.relative_path).parts)
    for node in controller.nodes if controller else ():
        if node.state in (IDLE, RUNNING):
            folder = service.storage.folder(node.node_id, UNMANAGED, name)
            return Volume(volume.relative_path, folder, UNMANAGED, node.node_id, name)
    return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []  # a job that has not started has written nothing


def _item(
    service: Service, signer: LinkSigner, volume: Volume, root: Path, entry: os.DirEntry[str], minutes: int
) -> dict[str, Any]:
    name = os.fsencode(entry.name).decode("utf-8", "replace")  # a name on Linux need not be text
    if entry.is_dir():
        return {"name": name, "fileType": "directory"}
    status = entry.stat()
    inside = Path(entry.path).relative_to(root).as_posix()
    path = f"{volume.account.lower()}/{volume.service}/{volume.name}/{inside}"
    return {
        "name": name,
        "fileType": "file",
        "downloadUrl": signer.link(service.base_url, volume.service, path, minutes),
        "properties": {
            "lastModified": wire_from_epoch(int(status.st_mtime)),
            "contentLength": status.st_size,
        },
    }
