"""The runners of this machine, as the service has them: forked by the launcher, used for one task after the other."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azext_batchai.service import open_files
from azext_batchai.service.engine.host import Handle, NotStarted
from azext_batchai.service.engine.local.frames import Frames, frame

_MOST_IDLE = 32
_IDLE_SECONDS = 30.0
_CLOSE_SECONDS = 2.0
_FORKS_AT_ONCE = 16  # so many requests, of this size at most, fit into the launcher's socket
_MOST_ENTER_BYTES = 1 << 12
_REPLY_BYTES = 1 << 12

Key = tuple[str, ...]  # what its tasks enter


@dataclass(frozen=True)
class Given(Handle):
    """A runner that this service has given the task `cookie` to; `end` comes from it, None where it is gone before."""

    runner: Runner
    cookie: str
    end: asyncio.Future[dict[str, Any] | None]

    def stop(self) -> None:
        self.runner.send({"stop": self.cookie})


class Runner(asyncio.Protocol):
    """One process. `free` is called when its task has ended, and it can take the next."""

    def __init__(self, pid: int, key: Key, free: Callable[[Runner], None]) -> None:
        self.pid = pid
        self.key = key
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._given: Given | None = None
        self.since = 0.0  # when it became idle
        self.gone = asyncio.get_running_loop().create_future()

    def give(self, request: Mapping[str, Any]) -> Given:
        given = Given(self.pid, self, request["cookie"], asyncio.get_running_loop().create_future())
        if self.gone.done():
            given.end.set_result(None)
        else:
            self._given = given
            self.send(request)
        return given

    def has(self, cookie: str) -> Given | None:
        """The task `cookie`, where it runs that one."""
        return self._given if self._given and self._given.cookie == cookie else None

    def send(self, message: Mapping[str, Any]) -> None:
        if self._transport and not self.gone.done():
            self._transport.write(frame(message))

    def hang_up(self) -> None:
        """It ends, when it has no task any more; of one that runs nothing is heard from here on."""
        self._given = None
        if self._transport and not self.gone.done():
            self._transport.write_eof()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._has_ended(message["end"])
            if message["more"]:
                self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)
        self._has_ended(None)
        self._free(self)

    def _has_ended(self, end: dict[str, Any] | None) -> None:
        given, self._given = self._given, None
        if given and not given.end.done():
            given.end.set_result(end)


class Runners:
    """Those that are idle wait a while for the next task of the same kind."""

    def __init__(self) -> None:
        self.launcher = Launcher()
        self._idle: list[Runner] = []  # who has been idle longest comes first
        self._all: dict[int, Runner] = {}  # those that live, by their pids
        self._tidying: asyncio.TimerHandle | None = None

    async def give(self, request: Mapping[str, Any]) -> Given:
        """Have a task run. Raises NotStarted, OSError."""
        key = tuple(request.get("enter", ()))
        runner = next((runner for runner in reversed(self._idle) if runner.key == key), None)
        if runner:
            self._idle.remove(runner)
        else:
            runner = await self._new(key)
        return runner.give(request)

    def of(self, pid: int) -> Runner | None:
        """The runner with this pid, where it is one of this service's."""
        return self._all.get(pid)

    async def _new(self, key: Key) -> Runner:
        pid, channel = await self.launcher.fork(key)
        runner = self._all[pid] = Runner(pid, key, self._free)
        try:
            await asyncio.get_running_loop().create_connection(lambda: runner, sock=channel)
        except BaseException:
            channel.close()
            self._all.pop(pid, None)
            raise
        return runner

    def _free(self, runner: Runner) -> None:
        if runner.gone.done():
            if runner in self._idle:
                self._idle.remove(runner)
            if self._all.get(runner.pid) is runner:
                del self._all[runner.pid]
            return
        loop = asyncio.get_running_loop()
        runner.since = loop.time()
        self._idle.append(runner)
        if len(self._idle) > _MOST_IDLE:
            self._idle.pop(0).hang_up()
        if not self._tidying:
            self._tidying = loop.call_later(_IDLE_SECONDS, self._tidy)

    def _tidy(self) -> None:
        """Let go who has had nothing to do for long."""
        self._tidying = None
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0].since >= _IDLE_SECONDS:
            self._idle.pop(0).hang_up()
        if self._idle:
            self._tidying = loop.call_at(self._idle[0].since + _IDLE_SECONDS, self._tidy)

    async def close(self) -> None:
        """Let those go that have no task; the others go on, and end with theirs."""
        if self._tidying:
            self._tidying.cancel()
        idle, self._idle = self._idle, []
        for runner in self._all.values():
            runner.hang_up()
        if idle:
            await asyncio.wait([runner.gone for runner in idle], timeout=_CLOSE_SECONDS)
        await self.launcher.close()


class Launcher:
    """The launcher process, which is started before the first fork, and again where it was killed."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._at_once = asyncio.Semaphore(_FORKS_AT_ONCE)
        self._channel: socket.socket | None = None
        self._replies: dict[int, asyncio.Future[tuple[int, socket.socket]]] = {}
        self._last = 0
        self.process: asyncio.subprocess.Process | None = None

    async def fork(self, key: Key) -> tuple[int, socket.socket]:
        """A new runner's pid and channel. Raises NotStarted where the launcher ends meanwhile, OSError."""
        async with self._at_once:
            channel = await self.start()
            self._last += 1
            number = self._last
            reply: asyncio.Future[tuple[int, socket.socket]] = asyncio.get_running_loop().create_future()
            self._replies[number] = reply
            enter = key if sum(map(len, key)) < _MOST_ENTER_BYTES else ()  # it makes its own namespace then
            try:
                channel.send(json.dumps({"id": number, "enter": enter}).encode())
                return await reply
            except ConnectionError:
                self._hang_up(channel)
                raise NotStarted("the launcher process has ended") from None
            finally:
                self._replies.pop(number, None)

    async def start(self) -> socket.socket:
        """Have it run; returns its channel. Raises OSError."""
        async with self._lock:
            return self._channel or await self._start()

    async def _start(self) -> socket.socket:
        if self.process:
            await self.process.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                script = str(Path(__file__).with_name("launcher.py"))
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", script, str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    env={"PATH": os.defpath},
                )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        open_files.give_usual_limit(self.process.pid)
        ours.setblocking(False)
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours, self._read, ours)
        return ours

    def _read(self, channel: socket.socket) -> None:
        try:
            body, descriptors, flags, _ = socket.recv_fds(channel, _REPLY_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            body = b""
        if not body:
            self._hang_up(channel)
            return
        message = json.loads(body)
        given = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        reply = self._replies.pop(message["id"], None)
        if not reply or reply.done():  # who asked has gone away: the runner too, when its channel is closed
            for end in given:
                end.close()
        elif "error" in message:
            reply.set_exception(OSError(message["error"]))
        elif not given:
            reply.set_exception(NotStarted("no descriptor was left for the runner's channel"))
        else:
            given[0].setblocking(False)
            reply.set_result((message["pid"], given[0]))

    def _hang_up(self, channel: socket.socket) -> None:
        if channel is not self._channel:  # done, and there may be another by now
            return
        asyncio.get_running_loop().remove_reader(channel)
        channel.close()
        self._channel = None
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(NotStarted("the launcher process has ended"))

    async def close(self) -> None:
        if self._channel:
            self._hang_up(self._channel)
        if self.process:
            await self.process.wait()
