"""Tasks: commands that run under runners of their own, started, awaited, ended and found again (design P2-P7)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.local.launcher import TASK_VARIABLE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """What a task runs: `argv[0]` is an absolute path, the files are appended to.

    `pipes` are named pipes whose lines are copied into `stdout` or `stderr` as well.
    """

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    stdout: Path
    stderr: Path
    pipes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskEnd:
    """`exit_code` is 128 + the signal's number where a signal ended the command, as a shell has it."""

    exit_code: int
    signal: int | None = None


class Launcher:
    """The service's end of the launcher process, which is started with the first task."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._replies: dict[int, asyncio.Future[int]] = {}
        self._next = 0
        self._process: asyncio.subprocess.Process | None = None

    async def fork(self, request: dict[str, Any]) -> int:
        """Have a runner made; returns its pid. Raises OSError."""
        async with self._lock:
            if not self._writer or self._writer.is_closing():
                await self._start()
        assert self._writer
        self._next += 1
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._replies[self._next] = reply
        message = json.dumps({"id": self._next, **request}).encode()
        self._writer.write(struct.pack("!I", len(message)) + message)
        return await reply

    async def _start(self) -> None:
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
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.get_running_loop().create_task(self._read(reader, self._writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack("!I", await reader.readexactly(4))
                reply = json.loads(await reader.readexactly(size))
                future = self._replies.pop(reply["id"])
                if "pid" in reply:
                    future.set_result(reply["pid"])
                else:
                    future.set_exception(OSError(reply["error"]))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        for future in self._replies.values():
            future.set_exception(OSError("the launcher process has ended"))
        self._replies.clear()

    async def close(self) -> None:
        """Let the launcher end; what it started goes on."""
        if self._writer:
            self._writer.close()
            await self._reading
        if self._process:
            await self._process.wait()


class Task:
    """One task in its folder."""

    def __init__(self, launcher: Launcher, folder: Path, grace: float) -> None:
        self._launcher = launcher
        self._grace = grace
        self.folder = folder
        self._pidfd: int | None = None
        self._stop = asyncio.Event()

    async def run(self, command: Command, resume: bool) -> TaskEnd:
        """Run the command to its end; with `resume` a task that was started before is found again, not started.

        Raises TaskError where the command could not be started or its runner is lost.
        """
        cookie = self._cookie() if resume else ""
        if cookie and not self._take_back(cookie):
            runner = self._find(cookie)
        elif self._stop.is_set():
            return TaskEnd(128 + signal.SIGTERM, signal.SIGTERM)
        else:
            cookie = self._new_cookie()
            runner = await self._launch(command, cookie)
        if runner is not None:
            await self._watch(runner)
        return self._result(cookie)

    async def stop(self) -> None:
        """TERM, then KILL after the grace time, to every process of the task. Idempotent."""
        self._stop.set()
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def _cookie(self) -> str:
        path = self.folder / "cookie"
        return path.read_text(encoding="ascii") if path.exists() else ""

    def _new_cookie(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        cookie = f"bai-{secrets.token_hex(5)}"
        (self.folder / "cookie").write_text(cookie, encoding="ascii")
        return cookie

    def _take_back(self, cookie: str) -> bool:
        """True when the task was never started and now never will be under this cookie (P4)."""
        try:
            (self.folder / f"claim.{cookie}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    async def _launch(self, command: Command, cookie: str) -> int | None:
        request = {
            "folder": str(self.folder),
            "cookie": cookie,
            "argv": command.argv,
            "cwd": str(command.cwd),
            "environment": dict(command.environment),
            "stdout": str(command.stdout),
            "stderr": str(command.stderr),
            "grace": self._grace,
            "pipes": dict(command.pipes),
        }
        try:
            pid = await self._launcher.fork(request)
        except OSError as exc:
            raise TaskError("TaskStartFailed", "The process could not be started", {"Info": str(exc)}) from None
        return _open_pidfd(pid)

    def _find(self, cookie: str) -> int | None:
        """The runner of a task that was started before; None where it has ended (P3: pid, start time and cookie)."""
        claim = self._read(f"claim.{cookie}") or {}
        pid = claim.get("pid", 0)
        if not pid or claim.get("bootId") != _boot_id():
            return None
        descriptor = _open_pidfd(pid)
        if descriptor is not None and _identity(pid) != (claim["startTime"], cookie):
            os.close(descriptor)
            return None
        return descriptor

    async def _watch(self, descriptor: int) -> None:
        """Wait until the runner has ended."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self._pidfd = descriptor

        def ready() -> None:
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(descriptor, ready)
        try:
            if self._stop.is_set():
                await self.stop()
            await ended
        finally:
            self._pidfd = None
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _result(self, cookie: str) -> TaskEnd:
        end = self._read("exit.json")
        if not end:
            kill_marked(TASK_VARIABLE, cookie)
            raise TaskError(
                "NodeLost", "The node was lost while the task ran", {"Info": "its supervisor ended without a result"}
            )
        if "error" in end:
            raise TaskError("TaskStartFailed", "The process could not be started", {"Info": end["error"]})
        if "signal" in end:
            return TaskEnd(128 + end["signal"], end["signal"])
        return TaskEnd(end["exitCode"])

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return content


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _identity(pid: int) -> tuple[str, str]:
    """Start time and name of a process; its name is the cookie of its task."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    name, _, rest = stat.partition(" (")[2].rpartition(")")
    fields = rest.split()
    return ("", "") if fields[0] == "Z" else (fields[19], name)


def kill_marked(variable: str, value: str) -> None:
    """Kill every process that has this variable in its environment: what nobody supervises any more."""
    mark = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
