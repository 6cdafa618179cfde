"""This machine as a host of tasks: the launcher forks their runners, pidfds tell when they end."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from azext_batchai.service import clock, open_files
from azext_batchai.service.engine.host import Handle, NotStarted

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl
_KILL_ROUNDS, _KILL_PAUSE = 500, 0.01


class LocalHost:
    """See `engine.host.Host`. The launcher process is started with the first task, and again where it was killed."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._replies: dict[int, asyncio.Future[int]] = {}
        self._next = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def fork(self, request: Mapping[str, Any]) -> Handle | None:
        if not self._writer or self._writer.is_closing():
            async with self._lock:
                if not self._writer or self._writer.is_closing():
                    await self._start()
        assert self._writer
        self._next += 1
        number = self._next
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        message = json.dumps({"id": number, **request}).encode()
        self._writer.write(struct.pack("!I", len(message)) + message)
        try:
            return _open(await reply)
        finally:
            self._replies.pop(number, None)

    async def _start(self) -> None:
        if self._process:
            await self._process.wait()
        ours, theirs = socket.socketpair()
        with theirs:
            script = str(Path(__file__).with_name("launcher.py"))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", script, str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath},
            )  # fmt: skip
        open_files.give_usual_limit(self._process.pid)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.get_running_loop().create_task(self._read(reader, self._writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!I", await reader.readexactly(4))
                reply = json.loads(await reader.readexactly(size))
                future = self._replies.pop(reply["id"], None)
                if not future or future.done():  # who asked has gone away
                    continue
                if "pid" in reply:
                    future.set_result(reply["pid"])
                else:
                    future.set_exception(OSError(reply["error"]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(NotStarted("the launcher process has ended"))
        self._replies.clear()

    async def find(self, claim: Mapping[str, Any], cookie: str) -> Handle | None:
        pid = claim.get("pid", 0)
        if not pid or self.has_restarted(claim):
            return None
        handle = _open(pid)
        found = False
        try:
            found = handle is not None and _identity(pid) == (claim["startTime"], cookie)
        finally:
            if handle and not found:
                os.close(handle.opened)
        return handle if found else None

    def has_restarted(self, claim: Mapping[str, Any]) -> bool:
        return claim.get("bootId") != clock.boot_id()

    async def ended(self, handle: Handle) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(handle.opened, ready)
        try:
            await ended
        finally:
            loop.remove_reader(handle.opened)
            os.close(handle.opened)

    def stop(self, handle: Handle) -> None:
        try:
            signal.pidfd_send_signal(handle.opened, signal.SIGTERM)
        except ProcessLookupError:
            pass

    async def call(
        self, argv: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            preexec_fn=go_with_parent,
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), seconds)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            return 1, f"no answer in {seconds:.0f} s"
        return process.returncode or 0, said.decode(errors="replace").strip()

    async def kill_marked(self, variable: str, value: str) -> None:
        mark = f"{variable}={value}".encode()
        for _ in range(_KILL_ROUNDS):
            # Once more until nothing is found: one that was just being forked has escaped, and dying takes a moment.
            if not await asyncio.to_thread(_kill_marked, mark):
                return
            await asyncio.sleep(_KILL_PAUSE)

    async def close(self) -> None:
        """Let the launcher end; what it started goes on."""
        if self._writer:
            self._writer.close()
        if self._reading:
            await self._reading
        if self._process:
            await self._process.wait()


def go_with_parent() -> None:
    """What a killed service was doing here must not go on beside what the next one does; its own children stay."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _open(pid: int) -> Handle | None:
    try:
        return Handle(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return None


def _identity(pid: int) -> tuple[str, str]:
    """Start time and name of a process; its name is the cookie of its task."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    name, _, rest = stat.partition(" (")[2].rpartition(")")
    fields = rest.split()
    return ("", "") if fields[0] == "Z" else (fields[19], name)


def _kill_marked(mark: bytes) -> int:
    """How many processes were found, and killed."""
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found += 1
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
    return found
