"""One run of the service: put the parts together, serve until told to stop, let go without ending a job."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import signal
import socket
import uuid
from collections.abc import Callable
from typing import Any

import uvicorn

from azext_batchai._version import VERSION
from azext_batchai.service.app import Application
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_now
from azext_batchai.service.engine.slurm.profile import ProfileError
from azext_batchai.service.instance import LOCK_FILE, Instance, process_start_time
from azext_batchai.service.service import open_service
from azext_batchai.service.settings import Settings
from azext_batchai.service.store import Record, Store

log = logging.getLogger(__name__)


class PortError(Exception):
    """The port asked for cannot be had."""


class _Server(uvicorn.Server):
    """uvicorn that sleeps until it is told to stop: its own main loop wakes ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop_requested = asyncio.Event()

    async def main_loop(self) -> None:
        await self.stop_requested.wait()


def run(settings: Settings, instance: Instance, ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve until a signal or a shutdown request. Raises PortError, StateError."""
    listener = _listen(settings.port)
    asyncio.run(_Run(settings, instance, listener, ready).serve())


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; without it every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except (OSError, OverflowError) as exc:
        listener.close()
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise PortError(f"Port {port} on 127.0.0.1 cannot be used: {reason}.") from None
    return listener


class _Run:
    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        listener: socket.socket,
        ready: Callable[[dict[str, Any]], None],
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._listener = listener
        self._ready = ready
        self._reset = False
        self._token = secrets.token_hex(32)
        self._service = open_service(settings, f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def serve(self) -> None:
        service = self._service
        await service.start()
        config = uvicorn.Config(
            Application(service, self._token, self._local),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._server.stop_requested.set)
        self._state = self._describe()
        serving = loop.create_task(self._server._serve([self._listener]))  # `serve` would take the signals over
        while not self._server.started and not serving.done():
            await asyncio.sleep(0)
        self._instance.publish(self._state)
        log.info("service %s ready at %s, state in %s", VERSION, service.base_url, self._settings.home)
        self._ready(self._state)
        await serving
        await self._let_go()

    def _describe(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "pid": os.getpid(),
            "processStartTime": process_start_time(os.getpid()),
            "endpoint": self._service.base_url,
            "subscription": _subscription(self._service.store),
            "token": self._token,
            "version": VERSION,
            "startedAt": wire_now(),
        }

    async def _local(self, method: str, action: str) -> Reply:
        """Management of the service itself, for `az batchai local`."""
        if (method, action) == ("GET", "status"):
            return Reply(200, self._status())
        if (method, action) == ("POST", "shutdown"):
            self._stop_soon()
            return Reply(202)
        if method == "GET" and action in ("engines", "engines/check"):
            return await self._engines(check=action.endswith("check"))
        if method == "POST" and action.startswith("preempt/"):
            return await self._preempt(action.removeprefix("preempt/"))
        if (method, action) == ("POST", "reset"):
            self._reset = True
            self._stop_soon()
            return Reply(202)
        raise ArmError(404, "ResourceNotFound", f"There is no local operation '{action}'.")

    async def _preempt(self, node_id: str) -> Reply:
        """Take the low-priority node away; answered when it is gone."""
        for controller in self._service.fleet:
            if controller.nodes.get(node_id):
                await controller.preempt(node_id)
                return Reply(200, {"nodeId": node_id})
        raise ArmError(404, "NodeNotFound", f"There is no node {node_id}.")

    async def _engines(self, check: bool) -> Reply:
        try:
            return Reply(200, {"engines": await self._service.engines.describe(check)})
        except ProfileError as exc:
            raise bad_request(str(exc), code="EngineNotUsable") from None

    def _stop_soon(self) -> None:
        log.info("%s requested", "reset" if self._reset else "shutdown")
        asyncio.get_running_loop().call_later(0.05, self._server.stop_requested.set)

    def _status(self) -> dict[str, Any]:
        fleet = self._service.fleet
        public = {
            key: value for key, value in self._state.items() if key not in ("token", "schema", "processStartTime")
        }
        return {
            "status": "running",
            **public,
            "home": str(self._settings.home),
            "storage": str(self._service.storage.root),
            "clusters": len(fleet),
            "nodes": sum(len(controller.nodes) for controller in fleet),
            "jobsRunning": sum(controller.running_jobs for controller in fleet),
            "jobsQueued": sum(len(controller.queue) for controller in fleet),
        }

    async def _let_go(self) -> None:
        await self._service.close(tear_down=self._reset)
        self._instance.withdraw()
        if self._reset:
            _erase(self._settings)
        log.info("service stopped")


def _subscription(store: Store) -> str:
    """The subscription of this state folder, made at its first start."""
    record = store.get("/local/subscription")
    if not record:
        record = Record("/local/subscription", "local", "", {"id": str(uuid.uuid4())})
        with store.transaction():
            store.add(record)
    identifier: str = record.body["id"]
    return identifier


def _erase(settings: Settings) -> None:
    """Delete the whole state; the lock goes last, the log stays."""
    for entry in settings.home.iterdir():
        if entry.name in (LOCK_FILE, "service.log"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
