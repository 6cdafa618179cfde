"""File servers on this machine: a folder with an SSH endpoint of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from azext_batchai.service.engine.base import Login
from azext_batchai.service.engine.local.environment import node_environment
from azext_batchai.service.engine.local.node import open_endpoint
from azext_batchai.service.engine.local.ssh_server import SshEndpoint
from azext_batchai.service.engine.local.view import View


class FileServerHost:
    """The endpoints, by the keys of their servers. One key is opened and closed by one caller at a time."""

    def __init__(self) -> None:
        self._endpoints: dict[str, SshEndpoint] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def open(self, key: str, folder: str, login: Login, port: int) -> int:
        """Make the folder and open its endpoint; returns the port, the former one where it is free. Raises OSError."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            data = Path(folder)
            data.mkdir(parents=True, exist_ok=True)
            environment = node_environment(data.parent, "fileserver")
            try:
                endpoint = await open_endpoint(key, View(data.parent), data, login, environment, port)
            except ValueError as exc:  # its key is damaged
                raise OSError(str(exc)) from None
            self._endpoints[key] = endpoint
            return endpoint.port

    async def close(self, key: str) -> None:
        async with self._locks.setdefault(key, asyncio.Lock()):
            endpoint = self._endpoints.pop(key, None)
            if endpoint:
                await endpoint.close()
        self._locks.pop(key, None)

    async def close_all(self) -> None:
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints.values()))
