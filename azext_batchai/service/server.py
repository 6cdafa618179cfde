"""One run of the service: put the parts together, serve until told to stop, let go without ending a job."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from azext_batchai._version import VERSION
from azext_batchai.service import front, open_files
from azext_batchai.service.app import Application
from azext_batchai.service.arm.errors import ArmError, bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.clock import wire_now
from azext_batchai.service.connections import Connection, Connections, Listener, quiet_handler
from azext_batchai.service.control import node_times
from azext_batchai.service.engine.engines import LOCAL, Engines
from azext_batchai.service.engine.slurm.profile import ProfileError
from azext_batchai.service.instance import LOCK_FILE, Instance, process_start_time
from azext_batchai.service.ports import Ports
from azext_batchai.service.service import open_service
from azext_batchai.service.settings import Settings
from azext_batchai.service.storage.layout import StorageLayout

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from azext_batchai.service.front.front import Front
    from azext_batchai.service.ui.pages import Pages

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 4096
_GC_THRESHOLD = (5000, 20, 20)
# How long a thread that lists or makes files keeps Python from the loop, each time that this waits for anything.
_SWITCH_SECONDS = 0.0005
_RESET_FILE = "reset"  # there while a state is being deleted


class _Server(uvicorn.Server):
    """uvicorn that sleeps until it is told to stop (its own main loop wakes ten times a second), with our listener."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, limit: int) -> None:
        super().__init__(config)
        self.server_state = Connections()
        self.stop_requested = asyncio.Event()
        self.at_stop: Callable[[], None] | None = None  # ends answers that go on and on
        self._listener = Listener(listener, self.make_connection, self.server_state, limit)

    def make_connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._listener.start()
        self.servers = [self._listener]  # type: ignore[list-item]  # closed and awaited by uvicorn
        self.started = True

    async def main_loop(self) -> None:
        await self.stop_requested.wait()
        if self.at_stop:
            self.at_stop()


def run(settings: Settings, instance: Instance, ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve until a signal or a shutdown request. Raises PortError, StateError."""
    finish_reset(settings.home)
    ports = Ports(settings.home)
    one_run = _Run(settings, instance, ports, ports.listen("http", settings.port), ready)
    try:
        asyncio.run(one_run.serve())
    finally:
        one_run.close_state()


def discard_state(settings: Settings) -> None:
    """End the nodes that the folders tell of, with all that runs there, and delete the state without opening it."""
    finish_reset(settings.home)
    asyncio.run(Engines(settings, StorageLayout(settings.home)).release_left())
    _delete_state(settings.home)


class _Run:
    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        ports: Ports,
        listener: socket.socket,
        ready: Callable[[dict[str, Any]], None],
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._ports = ports
        self._listener = listener
        self._ready = ready
        self._reset = False
        self._front: Front | None = None
        self._ui: Pages | None = None
        self._token = secrets.token_hex(32)
        self._service = open_service(settings, f"http://127.0.0.1:{listener.getsockname()[1]}")

    def close_state(self) -> None:
        """However the run ends: the state's file must not look like that of a service that was killed."""
        self._service.store.close()

    async def serve(self) -> None:
        service = self._service
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet_handler())
        limit = min(open_files.raise_limit() // 2, _MOST_CONNECTIONS)  # nodes and jobs need descriptors, too
        try:
            self._state = self._describe()
            self._instance.prepare(self._state)
            await service.start()
        except sqlite3.Error as exc:
            raise service.store.unusable(str(exc)) from exc
        config = uvicorn.Config(
            Application(service, self._token, self._local, self._page),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,  # anybody on this machine could say with one to be somebody else
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, self._listener, limit)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._server.stop_requested.set)
        serving = loop.create_task(self._server._serve())  # `serve` would take the signals over
        while not self._server.started and not serving.done():
            await asyncio.sleep(0)
        await self._resume_front()
        self._instance.publish()
        log.info("service %s ready at %s, state in %s", VERSION, service.base_url, self._settings.home)
        self._ready(self._state)
        sys.setswitchinterval(_SWITCH_SECONDS)
        gc.freeze()  # what is there by now stays: looking through it again and again would cost each job some
        gc.set_threshold(*_GC_THRESHOLD)
        await serving
        await self._let_go()

    def _describe(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "pid": os.getpid(),
            "processStartTime": process_start_time(os.getpid()),
            "endpoint": self._service.base_url,
            "subscription": self._service.subscription,
            "token": self._token,
            "version": VERSION,
            "startedAt": wire_now(),
        }

    async def _resume_front(self) -> None:
        """Open the front again where it was open; the modules that it needs are loaded only then."""
        if self._service.vault.holds(front.KEY):
            await self._front_of_house().resume()

    def _front_of_house(self) -> Front:
        from azext_batchai.service.front.front import Front

        if not self._front:
            self._front = Front(self._service, self._ports, self._server.make_connection)
        return self._front

    def _pages(self) -> Pages:
        """The page, whose modules are loaded when it is first asked for."""
        from azext_batchai.service.ui.pages import Pages

        if not self._ui:
            self._ui = Pages(self._service)
            self._server.at_stop = self._ui.close
        return self._ui

    async def _page(self, request: Request) -> Response:
        return await self._pages().answer(request)

    async def _local(self, method: str, action: str, body: Any) -> Reply:
        """Management of the service itself, for `az batchai local`."""
        if (method, action) == ("GET", "status"):
            return Reply(200, self._status())
        if (method, action) == ("POST", "shutdown"):
            self._stop_soon()
            return Reply(202)
        if (method, action) == ("POST", "front"):
            return Reply(200, await self._front_of_house().open(body))
        if method == "GET" and action in ("engines", "engines/check"):
            return await self._engines(check=action.endswith("check"))
        if method == "GET" and action.startswith("usage/"):
            return Reply(200, node_times.usage(self._service.store, action.removeprefix("usage/")))
        if method == "POST" and action.startswith("preempt/"):
            return await self._preempt(action.removeprefix("preempt/"))
        if (method, action) == ("POST", "ui"):
            return Reply(200, self._pages().invite(opener=bool(body and body.get("opener"))))
        if (method, action) == ("POST", "ui/revoke"):
            return Reply(200, self._pages().revoke())
        if (method, action) == ("GET", "overview"):
            return Reply(200, self._overview())
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

    def _overview(self) -> dict[str, Any]:
        from azext_batchai.service.ui.overview import summary

        return summary(self._service)

    def _status(self) -> dict[str, Any]:
        fleet = self._service.fleet
        public = {
            key: value for key, value in self._state.items() if key not in ("token", "schema", "processStartTime")
        }
        return {
            "status": "running",
            **public,
            **({"tls": self._front.endpoint} if self._front else {}),
            "home": str(self._settings.home),
            "storage": str(self._service.storage.root),
            "clusters": len(fleet),
            "nodes": sum(len(controller.nodes) for controller in fleet),
            "nodeHosts": {
                node_id: host
                for controller in fleet
                if controller.engine_name != LOCAL  # whose nodes are all on this machine
                for node_id, host in controller.nodes.hosts().items()
            },
            "jobsRunning": sum(controller.running_jobs for controller in fleet),
            "jobsQueued": sum(len(controller.queue) for controller in fleet),
            "damagedRecords": [str(damage) for damage in self._service.store.damaged.values()],
        }

    async def _let_go(self) -> None:
        if self._front:
            self._front.close()
        await self._service.close(tear_down=self._reset)
        self._instance.withdraw()
        if self._reset:
            _delete_state(self._settings.home)
        log.info("service stopped")


def _delete_state(home: Path) -> None:
    (home / _RESET_FILE).touch()
    finish_reset(home)


def finish_reset(home: Path) -> None:
    """Delete the whole state where that has begun; the lock and the log stay."""
    mark = home / _RESET_FILE
    if not mark.exists():
        return
    for entry in home.iterdir():
        if entry.name in (LOCK_FILE, _RESET_FILE, "service.log"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    mark.unlink(missing_ok=True)
