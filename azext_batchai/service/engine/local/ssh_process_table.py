"""All processes of one endpoint's sessions, to end them with the node."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection

from azext_batchai.service.engine.local.ssh_process import SessionProcess

POLL_SECONDS = (0.005, 0.1)  # first, longest
REAP_SECONDS = 1.0


class ProcessTable:
    """The running session leaders, and the sessions in which something outlived its leader."""

    def __init__(self) -> None:
        self._running: set[SessionProcess] = set()
        self._left_behind: set[int] = set()

    def add(self, process: SessionProcess) -> None:
        self._running.add(process)
        process.exited.add_done_callback(lambda _: self._leader_ended(process))

    async def end(self, grace: float) -> None:
        """Send TERM to all processes, KILL to those that are there `grace` seconds later; wait until they are gone."""
        leaders = list(self._running)
        sessions = {process.pid for process in leaders} | {sid for sid in self._left_behind if not _reused(sid)}
        if not sessions:
            return
        _signal_all(sessions, signal.SIGTERM)
        for process in leaders:
            if process.has_terminal:  # interactive shells ignore TERM; this one is meant for them
                _signal(-process.pid, signal.SIGHUP)
        if not await _gone(sessions, grace):
            _signal_all(sessions, signal.SIGKILL)
            await _gone(sessions, REAP_SECONDS)
        if leaders:
            await asyncio.wait([process.exited for process in leaders], timeout=REAP_SECONDS)
        self._left_behind.clear()

    def _leader_ended(self, process: SessionProcess) -> None:
        self._running.discard(process)
        self._left_behind = {sid for sid in (*self._left_behind, process.pid) if not _reused(sid) and _members([sid])}


def _reused(sid: int) -> bool:
    """True when another process has got the number of a leader that we have reaped.

    A number stays taken while its session has members, so this means that none is left.
    """
    return _exists(sid)


async def _gone(sessions: Collection[int], seconds: float) -> bool:
    """Wait until the sessions have no member; False when they still have after `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    pause, longest = POLL_SECONDS
    while _members(sessions):
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)
    return True


def _signal_all(sessions: Collection[int], number: int) -> None:
    for target in _members(sessions):
        _signal(target, number)


def _signal(target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # ended meanwhile, or changed its user
        os.kill(target, number)


def _members(sessions: Collection[int]) -> list[int]:
    """Return what to signal to reach the members of sessions: processes; without /proc, process groups."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return [-sid for sid in sessions if _exists(-sid)]
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):  # ended meanwhile
            if os.getsid(pid) in sessions and not _is_zombie(pid):
                found.append(pid)
    return found


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as stream:
        return stream.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _exists(target: int) -> bool:
    try:
        os.kill(target, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
