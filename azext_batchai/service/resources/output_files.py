"""listOutputFiles (wire.md 1.4): what a job has written, with signed links to it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from azext_batchai.service.arm import paging
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_from_epoch
from azext_batchai.service.engine.base import FileEntry, TaskError, Volume
from azext_batchai.service.model.mount_paths import CLUSTER_ROOT, below_root, place_of
from azext_batchai.service.model.mounts import volumes_of
from azext_batchai.service.model.node_states import IDLE, RUNNING
from azext_batchai.service.resources import jobs
from azext_batchai.service.service import Service
from azext_batchai.service.storage.layout import KEPT, UNMANAGED
from azext_batchai.service.storage.links import LinkSigner
from azext_batchai.service.store import Record


async def list_output_files(service: Service, call: Call) -> Reply:
    """The files of one output directory, by name; `directory` names a sub-directory."""
    record = jobs.find(service, call)
    directory_id = call.query.get("outputdirectoryid")
    if not directory_id:
        raise bad_request("'outputdirectoryid' is required.", "outputdirectoryid")
    minutes = call.integer("linkexpiryinminutes", default=60, minimum=5, maximum=600)
    volume = volume_of(service, record, directory_id)
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


def volume_of(service: Service, record: Record, directory_id: str) -> Volume:
    """The volume that holds an output directory of a job, narrowed to it. Raises ArmError 400."""
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
    found = mounted(service, record.internal["cluster"], prefix, properties.get("mountVolumes", {}))
    if found:
        volume, inside = found
        return replace(volume, directory=str(PurePosixPath(volume.directory, inside, segment, tail)))
    job = segment.rsplit("/", 1)[-1]
    if service.storage.folder(job, KEPT, directory_id).is_dir():
        return Volume("", KEPT, job, directory_id)
    raise bad_request(f"The specified outputDirectoryId {directory_id} is not present on a mount root")


def mounted(
    service: Service, cluster_key: str, prefix: str, mounts: dict[str, Any]
) -> tuple[Volume, PurePosixPath] | None:
    """The volume that a path on nodes of the cluster lies on, and where on it; `mounts`: those of the job."""
    found = below_root(prefix)
    if not found:
        return None
    root, path = found
    if root == CLUSTER_ROOT:
        cluster = service.store.get(cluster_key)
        mounts = cluster.properties.get("nodeSetup", {}).get("mountVolumes", {}) if cluster else {}
    try:
        volumes = volumes_of(service, mounts)
    except TaskError:
        return None
    by_place = {PurePosixPath(volume.relative_path): volume for volume in volumes}
    place = place_of(path, by_place)
    if not place:
        return None
    volume: Volume | None = by_place[place]
    if volume and volume.service == UNMANAGED:
        volume = _on_a_node(service, cluster_key, volume) if root == CLUSTER_ROOT else None
    return (volume, path.relative_to(place)) if volume else None


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
