"""This machine as a host of tasks: its runners, those of an earlier service by pidfds."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.engine.host import Handle
from azext_batchai.service.engine.local.runners import Given, Runners

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl
_KILL_ROUNDS, _KILL_PAUSE = 500, 0.01
_LOOKS = 20


@dataclass(frozen=True)
class _Found(Handle):
    """A runner that an earlier service has started, by its pidfd: it ends with its task."""

    opened: int


class LocalHost:
    """See `engine.host.Host`."""

    def __init__(self) -> None:
        self.runners = Runners()

    async def warm_up(self) -> None:
        """Do ahead what would make the first task wait."""
        with contextlib.suppress(OSError):  # the task will say so
            await self.runners.launcher.start()

    async def start(self, request: Mapping[str, Any]) -> Handle | None:
        return await self.runners.give(request)

    async def find(self, claim: Mapping[str, Any], cookie: str) -> Handle | None:
        pid = claim.get("pid", 0)
        if not pid or self.has_restarted(claim):
            return None
        own = self.runners.of(pid)
        if own:  # it does not end with its task
            return own.has(cookie)
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

    async def ended(self, handle: Handle) -> Mapping[str, Any] | None:
        if isinstance(handle, Given):
            return await asyncio.shield(handle.end)
        assert isinstance(handle, _Found)
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
        return None

    def stop(self, handle: Handle) -> None:
        if isinstance(handle, Given):
            handle.stop()
        elif isinstance(handle, _Found):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle.opened, signal.SIGTERM)

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
        """Let the launcher end, and runners that have no task; what was started goes on."""
        await self.runners.close()


def go_with_parent() -> None:
    """What a killed service was doing here must not go on beside what the next one does; its own children stay."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _open(pid: int) -> _Found | None:
    try:
        return _Found(pid, os.pidfd_open(pid))
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
    found, seen = 0, set[str]()
    for _ in range(_LOOKS):
        missed = False
        new = {name for name in os.listdir("/proc") if name.isdigit()} - seen
        seen |= new
        for name in new:
            try:
                if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found += 1
                    os.kill(int(name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                missed = True  # it may have been one, and have left another, which is new then
            except OSError:
                continue
        if not missed:
            break
    return found
