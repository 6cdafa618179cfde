"""The endpoints of file servers: opened after their record is there, closed when it goes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.background import Background, until_written
from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.local.file_server import FileServerHost
from azext_batchai.service.model.logins import login_of
from azext_batchai.service.state import State
from azext_batchai.service.store import Record

KIND = "fileserver"
MOUNT_POINT = "/data"


class FileServers:
    """All file servers of a service; their folders and endpoints are always on this machine."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._host = FileServerHost()
        self._background = Background("file servers")

    def begin(self, record: Record, operation: str) -> None:
        """Make a server whose record stands; `operation` ends with it."""
        self._background.spawn(
            self._state.operations.carry_out(operation, self._make(record), f"Making file server {record.name}")
        )

    def resume(self) -> None:
        """Open the endpoints again after a restart, and make what an earlier service began."""
        for record in self._state.store.all_of(KIND):
            if not record.internal.get("deleting"):
                operation = record.internal.get("operation", "")
                if self._state.operations.reopen(operation):
                    self.begin(record, operation)
                else:
                    self._background.spawn(self._make(record))

    async def _make(self, record: Record) -> None:
        """Make the folder and its endpoint, and say where they are.

        `fileServerPublicPort` and `localPath` are additions: a server here shares its address with others.
        """
        if not self._current(record):
            return
        settings = record.properties["sshConfiguration"]["userAccountSettings"]
        login = login_of(settings, record.internal["login"])
        folder = record.internal["folder"]
        try:
            port = await self._host.open(record.key, folder, login, record.internal["port"])
        except OSError as exc:
            await until_written(lambda: self._enter(record, "failed"))
            reason = exc.strerror or str(exc)
            raise ArmError(
                500, "FileServerProvisioningFailed", f"File Server provisioning has failed: {reason}"
            ) from None
        place: dict[str, object] = {
            "mountPoint": MOUNT_POINT,
            "fileServerPublicIP": "127.0.0.1",
            "fileServerInternalIP": "127.0.0.1",
            "fileServerPublicPort": port,
            "localPath": folder,
        }
        await until_written(lambda: self._enter(record, "succeeded", place))

    def _current(self, record: Record) -> Record | None:
        """The record as it is now; None where it is gone or going, or another server has got its name."""
        current = self._state.store.get(record.key)
        return current if current and current.seq == record.seq and not current.internal.get("deleting") else None

    def _enter(self, begun: Record, state: str, place: dict[str, object] | None = None) -> None:
        """The one place where a file server's state changes; one that is gone or going is left alone."""
        record = self._current(begun)
        if not record:
            return
        properties = record.properties
        changed = properties["provisioningState"] != state
        if changed:
            properties["provisioningState"] = state
            properties["provisioningStateTransitionTime"] = wire_now()
        if place:
            properties["mountSettings"] = place
            record.internal["port"] = place["fileServerPublicPort"]
        with self._state.store.transaction():
            self._state.store.update(record, touch=changed)

    async def tear_down(self, record: Record) -> None:
        """Close the endpoint and remove the folder."""
        await self._host.close(record.key)
        await asyncio.to_thread(shutil.rmtree, Path(record.internal["folder"]).parent, ignore_errors=True)

    async def close(self) -> None:
        self._background.cancel()
        await self._host.close_all()
