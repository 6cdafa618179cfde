"""Which engine runs which cluster: chosen when the cluster is created, recorded with it, never changed."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable
from typing import Any

from azext_batchai.service.engine.base import Engine
from azext_batchai.service.engine.local.engine import LocalEngine
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.engine.slurm import profile
from azext_batchai.service.engine.slurm.engine import SlurmEngine
from azext_batchai.service.engine.slurm.probe import probe
from azext_batchai.service.engine.slurm.profile import Profile, ProfileError
from azext_batchai.service.engine.slurm.queue import SlurmQueue
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import Record

log = logging.getLogger(__name__)

LOCAL = "local"
_LEFT_SECONDS = 60  # a Slurm that does not answer keeps no state from being deleted


class Engines:
    """The engines of one service, by the names under which clusters ask for them.

    Profiles are read again whenever they are needed: an edit of engines.json holds from then on.
    """

    def __init__(self, settings: Settings, storage: StorageLayout) -> None:
        self._settings = settings
        self._files = FolderFiles(storage)
        self._queue = SlurmQueue()
        self._local = LocalEngine(settings, self._files)
        self._engines: dict[str, Engine] = {LOCAL: self._local}

    def profiles(self) -> dict[str, Profile]:
        """Raises ProfileError."""
        return profile.load(self._settings.profiles_file)

    def profile(self, name: str) -> Profile:
        """Raises ProfileError, also where there is none of this name."""
        known = self.profiles()
        if name not in known:
            close = difflib.get_close_matches(name, [*known, LOCAL], 1, 0.5)
            hint = f"Did you mean '{close[0]}'?" if close else f"Engines: {', '.join([LOCAL, *known])}."
            raise ProfileError(f"There is no engine '{name}' in {self._settings.profiles_file}. {hint}")
        return known[name]

    def chosen(self, wanted: str) -> str:
        """The name of the engine for a new cluster, `wanted` or the default one. Raises ProfileError."""
        name = wanted or self._settings.engine
        if name != LOCAL:
            self.profile(name)
        return name

    def of(self, cluster: Record) -> Engine:
        """The engine that a cluster was created with."""
        name = cluster.internal["engine"]
        if name not in self._engines:
            self._engines[name] = SlurmEngine(self._settings, self._files, self._queue, self._reader(name))
        return self._engines[name]

    def _reader(self, name: str) -> Callable[[], Profile]:
        return lambda: self.profile(name)

    async def describe(self, check: bool) -> list[dict[str, Any]]:
        """Every engine with its name and type, and what is found where it is tried. Raises ProfileError."""
        found: list[dict[str, Any]] = [{"name": LOCAL, "type": LOCAL}]
        for name, entry in self.profiles().items():
            found.append({"name": name, "type": "slurm", "partition": entry.placement.partition or None})
            if check:
                found[-1]["checks"] = await probe(entry, self._settings.home)
        for engine in found:
            engine["default"] = engine["name"] == self._settings.engine
        return found

    async def release_left(self) -> None:
        """Take away every node that has a folder, whatever the records say or would say."""
        slurm = SlurmEngine(self._settings, self._files, self._queue, self._reader(""))
        for release, left in ((slurm.release, slurm.left()), (self._local.release, self._local.left())):
            for node_id in left:
                try:
                    await asyncio.wait_for(release(node_id), _LEFT_SECONDS)
                except asyncio.TimeoutError:
                    log.error("node %s could not be released in %s s", node_id, _LEFT_SECONDS)
        await self.close()

    async def start(self) -> None:
        await asyncio.gather(*(engine.start() for engine in self._engines.values()))

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))
        self._queue.close()
