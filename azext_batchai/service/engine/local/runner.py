"""A runner: the process that owns a task. The launcher's runners have one task after the other, those of Slurm's agent
one each.

Standard library only, for Python 3.8 or newer. What a task is comes as a request:
  {"folder", "cookie", "argv", "cwd", "environment", "stdout", "stderr", "grace", "pipes", "errors"}
  and {"enter", "inside"} where argv runs in a mount namespace: bubblewrap's words, and the working directory there

A runner owns its task's folder:
  claim.<cookie>  {"pid", "startTime", "bootId"}: made once; whoever makes it owns the start (the service makes one
             itself to be sure that a task which never started does not start late)
  exit.json  {"exitCode"} | {"signal", "outOfMemory"} | {"error"} | {"lost"}, with "ended": written whole when every
             process of the task is gone; "mounts": whether something was mounted meanwhile where the command ran
  claim.old, exit.old  those of a task that ended in this folder before: files that are written again, as new ones
             cost much more where many were removed lately (ext4 without a journal)
While it has a task a runner is called by its cookie. TERM to a runner ends its task: TERM to all processes, KILL after
`grace` seconds.

`pipes` are named pipes ({path: "stdout" | "stderr"}) that ranks of one job write to: the runner copies them into the
task's files line by line, so that lines of several ranks stay whole. `errors` is the one that the command has as its
stderr, or empty.

The channel of one that the launcher has forked (frames.py):
  to the runner    a request | {"stop": cookie}, which is what TERM is
  from the runner  {"end", "more"}  what exit.json says, and whether the next request may come
It ends where the channel is closed, when its task has ended.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipe_relay import PipeRelay  # type: ignore[import-not-found]  # it lies beside this file, as the next one
from runner_events import Events  # type: ignore[import-not-found]

if TYPE_CHECKING:
    import socket

    from azext_batchai.service.engine.local.namespaces import Namespace

    Json = dict[str, Any]  # Python 3.8, which the nodes of a Slurm cluster may have, cannot say this
TASK_VARIABLE = "BATCHAI_TASK"
_FILE_BYTES = 256  # of a claim and of most results, filled with blanks
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_POLL_SECONDS = 0.05
_LOST_SECONDS = 0.05
_IDLE_NAME = b"batchai-runner"
_libc = ctypes.CDLL(None, use_errno=True)


def become_runner(request: Json) -> None:
    """Run a task in this forked process, which ends with it."""
    status = 1
    try:
        gc.disable()
        if "agent" in request:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if Runner(Events(), None).run(request) is not None:
            status = 0
    finally:
        os._exit(status)


def serve(channel: socket.socket, namespace: Namespace | None) -> None:
    """Run the tasks that come over `channel` in this forked process, all of them in `namespace`; ends with it."""
    try:
        events = Events(channel)
        runner = Runner(events, namespace)
        while True:
            set_name(_IDLE_NAME)
            request = events.next_task(runner.outside.watched())
            if not request:
                break
            end = runner.run(request)
            if end is None or not events.tell(end, runner.is_as_new) or not runner.is_as_new:
                break
    finally:
        os._exit(0)


def set_name(name: bytes) -> None:
    """What this process is called in /proc: 15 bytes at most."""
    _libc.prctl(_PR_SET_NAME, name[:15], 0, 0, 0)


def _unless_lost(request: Json, result: Json) -> Json:
    """{"lost": reason} where the node was being taken away: the file `lostMark` says so, made by who is told first.

    The command may have been told as early as that one, and have ended at once: a bad end waits for the mark a little.
    """
    mark = request.get("lostMark")
    if not mark:
        return result
    if _is_orphan(request):
        return {"lost": "the node's agent was killed"}
    if result.get("exitCode") != 0 and not os.path.exists(mark):
        time.sleep(_LOST_SECONDS)
    try:
        with open(mark, encoding="ascii") as file:
            return {"lost": file.read()}
    except OSError:
        return result


def _is_orphan(request: Json) -> bool:
    """Whether the agent is gone that this task belongs to: nobody would know of the task any more."""
    return "agent" in request and os.getppid() != request["agent"]


def _claim(folder: str, cookie: str) -> bool:
    """Make this process the task's owner; False when somebody else is."""
    temporary = os.path.join(folder, f"pid.{os.getpid()}")
    _take(os.path.join(folder, "claim.old"), temporary)
    _write_new(temporary, {"pid": os.getpid(), "startTime": _start_time(), "bootId": boot_id()})
    try:
        os.link(temporary, os.path.join(folder, f"claim.{cookie}"))
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


@lru_cache(None)
def _start_time() -> str:
    """Of this process, which asks for it when it has been forked."""
    return _read("/proc/self/stat").rpartition(b")")[2].split()[19].decode()


@lru_cache(None)
def boot_id() -> str:
    """Which run of the machine this is."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(path: str) -> bytes:
    """A small file of the kernel's."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)


def _take(old: str, path: str) -> None:
    """Have the file of an earlier task at `path`, where there is one."""
    try:
        os.rename(old, path)
    except OSError:
        pass


def _write_new(path: str, content: Json) -> None:
    """Over what is there, which is not longer than this: cutting a file short would have it written to the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(content).encode().ljust(_FILE_BYTES))
    finally:
        os.close(file)


def _write(name: str, old: str, content: Json) -> None:
    """Whole, but not on the disk: it is needed only as long as the machine runs, with which the task would be lost."""
    temporary = f"{name}.{os.getpid()}"
    _take(old, temporary)
    _write_new(temporary, content)
    os.replace(temporary, name)


def _relays(request: Json) -> list[PipeRelay]:
    paths: dict[str, list[str]] = {}
    for path, stream in request["pipes"].items():
        paths.setdefault(request[stream], []).append(path)
    return [PipeRelay(target, sources) for target, sources in paths.items()]


class Runner:
    """This process as the owner of tasks, one at a time; with `namespace` all of them run in it."""

    def __init__(self, events: Events, namespace: Namespace | None) -> None:
        os.setsid()
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._events = events
        self._namespace = namespace
        self._entered = False
        self.is_as_new = True  # whether a task to come finds what it would find under a new runner
        self.outside, self._inside = Mounts(), Mounts()
        if namespace:
            self.outside.watch()

    def run(self, request: Json) -> Json | None:
        """Run a task to its end, which exit.json has then too; None where somebody else owns it."""
        set_name(request["cookie"].encode())
        self._events.begin(request["cookie"])
        if not _claim(request["folder"], request["cookie"]):
            return None
        result = _unless_lost(request, self._run(request))
        result["ended"] = time.time()
        _write("exit.json", "exit.old", result)  # the folder is the working directory now
        os.chdir("/")
        return result

    def _run(self, request: Json) -> Json:
        """Start the command, wait for it, leave no process of it behind."""
        events, relays = self._events, _relays(request)
        result: Json = {}
        pid = 0
        folder = os.open(request["folder"], os.O_RDONLY | os.O_DIRECTORY)
        try:
            pid = self._start(request)
        except _NotStarted as exc:
            result["error"] = str(exc)
        finally:
            os.chdir(folder)  # which need not be where it was, seen from the namespace
            os.close(folder)
        oom_kills = _oom_kills()
        stopping = None
        kill_at = 0.0
        while _reap(pid, result):
            if stopping is None:
                if not result and not events.stop:
                    events.wait(relays, None)
                if result or events.stop:  # what the command left behind goes with it
                    stopping = signal.SIGTERM
                    kill_at = time.monotonic() + (0 if _is_orphan(request) else request["grace"])
                    _signal_all(stopping)
                continue
            if time.monotonic() >= kill_at:
                stopping = signal.SIGKILL
                _signal_all(stopping)
            events.wait(relays, _POLL_SECONDS)
        for relay in relays:
            relay.finish()
        result["mounts"] = self._inside.changed()
        self.is_as_new = self.is_as_new and not result["mounts"]
        if result.get("signal") == signal.SIGKILL or result.get("exitCode") == 128 + signal.SIGKILL:
            result["outOfMemory"] = _oom_kills() > oom_kills
        return result

    def _start(self, request: Json) -> int:
        """Start the command, by posix_spawn: it copies nothing of this process. Raises _NotStarted."""
        argv, cwd = list(request["argv"]), request["cwd"]
        environment = {**request["environment"], TASK_VARIABLE: request["cookie"]}
        step = ""
        actions = []
        try:
            errors = request.get("errors") or request["stderr"]
            for path, descriptor in ((os.devnull, 0), (request["stdout"], 1), (errors, 2)):
                step = path
                flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
                actions.append((os.POSIX_SPAWN_DUP2, os.open(path, flags, 0o666), descriptor))
            if "enter" in request:
                if self._enter([request["folder"], os.path.dirname(request["stdout"])]):
                    cwd = environment["PWD"] = request["inside"]
                else:
                    argv = [*request["enter"], "--chdir", request["inside"], "--", *argv]
            step = cwd
            os.chdir(cwd)
            step = argv[0]
            usual = os.umask(0o022)
            try:
                return os.posix_spawn(
                    argv[0],
                    argv,
                    environment,
                    file_actions=actions,
                    setsid=True,
                    setsigmask=(),
                    setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                )
            finally:
                os.umask(usual)
        except OSError as exc:
            raise _NotStarted(f"{step}: {exc.strerror}") from None
        finally:
            for _, opened, _ in actions:
                os.close(opened)

    def _enter(self, folders: list[str]) -> bool:
        """Put this process into its namespace; False where there is none, or it cannot be entered.

        The next task's folders are looked for from there: is_as_new says whether they are what they are outside.
        """
        if not self._namespace:
            self.is_as_new = False  # the next runner may have one
        elif not self._entered:
            before = _identities(folders)
            self._entered = self._namespace.enter()
            self.is_as_new = self._entered and _identities(folders) == before
            if self._entered:
                self._inside.watch()
        return self._entered


def _identities(paths: list[str]) -> list[tuple[int, int]]:
    """What tells files from each other; as far as they are there."""
    return [(status.st_dev, status.st_ino) for status in map(os.stat, filter(os.path.exists, paths))]


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since the machine started."""
    try:
        found = _read("/proc/vmstat").partition(b"\noom_kill ")[2].split(None, 1)
    except OSError:
        return 0
    return int(found[0]) if found else 0


def _reap(command: int, result: Json) -> bool:
    """Collect ended children and note the command's status; False when no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == command and "error" not in result:
            if os.WIFSIGNALED(status):
                result["signal"] = os.WTERMSIG(status)
            else:
                result["exitCode"] = os.WEXITSTATUS(status)


def _signal_all(number: int) -> None:
    """Signal every descendant: as their subreaper this process has them all below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = (int(fields[1]), fields[0])
    family = {os.getpid()}
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    for pid in family - {os.getpid()}:
        if parents[pid][1] != "Z":
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


class _NotStarted(Exception):
    """Why the command cannot be started."""


class Mounts:
    """Whether anything is mounted or unmounted from a moment on, where this process is."""

    def __init__(self) -> None:
        self._file = -1
        self._poll = select.poll()

    def watch(self) -> None:
        """Begin with it. Raises OSError."""
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll.register(self._file, select.POLLPRI)

    def watched(self) -> list[int]:
        """The descriptor that `select` takes for exceptional then, where it is watched at all."""
        return [self._file] if self._file >= 0 else []

    def changed(self) -> bool:
        """Since the last time that this was asked."""
        return self._file >= 0 and bool(self._poll.poll(0))
