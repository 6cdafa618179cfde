"""listOutputFiles (wire.md 1.4): what a job has written, with signed links to it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_from_epoch
from azext_batchai.service.engine.base import FileEntry, TaskError, Volume
from azext_batchai.service.model.mounts import volumes_of
from azext_batchai.service.model.node_states import IDLE, RUNNING
from azext_batchai.service.resources import jobs
from azext_batchai.service.service import Service
from azext_batchai.service.state import State
from azext_batchai.service.storage.layout import KEPT, UNMANAGED
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
    volume = _volume(service, record, directory_id)
    directory = call.query.get("directory", ".").lstrip("/") or "."
    if "\0" in directory:
        raise bad_request("'directory' must not contain NUL.", "directory")
    signer = LinkSigner(service.vault.derive("links"))
    files = service.engines.of(record).files

    async def fetch(after: str, limit: int) -> list[FileEntry]:
        try:
            return await files.entries(volume, directory, after, limit)
        except ValueError:
            raise bad_request("'directory' must stay inside the output directory.", "directory") from None
        except OSError as exc:  # a name that no file system takes
            raise bad_request(f"'directory' cannot be listed: {exc.strerror}.", "directory") from None

    where = os.path.normpath(os.path.join(volume.directory, directory))
    return await paging.named_page(
        call, fetch, lambda entry: entry.name, lambda entry: _item(call, signer, volume, where, entry, minutes)
    )


def _volume(service: Service, record: Record, directory_id: str) -> Volume:
    """The volume that holds an output directory, narrowed to it. Raises ArmError 400."""
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
                    return replace(found[0], directory=str(Path(found[0].directory) / found[1] / segment / tail))
    job = segment.rsplit("/", 1)[-1]
    if service.storage.folder(job, KEPT, directory_id).is_dir():
        return Volume("", KEPT, job, directory_id)
    raise bad_request(f"The specified outputDirectoryId {directory_id} is not present on a mount root")


def _job_mounts(record: Record) -> dict[str, Any]:
    mounts: dict[str, Any] = record.properties.get("mountVolumes", {})
    return mounts


def _cluster_mounts(service: State, record: Record) -> dict[str, Any]:
    cluster = service.store.get(record.internal["cluster"])
    mounts: dict[str, Any] = cluster.properties.get("nodeSetup", {}).get("mountVolumes", {}) if cluster else {}
    return mounts


def _inside(service: State, mounts: dict[str, Any], path: str) -> tuple[Volume, Path] | None:
    try:
        found = volumes_of(service, mounts)
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
    controller = service.fleet.get(cluster_key)
    name = ":".join(PurePosixPath(volume.relative_path).parts)
    for node in controller.nodes if controller else ():
        if node.state in (IDLE, RUNNING):
            return Volume(volume.relative_path, UNMANAGED, node.node_id, name)
    return None


def _item(
    call: Call, signer: LinkSigner, volume: Volume, where: str, entry: FileEntry, minutes: int
) -> dict[str, Any]:
    name = os.fsencode(entry.name).decode("utf-8", "replace")  # a name on Linux need not be text
    if entry.is_directory:
        return {"name": name, "fileType": "directory"}
    inside = os.path.normpath(os.path.join(where, entry.name))
    path = f"{volume.account.lower()}/{volume.service}/{volume.name}/{inside}"
    return {
        "name": name,
        "fileType": "file",
        "downloadUrl": signer.link(call.base_url, volume.service, path, minutes),
        "properties": {
            "lastModified": wire_from_epoch(int(entry.modified)),
            "contentLength": entry.size,
        },
    }
