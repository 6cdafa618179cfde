"""Which engine runs which cluster: chosen when the cluster is created, recorded with it, never changed."""

from __future__ import annotations

import asyncio

from azext_batchai.service.engine.base import Engine
from azext_batchai.service.engine.local.engine import LocalEngine
from azext_batchai.service.engine.local.folder_files import FolderFiles
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import Record

LOCAL = "local"


class Engines:
    """The engines of one service, by the names under which clusters ask for them."""

    def __init__(self, settings: Settings, storage: StorageLayout) -> None:
        self._engines: dict[str, Engine] = {LOCAL: LocalEngine(settings, FolderFiles(storage))}

    @property
    def names(self) -> list[str]:
        return sorted(self._engines)

    def of(self, cluster: Record) -> Engine:
        """The engine that a cluster was created with."""
        return self._engines[cluster.internal["engine"]]

    async def start(self) -> None:
        await asyncio.gather(*(engine.start() for engine in self._engines.values()))

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))
