"""A node of a block as a host of tasks: its agent, spoken to through a relay that Slurm starts there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.host import Handle, NotStarted
from azext_batchai.service.engine.slurm import commands, sealed
from azext_batchai.service.engine.slurm.relay import NO_AGENT

log = logging.getLogger(__name__)

_RETRY_SECONDS = (0.05, 0.2, 1.0, 5.0)
_FIRST_THAT_UNSEALS = 2
_CLOSE_SECONDS = 2.0
_FILE_SECONDS = 10.0  # how long a shared file system may take to show what another machine has written


@dataclass(frozen=True)
class Greeting:
    """What an agent says of its node when it is ready. `machine` is the same for nodes that share one network."""

    version: int
    host: str
    socket: str
    address: str
    interface: str
    machine: str
    python: str
    environment: Mapping[str, str]
    sftp_server: str = ""

    @property
    def local(self) -> Path:
        """A folder that only this node has."""
        return Path(self.socket).parent

    @classmethod
    def read(cls, path: Path) -> Greeting:
        """Raises OSError, ValueError, KeyError."""
        content = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in cls.__dataclass_fields__ if name not in content and name != "sftp_server"]
        if missing:
            raise KeyError(missing[0])
        return cls(**{name: content[name] for name in cls.__dataclass_fields__ if name in content})


class _ChannelLost(Exception):
    """The relay ended before the reply came."""


class SlurmHost:
    """See `engine.host.Host`. Calls wait while the channel is away, and end when the node is lost.

    `relay` is the command that connects us; `on_silence` is called when the channel is lost: is the node, too?
    `version` is the agent's.
    """

    def __init__(self, relay: Sequence[str], on_silence: Callable[[], None], version: int = 0) -> None:
        self._relay = tuple(relay)
        self._seals = version >= _FIRST_THAT_UNSEALS
        self._on_silence = on_silence
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self._stops: set[int] = set()  # runners that are to be told to stop
        self._lost: asyncio.Future[TaskError] = asyncio.get_running_loop().create_future()
        self._closing = self._silent = False
        self.agent_is_gone = False

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def is_silent(self) -> bool:
        """A channel has ended, and no other has come yet."""
        return self._silent and not self.is_lost

    @property
    def is_lost(self) -> bool:
        return self._lost.done()

    def connect(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def ready(self) -> bool:
        """Wait for the channel; False where the node is lost."""
        return not self.is_lost and await self._unless_lost(self._connected.wait(), False)

    def lose(self, reason: TaskError) -> None:
        """The node is gone, and all that ran on it."""
        if not self._lost.done():
            self._lost.set_result(reason)
        if self._running:
            self._running.cancel()

    async def lost(self) -> TaskError:
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Let go; what runs there goes on. The relay is let end by itself: Slurm waits for one that was killed."""
        if not self._running:
            return
        self._closing = True
        if self._process and self._process.stdin:
            self._process.stdin.close()
            await asyncio.wait((self._running,), timeout=_CLOSE_SECONDS)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    # engine.host.Host

    async def start(self, request: Mapping[str, Any]) -> Handle | None:
        message = {"op": "fork", "request": dict(request)}
        if self._seals:
            message = {"op": "fork", **sealed.write(Path(request["folder"]) / f"request.{request['cookie']}", request)}
        try:
            reply = await self._once(message)
        except _ChannelLost:
            raise NotStarted("the channel to the node's agent was lost") from None
        if reply is None:
            raise OSError("the node is lost")
        if "error" in reply:
            raise OSError(reply["error"])
        return Handle(reply["pid"])

    async def find(self, claim: Mapping[str, Any], cookie: str) -> Handle | None:
        reply = await self._ask({"op": "find", "claim": dict(claim), "cookie": cookie})
        return Handle(reply["pid"]) if reply and reply.get("pid") else None

    def has_restarted(self, claim: Mapping[str, Any]) -> bool:
        return False  # the allocation goes with its machine: that is a lost node

    async def ended(self, handle: Handle) -> None:
        try:
            reply = await self._ask({"op": "ended", "pid": handle.pid})
        finally:
            self._stops.discard(handle.pid)
        if reply and reply.get("folder"):
            await _appears(Path(reply["folder"]) / "exit.json")

    def stop(self, handle: Handle) -> None:
        self._stops.add(handle.pid)
        if self.is_connected:
            self._send({"id": 0, "op": "stop", "pid": handle.pid})

    async def call(
        self, argv: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        request = {"op": "call", "argv": list(argv), "seconds": seconds}
        if environment is not None:
            request["environment"] = dict(environment)
        reply = await self._ask(request)
        if reply is None:
            return 1, "the node is lost"
        return (127, reply["error"]) if "error" in reply else (reply["status"], reply["said"])

    async def kill_marked(self, variable: str, value: str) -> None:
        await self._ask({"op": "kill", "mark": f"{variable}={value}"})

    async def free_ports(self, among: Sequence[int], count: int) -> list[int]:
        reply = await self._ask({"op": "ports", "among": list(among), "count": count})
        return reply["ports"] if reply else []

    async def make_pipes(self, name: str, pipes: Sequence[str], address: str, token: str) -> int | None:
        """Named pipes in a folder of the node's own; the port of the pump at `address`, 0 without one, None if lost."""
        request = {"op": "pipes", "name": name, "pipes": list(pipes), "address": address, "token": token}
        reply = await self._ask(request)
        if reply and "error" in reply:
            raise TaskError("TaskStartFailed", "The ranks' output cannot be brought together", {"Info": reply["error"]})
        return reply["port"] if reply else None

    # The channel

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Ask until there is a reply; None where the node is lost. For what may be done twice."""
        while True:
            try:
                return await self._once(message)
            except _ChannelLost:
                continue

    async def _once(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if not await self.ready():
            return None
        self._next += 1
        number = self._next
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        self._send({"id": number, **message})
        try:
            answered: dict[str, Any] | None = await self._unless_lost(reply, None)
            return answered
        finally:
            self._replies.pop(number, None)

    async def _unless_lost(self, waiting: Awaitable[Any], otherwise: Any) -> Any:
        task = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((task, self._lost), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else otherwise
        finally:
            task.cancel()

    def _send(self, message: dict[str, Any]) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _run(self) -> None:
        """Keep a channel for as long as the node is ours."""
        attempts = 0
        while not self._closing:
            try:
                status = await self._connection()
            except OSError as exc:
                log.warning("the relay could not be started: %s", exc)
                status = None
            if self._connected.is_set():
                attempts = 0
            self._connected.clear()
            if self._closing:
                return
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(_ChannelLost())
            self.agent_is_gone, self._silent = status == NO_AGENT, True
            self._on_silence()
            await asyncio.sleep(_RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS) - 1)])
            attempts += 1

    async def _connection(self) -> int | None:
        """One relay from its start to its end; its exit status."""
        self._process = process = await asyncio.create_subprocess_exec(
            *self._relay,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=commands.environment(),
            limit=1 << 26,
            start_new_session=True,
        )
        assert process.stdout
        try:
            async for line in process.stdout:
                self._on_line(line)
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await asyncio.shield(process.wait())

    def _on_line(self, line: bytes) -> None:
        try:
            reply = json.loads(line)
        except ValueError:
            log.warning("the relay said %r", line[:200])
            return
        if "agent" in reply:
            self.agent_is_gone = self._silent = False
            for pid in self._stops:
                self._send({"id": 0, "op": "stop", "pid": pid})
            self._connected.set()
            return
        future = self._replies.get(reply["id"])
        if future and not future.done():
            future.set_result(reply)


async def _appears(path: Path) -> None:
    """Wait until a file of another machine is seen here: looking at its folder makes NFS ask again."""
    waited = 0.0
    while waited < _FILE_SECONDS:
        try:
            if path.name in os.listdir(path.parent):
                return
        except OSError:
            pass
        await asyncio.sleep(0.02)
        waited += 0.02
