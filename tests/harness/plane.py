"""A whole service without HTTP, processes or time: real store and handlers, an engine in memory, a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.service.app import ROUTES
from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import check_names, key_of, parse_path
from azext_batchai.service.control import file_servers
from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.control.node_pool import Node
from azext_batchai.service.engine import engines
from azext_batchai.service.engine.base import Login
from azext_batchai.service.service import Service, open_service
from azext_batchai.service.settings import Settings
from azext_batchai.service.store import Record
from harness.memory_engine import MemoryEngine, World
from harness.virtual_time import VirtualClock, VirtualLoop

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lab"
WORKSPACE = f"{GROUP}/providers/Microsoft.BatchAI/workspaces/ws"
EXPERIMENT = f"{WORKSPACE}/experiments/exp"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/acct"
OPERATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/eastus/operationresults"
USER = {"adminUserName": "demo", "adminUserSshPublicKey": "ssh-ed25519 AAAA demo"}
URL = "http://127.0.0.1:1"


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        code: str = self.body["error"]["code"]
        return code


class EndpointTable:
    """The endpoints of file servers that are open, opened and closed one after another as by `FileServerHost`."""

    _ports = itertools.count(30000)

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._folders: dict[str, Path] = {}
        self.open_ports: dict[str, int] = {}
        self.opened = 0
        self.closed_over: list[bool] = []  # whether the folder was there when the endpoint was closed
        self.keep: asyncio.Event | None = None
        self.errors: list[OSError] = []
        self.hold: asyncio.Event | None = None

    async def open(self, key: str, folder: str, login: Login, port: int) -> int:
        async with self._lock:
            await asyncio.sleep(0)
            if self.hold:
                await self.hold.wait()
            if self.errors:
                raise self.errors.pop(0)
            Path(folder).mkdir(parents=True, exist_ok=True)
            assert key not in self.open_ports, f"{key} is opened a second time"
            self.opened += 1
            self.open_ports[key] = port or next(self._ports)
            self._folders[key] = Path(folder)
            return self.open_ports[key]

    async def close(self, key: str) -> None:
        async with self._lock:
            await asyncio.sleep(0)
            if self.keep:
                await self.keep.wait()
            if self.open_ports.pop(key, None):
                self.closed_over.append(self._folders[key].is_dir())

    async def close_all(self) -> None:
        self.open_ports.clear()


class _Database:
    """The connection to the state file, which may break in the middle of a transaction."""

    def __init__(self, real: sqlite3.Connection, plane: Plane) -> None:
        self._real = real
        self._plane = plane

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            left = self._plane.writes_left
            if left == 0:
                raise sqlite3.OperationalError("disk I/O error")
            self._plane.writes += 1
            if not self._real.in_transaction:
                self._plane.loose_writes.append(statement)
            self._plane.writes_left = left and left - 1
        return self._real.execute(statement, *values)


class Plane:
    """One state folder and the services that follow each other on it."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, monkeypatch)
        self.world = World()
        self.settings = Settings(home=home)
        self.full = False
        self.writes_left: int | None = None  # so many statements can still be written; None: all that come
        self.loose_writes: list[str] = []  # those in no transaction: who knows when they are on the disk
        self.writes = 0  # statements that changed the state file
        self.waits_for_disk = 0  # transactions that were on the disk before anything went on
        self.why = "database or disk is full"
        self._monkeypatch = monkeypatch

    def set(self, **settings: Any) -> None:
        """Other settings; they hold from the next start on."""
        self.settings = replace(self.settings, **settings)

    def fresh(self, home: Path) -> Plane:
        """Another plane in a folder of its own, with a loop and a world of its own."""
        home.mkdir(parents=True)
        return Plane(home, self._monkeypatch)

    async def start(self) -> None:
        self.engine = MemoryEngine(self.world)
        self.endpoints = EndpointTable()
        self._monkeypatch.setattr(engines, "LocalEngine", lambda settings, files: self.engine)
        self._monkeypatch.setattr(file_servers, "FileServerHost", lambda: self.endpoints)
        self.service: Service = open_service(self.settings, URL)
        self._let_fail(self.service)
        await self.service.start()

    def _let_fail(self, service: Service) -> None:
        store = service.store
        real = store.transaction

        @contextmanager
        def transaction(durable: bool = True) -> Iterator[None]:
            outermost = store._depth == 0
            with real(durable):
                yield
                if self.full:
                    raise sqlite3.OperationalError(self.why)
            if outermost and store._durable:
                self.waits_for_disk += 1

        wait = store.on_disk

        async def on_disk() -> None:
            if store._sync.synced < store._sync.committed:
                self.waits_for_disk += 1
            await wait()

        self._monkeypatch.setattr(store, "on_disk", on_disk)
        self._monkeypatch.setattr(store, "transaction", transaction)
        self._monkeypatch.setattr(store, "_db", _Database(store._db, self))

    def wait_for_no_disk(self) -> None:
        """Nothing happens any more between a commit and its being on the disk."""

        async def on_disk() -> None:
            pass

        self._monkeypatch.setattr(self.service.store, "on_disk", on_disk)

    async def new(self) -> None:
        """The first service, with a workspace and an experiment."""
        await self.start()
        assert (await self.call("PUT", WORKSPACE, {"location": "eastus"})).status == 200
        assert (await self.call("PUT", EXPERIMENT)).status == 200

    async def crash(self) -> None:
        """kill -9 of the service: only its state file and the world stay."""
        self.service.store.close()
        self.loop.forget_everything()
        await self.loop.settle()
        self.loop.forget_everything()

    async def restart(self, settle: bool = True) -> None:
        await self.crash()
        await self.start()
        if settle:
            await self.loop.settle()

    def content(self) -> dict[str, list[Any]]:
        """All that the state file holds."""
        tables = ("resources", "secrets", "operations")
        return {table: self.service.store._db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}

    async def close(self) -> None:
        """Stop the service as it stops by itself: nothing is ended."""
        await self.service.close(tear_down=False)

    # Requests

    async def call(self, method: str, path: str, body: Any = None, engine: str = "", **query: str) -> Answer:
        """What `app` does with a request, without HTTP around it."""
        arm_path = parse_path(path)
        assert arm_path, path
        try:
            check_names(arm_path)
            handler = ROUTES[method, arm_path.pattern]
            reply = await handler(self.service, Call(method, arm_path, path, query, body, URL, engine))
        except ArmError as exc:
            return Answer(exc.status, exc.body(), {})
        except (sqlite3.Error, OSError) as exc:
            return Answer(503, {"error": {"code": "ServiceUnavailable", "message": str(exc)}}, {})
        return Answer(reply.status, reply.body, reply.headers)

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """A request, and all that follows from it without time going by."""
        answer = await self.call(method, path, body, **more)
        await self.loop.settle()
        return answer

    async def operation(self, answer: Answer) -> dict[str, Any]:
        """What a poll of an accepted request's operation says."""
        path = answer.headers["Azure-AsyncOperation"].removeprefix(URL).partition("?")[0]
        body: dict[str, Any] = (await self.call("GET", path)).body
        return body

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.loop.settle()

    # Clusters and nodes

    async def cluster(
        self,
        nodes: int = 0,
        *,
        auto: tuple[int, ...] = (),
        option: str = "requeue",
        name: str = "c",
        engine: str = "",
        workspace: str = WORKSPACE,
        **more: Any,
    ) -> Answer:
        """Create a cluster; `auto` is minimum, maximum and perhaps the initial number of nodes."""
        settings = {"scaleSettings": scale(nodes, auto, option), "userAccountSettings": USER}
        body = {"vmSize": "STANDARD_D1", **settings, **more}
        return await self.ask("PUT", f"{workspace}/clusters/{name}", {"properties": body}, engine=engine)

    async def rescale(self, nodes: int = 0, auto: tuple[int, ...] = (), option: str = "requeue") -> Answer:
        body = {"properties": {"scaleSettings": scale(nodes, auto, option)}}
        return await self.ask("PATCH", f"{WORKSPACE}/clusters/c", body)

    def controller(self, name: str = "c") -> ClusterController:
        controller = self.service.fleet.get(key_of(f"{WORKSPACE}/clusters/{name}"))
        assert controller
        return controller

    async def show(self, name: str = "c") -> dict[str, Any]:
        properties: dict[str, Any] = (await self.call("GET", f"{WORKSPACE}/clusters/{name}")).body["properties"]
        return properties

    async def counts(self, name: str = "c") -> dict[str, int]:
        """How many nodes are in which state, as the wire tells it."""
        counts = (await self.show(name))["nodeStateCounts"]
        return {state.removesuffix("NodeCount"): count for state, count in counts.items() if count}

    def nodes(self, name: str = "c") -> dict[str, str]:
        """The nodes of a cluster that are not leaving, with their states, oldest first."""
        return {node.node_id: node.state for node in self.controller(name).nodes.active()}

    def node(self, node_id: str, name: str = "c") -> Node:
        node = self.controller(name).nodes.get(node_id)
        assert node
        return node

    def numbers(self, name: str = "c") -> list[int]:
        """The running numbers in the names of the nodes that are there."""
        return [int(node_id.split("_")[1].split("-")[0]) for node_id in self.nodes(name)]

    # Jobs

    def job_body(self, nodes: int = 1, cluster: str = "c", limit: str = "", **more: Any) -> dict[str, Any]:
        properties = {
            "cluster": {"id": f"{WORKSPACE}/clusters/{cluster}"},
            "nodeCount": nodes,
            "customToolkitSettings": {"commandLine": "true"},
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/out",
            **({"constraints": {"maxWallClockTime": limit}} if limit else {}),
            **more,
        }
        return {"properties": {key: value for key, value in properties.items() if value is not None}}

    async def job(self, name: str, nodes: int = 1, **more: Any) -> Answer:
        return await self.ask("PUT", job_path(name), self.job_body(nodes, **more))

    def record(self, path: str) -> Record | None:
        return self.service.store.get(key_of(path))

    def state(self, name: str) -> str:
        """The execution state of a job; "gone" where it is not there."""
        record = self.record(job_path(name))
        return str(record.properties["executionState"]) if record else "gone"

    def states(self, *names: str) -> list[str]:
        return [self.state(name) for name in names]

    def error(self, name: str) -> str:
        """The code of the error that a job ended with; "" for none."""
        record = self.record(job_path(name))
        assert record
        errors = record.properties["executionInfo"].get("errors")
        return str(errors[0]["code"]) if errors else ""

    def nodes_of(self, name: str) -> list[str]:
        record = self.record(job_path(name))
        assert record
        return list(record.internal["nodes"])

    async def end(self, *names: str, exit_code: int = 0) -> None:
        for name in names:
            self.engine.end(name, exit_code)
        await self.loop.settle()


def job_path(name: str) -> str:
    return f"{EXPERIMENT}/jobs/{name}"


def scale(nodes: int = 0, auto: tuple[int, ...] = (), option: str = "requeue") -> dict[str, Any]:
    if not auto:
        return {"manual": {"targetNodeCount": nodes, "nodeDeallocationOption": option}}
    settings = dict(zip(("minimumNodeCount", "maximumNodeCount", "initialNodeCount"), auto))
    return {"autoScale": settings}
