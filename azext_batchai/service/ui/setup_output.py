"""What the setup task of a cluster has written on one of its nodes: the end of it, however long it is."""

from __future__ import annotations

import asyncio
import os
import posixpath
from dataclasses import dataclass
from typing import BinaryIO

from azext_batchai.service.engine.base import Volume
from azext_batchai.service.resources.output_files import mounted
from azext_batchai.service.service import Service
from azext_batchai.service.storage.layout import BLOBS, FILES, LOGS
from azext_batchai.service.store import Record
from azext_batchai.service.ui.view import View

_LAST_BYTES = 16 << 10
_NODE_LOGS = ("$AZ_BATCHAI_NODE_LOG_DIR", "${AZ_BATCHAI_NODE_LOG_DIR}")


@dataclass(frozen=True)
class Output:
    """`text` is the end of a file of `size` bytes; `address` is its page, '' where it has none."""

    name: str
    text: str
    size: int
    address: str

    @property
    def cut(self) -> bool:
        return self.size > _LAST_BYTES


async def read(view: View, cluster: Record, node_id: str) -> list[Output] | None:
    """stdout and stderr of the setup task on a node; None where the page cannot reach them."""
    task = cluster.properties["nodeSetup"]["setupTask"]
    service = view.service
    place = _place(service, cluster, node_id, task["stdOutErrPathPrefix"], task["stdOutErrPathSuffix"])
    if not place:
        return None
    found = []
    for stream in ("stdout", "stderr"):
        name = f"{stream}-{node_id}.txt"
        try:
            file = await service.engines.of(cluster).files.open(place[0], posixpath.join(place[1], name))
        except (OSError, ValueError):  # not written yet, or its volume is gone
            continue
        size, text = await asyncio.to_thread(_end, file)
        found.append(Output(name, text, size, _page(view, *place, name)))
    return found


def _place(
    service: Service, cluster: Record, node_id: str, prefix: str, suffix: str
) -> tuple[Volume, str] | None:
    """The volume and the folder in it. In the folder for logs of a node, which is its own, they lie without suffix."""
    for spelling in _NODE_LOGS:
        if prefix == spelling or prefix.startswith(f"{spelling}/"):
            return Volume("", LOGS, node_id, ""), prefix[len(spelling) :].lstrip("/")
    found = mounted(service, cluster.key, prefix, {})
    return (found[0], str(found[1] / suffix)) if found else None


def _end(file: BinaryIO) -> tuple[int, str]:
    with file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - _LAST_BYTES, 0))
        text = file.read(_LAST_BYTES).decode("utf-8", "replace")
    return size, text.partition("\n")[2] or text if size > _LAST_BYTES else text  # whole lines, if there are any


def _page(view: View, volume: Volume, folder: str, name: str) -> str:
    if volume.service not in (FILES, BLOBS):
        return ""
    path = posixpath.normpath(posixpath.join(volume.directory, folder, name))
    return view.storage_address(volume.account, volume.service, volume.name, *path.split("/"))
