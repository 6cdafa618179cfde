"""Tasks: commands that run under runners of their own, started, awaited, ended and found again (P2 to P7).

A task's truth is in its folder: `cookie` names the start that is under way, `claim.<cookie>` who made it, `exit.json`
how it ended. A runner claims its start before anything else; whoever makes the claim first has decided about it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azext_batchai.service.engine.base import MachineRestarted, TaskError
from azext_batchai.service.engine.host import Handle, Host, NotStarted

log = logging.getLogger(__name__)

TASK_VARIABLE = "BATCHAI_TASK"  # runner.py sets it
_FILE_BYTES = 256  # of the files that it fills up
_STARTS = 20
_PAUSES = (0.02, 0.5)  # before the third start, and at most; each is twice the one before
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Command:
    """What a task runs: `argv[0]` is an absolute path, the files are appended to.

    `pipes` are named pipes whose lines are copied into `stdout` or `stderr` as well; `errors` is the one that the
    command itself writes its errors to, where it is not to write them to `stderr` by itself. With `enter` (bubblewrap
    and its arguments) the command runs in that mount namespace, which tasks with the same words may share; `inside` is
    its working directory there.
    """

    argv: tuple[str, ...]
    cwd: str | Path
    environment: Mapping[str, str]
    stdout: str | Path
    stderr: str | Path
    pipes: Mapping[str, str] = field(default_factory=dict)
    errors: str = ""
    enter: tuple[str, ...] = ()
    inside: str = ""


@dataclass(frozen=True)
class TaskEnd:
    """`exit_code` is 128 + the signal's number where a signal ended the command, as a shell has it.

    `mounts`: whether something may have been mounted meanwhile where tasks run that share the command's namespace.
    """

    exit_code: int
    signal: int | None = None
    out_of_memory: bool = False
    mounts: bool = field(default=True, compare=False)


class Task:
    """One task in its folder."""

    def __init__(self, host: Host, folder: Path, grace: float) -> None:
        self._host = host
        self._grace = grace
        self.folder = folder
        self._handle: Handle | None = None
        self._stop = asyncio.Event()

    async def run(self, command: Command, resume: bool) -> TaskEnd:
        """Run the command to its end; with `resume` a task that was started before is found again, not started.

        Raises TaskError where the command could not be started or its runner is lost, MachineRestarted where it was
        lost with the machine.
        """
        end = await self.adopt() if resume else None
        for number in range(_STARTS):
            if end:
                return end
            await self._pause(number - 2)
            if self._stop.is_set():
                return TaskEnd(128 + signal.SIGTERM, signal.SIGTERM)
            end = await self._start(command)
        if end:
            return end
        raise TaskError(
            "TaskStartFailed", "The process could not be started", {"Info": "its launcher ended again and again"}
        )

    async def _pause(self, number: int) -> None:
        """A launcher that dies with each start ends them all: time may help. Cut short where the task is stopped."""
        if number >= 0:
            try:
                pause = min(_PAUSES[0] * 2**number, _PAUSES[1])
                await asyncio.wait_for(self._stop.wait(), pause * random.uniform(0.5, 1.5))  # not all at once again
            except asyncio.TimeoutError:
                pass

    async def adopt(self) -> TaskEnd | None:
        """The end of a task that was started before, awaited where it runs; None where it never started, nor will.

        Raises TaskError where its runner is lost, MachineRestarted where it was lost with the machine.
        """
        cookie = await self._read_again("cookie")
        if not cookie or await self._take_back(cookie):
            return None
        claim = _json(await self._read_again(f"claim.{cookie}"))
        if claim.get("takenBack"):
            return None
        return await self._await(await self._found(claim, cookie), cookie)

    async def stop(self) -> None:
        """TERM, then KILL after the grace time, to every process of the task. Idempotent."""
        self._stop.set()
        if self._handle:
            self._host.stop(self._handle)

    async def _start(self, command: Command) -> TaskEnd | None:
        """Start the command and await its end; None where it did not start and never will under its cookie."""
        try:
            cookie = self._new_cookie()
        except OSError as exc:
            raise _not_started(exc) from None
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
            "errors": command.errors,
            **({"enter": command.enter, "inside": command.inside} if command.enter else {}),
        }
        try:
            handle = await self._host.start(request)
        except NotStarted:
            return await self.adopt()
        except OSError as exc:
            end = await self.adopt()  # it may run, where it is the service that cannot hold on to it
            if not end:
                raise _not_started(exc) from None
            return end
        if not handle:  # its runner has ended; killed before it could claim the start, perhaps
            return await self.adopt()
        return await self._await(handle, cookie)

    async def _await(self, handle: Handle | None, cookie: str) -> TaskEnd | None:
        end: Mapping[str, Any] | None = None
        if handle:
            self._handle = handle
            if self._stop.is_set():
                self._host.stop(handle)
            try:
                end = await self._host.ended(handle)
            finally:
                self._handle = None
        if not end:
            text = await self._read_again("exit.json")
            if not text:
                if await self._take_back(cookie):
                    return None
                await self._host.kill_marked(TASK_VARIABLE, cookie)
            end = _json(text)
        if not end:
            raise await self._lost(cookie)
        if "lost" in end:
            raise TaskError("NodeLost", "The node was lost while the task ran", {"Info": end["lost"]})
        if "error" in end:
            raise TaskError("TaskStartFailed", "The process could not be started", {"Info": end["error"]})
        number = end.get("signal")
        code = 128 + number if number else end["exitCode"]
        return TaskEnd(code, number, bool(end.get("outOfMemory")), bool(end.get("mounts", True)))

    async def _lost(self, cookie: str) -> TaskError:
        claim = _json(await self._read_again(f"claim.{cookie}"))
        lost = "NodeLost", "The node was lost while the task ran"
        if "bootId" in claim and self._host.has_restarted(claim):
            return MachineRestarted(*lost, {"Info": "its machine was started anew"})
        return TaskError(*lost, {"Info": "its supervisor ended without a result"})

    async def _found(self, claim: Mapping[str, Any], cookie: str) -> Handle | None:
        while True:
            try:
                return await self._host.find(claim, cookie)
            except OSError as exc:  # too few descriptors: what runs must not go on unsupervised
                log.error("task %s cannot be taken up yet: %s", self.folder, exc)
                await asyncio.sleep(_RETRY_SECONDS)

    def _new_cookie(self) -> str:
        os.makedirs(self.folder, exist_ok=True)
        cookie = f"bai-{secrets.token_hex(5)}"
        path, old = (f"{self.folder}/{name}" for name in ("cookie", "cookie.old"))
        try:
            file, used = os.open(old, os.O_WRONLY), True
        except FileNotFoundError:
            (self.folder / "exit.json").unlink(missing_ok=True)
            # Nobody has been asked for this start yet: half a cookie is one of a task that never started.
            file, used = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), False
        try:
            os.write(file, cookie.encode())
        finally:
            os.close(file)
        if used:
            os.replace(old, path)
        return cookie

    async def _take_back(self, cookie: str) -> bool:
        """True when the task was never started and now never will be under this cookie (P4).

        Waits where the folder cannot be written; False where it is gone.
        """
        while True:
            try:
                return self._made_claim(cookie)
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError as exc:
                log.error("task %s cannot be taken up yet: %s", self.folder, exc)
                await asyncio.sleep(_RETRY_SECONDS)

    def _made_claim(self, cookie: str) -> bool:
        """Claim the start for nobody; False where there is a claim."""
        if (self.folder / f"claim.{cookie}").exists():
            # Nothing is written then: what a service that was killed here has left may be this claim's own file.
            return False
        temporary = self.folder / f"takeback.{cookie}"
        temporary.write_text(json.dumps({"takenBack": True}), encoding="ascii")
        try:
            os.link(temporary, self.folder / f"claim.{cookie}")
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    async def _read_again(self, name: str) -> str:
        """A file of the task's folder; '' where it is not there. Waits where it cannot be read for another reason."""
        while True:
            try:
                with open(f"{self.folder}/{name}", encoding="utf-8") as file:
                    return file.read()
            except (FileNotFoundError, NotADirectoryError):
                return ""
            except OSError as exc:
                log.error("%s cannot be read yet: %s", self.folder / name, exc)
                await asyncio.sleep(_RETRY_SECONDS)


def make_spare(folder: str) -> bool:
    """Make the folder of a task that has ended one for a task to come; False where there is more in it than usual.

    Its files stay and are written again: new ones cost much more where many were removed lately (ext4 without journal).
    """
    names = os.listdir(folder)
    claims = [name for name in names if name.startswith("claim.bai-")]
    if sorted(names) != sorted(["cookie", "exit.json", *claims]) or len(claims) != 1:
        return False
    if any(os.stat(f"{folder}/{name}").st_size > _FILE_BYTES for name in names):
        return False
    for name, old in ((claims[0], "claim.old"), ("exit.json", "exit.old"), ("cookie", "cookie.old")):
        os.rename(f"{folder}/{name}", f"{folder}/{old}")
    return True


def _not_started(exc: OSError) -> TaskError:
    return TaskError("TaskStartFailed", "The process could not be started", {"Info": str(exc)})


def _json(text: str) -> dict[str, Any]:
    """{} for what a crash of the machine has damaged."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
