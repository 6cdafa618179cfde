"""One running service: its state, and above it what acts (engines, clusters, file servers, deletions)."""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import dataclass

from azext_batchai.service.arm.operations import Operations
from azext_batchai.service.control.deletions import Deletions
from azext_batchai.service.control.file_servers import FileServers
from azext_batchai.service.control.fleet import Fleet
from azext_batchai.service.engine.engines import Engines
from azext_batchai.service.secrets_vault import Vault
from azext_batchai.service.settings import Settings
from azext_batchai.service.state import State
from azext_batchai.service.storage.layout import StorageLayout
from azext_batchai.service.store import DamagedRecord, Record, Store

log = logging.getLogger(__name__)


@dataclass
class Service(State):
    """The top of the house: handlers of requests get it, nothing below knows it."""

    engines: Engines
    fleet: Fleet
    file_servers: FileServers
    deletions: Deletions

    async def start(self) -> None:
        """Go on where an earlier service left off."""
        await self.engines.start()
        await self._release_damaged_nodes()
        self.file_servers.resume()
        self.fleet.resume()
        self.deletions.resume()
        self.operations.finish_others()
        self.operations.forget_old()

    async def _release_damaged_nodes(self) -> None:
        """A node whose record is damaged is taken away with all that runs on it: its job is to start elsewhere."""
        self.store.all_of("node")  # meets those that are damaged
        for node in [damage for damage in self.store.damaged.values() if damage.kind == "node"]:
            cluster_key, _, name = node.key.rsplit("/", 2)
            try:
                cluster = self.store.get(cluster_key)
            except DamagedRecord:
                continue
            if cluster:
                await self.engines.of(cluster).release(name)
            with self.store.transaction():
                self.store.forget_damaged(node.key)

    async def close(self, tear_down: bool) -> None:
        """Let go; jobs go on unless `tear_down` asks for the end of everything."""
        if tear_down:
            await asyncio.gather(*(controller.tear_down() for controller in self.fleet))
        self.deletions.close()
        self.fleet.close()
        await self.file_servers.close()
        await self.engines.close()
        self.store.close()


def open_service(settings: Settings, base_url: str) -> Service:
    """Open the state folder and put the parts together. Raises StateError."""
    store = Store(settings.home / "state.db")
    try:
        vault = Vault(store, settings.home / "secrets.key")
    except BaseException:
        store.close()
        raise
    storage = StorageLayout(settings.home)
    state = State(settings, store, vault, storage, Operations(store), base_url)
    engines = Engines(settings, storage)
    fleet = Fleet(state, engines)
    file_servers = FileServers(state)

    async def end_job(record: Record) -> None:
        await fleet.end_job(record)
        kept = storage.kept / record.properties["jobOutputDirectoryPathSegment"].rsplit("/", 1)[-1]
        if kept.exists():
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)

    async def remove_account(record: Record) -> None:
        await asyncio.to_thread(storage.remove_account, record.name)

    deletions = Deletions(
        state,
        {
            "cluster": fleet.tear_down,
            "job": end_job,
            "fileserver": file_servers.tear_down,
            "account": remove_account,
        },
    )
    return Service(**vars(state), engines=engines, fleet=fleet, file_servers=file_servers, deletions=deletions)
