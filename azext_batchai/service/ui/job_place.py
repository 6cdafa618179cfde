"""The job that an address names, and the files that it writes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from azext_batchai.service.arm.errors import ArmError, not_found
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.engine.base import FileEntry, Files, Volume
from azext_batchai.service.resources.output_files import volume_of
from azext_batchai.service.service import Service
from azext_batchai.service.store import Record
from azext_batchai.service.ui import addresses
from azext_batchai.service.ui.view import View

STDOUTERR = "stdouterr"  # the id of the directory that the standard output goes to


def path_of(view: View) -> str:
    """The job's path on the wire; `view.names`: resource group, workspace, experiment, job."""
    group, workspace, experiment, job = view.names[:4]
    return view.wire.batchai(group, "workspaces", workspace, "experiments", experiment, "jobs", job)


async def find(view: View) -> Record:
    """The job. Raises ArmError 404."""
    body = await view.wire.get(path_of(view))
    record = view.service.store.get(key_of(body["id"]))
    if not record:
        raise not_found("job", view.names[3])
    return record


def trail(view: View, record: Record, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The pages above one of the job's."""
    return (*addresses.trail(record.body["id"], view.service.subscription), *more)


def options(view: View, record: Record, job: str = "-n") -> tuple[str, ...]:
    """The options of `az batchai` that name the job; `job`: the one that has its own name."""
    words = record.body["id"].split("/")
    return (*view.scope(words[4]), "-w", words[8], "-e", words[10], job, words[12])


def directories(record: Record) -> list[tuple[str, str]]:
    """The job's output directories: their ids, and what their paths begin with."""
    properties = record.properties
    others = [(entry["id"], entry["pathPrefix"]) for entry in properties.get("outputDirectories", ())]
    return [(STDOUTERR, properties["stdOutErrPathPrefix"]), *others]


@dataclass(frozen=True)
class Output:
    """One output directory of a job."""

    files: Files
    volume: Volume

    @classmethod
    def of(cls, service: Service, record: Record, directory_id: str) -> Output:
        """Raises ArmError 400 where the job has no such directory, or none that is seen from here."""
        return cls(service.engines.of(record).files, volume_of(service, record, directory_id))

    async def open(self, path: str) -> BinaryIO:
        """Raises ArmError 404, also for what is no file or leads elsewhere."""
        try:
            return await self.files.open(self.volume, path)
        except (OSError, ValueError):
            raise ArmError(404, "FileNotFound", f"There is no file {path} in the output of the job.") from None

    async def entries(self, path: str, after: str, limit: int) -> list[FileEntry]:
        """See `engine.base.Files`. Raises ArmError 404 for what leads out of the directory."""
        try:
            return await self.files.entries(self.volume, path or ".", after, limit)
        except (OSError, ValueError):
            raise ArmError(404, "FileNotFound", "There is no such folder in the output of the job.") from None

    async def is_folder(self, path: str) -> bool:
        """Whether there is such a folder; the directory itself is one, made or not."""
        if not path:
            return True
        parent, _, name = path.rpartition("/")
        found = await self.entries(parent, _before(name), 1) if name and "\0" not in name else []
        return bool(found) and found[0].is_directory and found[0].name == name

    async def named(self, prefix: str, matches: Callable[[str], bool], most: int) -> list[FileEntry]:
        """At most `most` files at its top whose names begin with `prefix` and match. Of 1000 such names, that is."""
        try:
            entries = await self.files.entries(self.volume, ".", _before(prefix), 1000)
        except (OSError, ValueError, ArmError):
            return []
        found = [one for one in entries if one.name.startswith(prefix) and not one.is_directory and matches(one.name)]
        return found[:most]

    async def tail(self, path: str, most: int) -> str:
        """The last bytes of a file as text; '' where there is none."""
        try:
            file = await self.open(path)
        except ArmError:
            return ""
        return await asyncio.to_thread(_tail, file, most)


def _before(text: str) -> str:
    """What is less than a name that begins with the text, and not less than any other name that is."""
    return text[:-1] + chr(ord(text[-1]) - 1) + "\U0010ffff"


def _tail(file: BinaryIO, most: int) -> str:
    with file:
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), most, max(size - most, 0)).decode("utf-8", "replace")
