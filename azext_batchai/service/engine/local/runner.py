"""A runner: the process that owns one task, forked by the launcher (or by an agent of Slurm's) and ending with it.

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
TERM to a runner ends its task: TERM to all processes, KILL after `grace` seconds.

`pipes` are named pipes ({path: "stdout" | "stderr"}) that ranks of one job write to: the runner copies them into the
task's files line by line, so that lines of several ranks stay whole. `errors` is the one that the command has as its
stderr, or empty.
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

if TYPE_CHECKING:
    from azext_batchai.service.engine.local.namespaces import Namespace

    Json = dict[str, Any]  # Python 3.8, which the nodes of a Slurm cluster may have, cannot say this
TASK_VARIABLE = "BATCHAI_TASK"
_FILE_BYTES = 256  # of a claim and of most results, filled with blanks
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM)
_POLL_SECONDS = 0.05
_PARTIAL_SECONDS = 0.05  # how long the beginning of a line waits for its end
_OPEN_SECONDS = 1.0  # how long others wait for the rest of a line whose beginning was written
_MAX_PARTIAL = 1 << 16
_LOST_SECONDS = 0.05
# mpirun says so where a process that it has started was quicker than itself: no fault, and none of the job's.
_NOISE = b"plm:rsh: Warning: setpgid("
_libc = ctypes.CDLL(None, use_errno=True)


def prepare() -> Events:
    """What this forked process can do before it knows its task."""
    gc.disable()
    os.setsid()
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Events()


def become_runner(request: Json, namespace: Namespace | None = None, events: Events | None = None) -> None:
    """Run a task in this forked process, which ends with it; `namespace` is the one to enter.

    `events` come from `prepare`, where that was called before.
    """
    status = 1
    try:
        events = events or prepare()
        set_name(request["cookie"].encode())
        folder = request["folder"]
        if "agent" in request:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if _claim(folder, request["cookie"]):
            result = _unless_lost(request, _run(request, namespace, events))
            result["ended"] = time.time()
            _write("exit.json", "exit.old", result)  # the folder is the working directory now
            status = 0
    finally:
        os._exit(status)


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
    start = _read("/proc/self/stat").rpartition(b")")[2].split()[19].decode()
    temporary = os.path.join(folder, f"pid.{os.getpid()}")
    _take(os.path.join(folder, "claim.old"), temporary)
    _write_new(temporary, {"pid": os.getpid(), "startTime": start, "bootId": boot_id()})
    try:
        os.link(temporary, os.path.join(folder, f"claim.{cookie}"))
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


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


class Events:
    """Signals as bytes of a pipe, so that they can be waited for together with the ranks' output."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def wait(self, relays: list[_Relay], timeout: float | None) -> bytes:
        """Numbers of the signals that came; copies what the relays have got meanwhile."""
        pauses = [relay.patience() for relay in relays]
        times = [pause for pause in (timeout, *pauses) if pause is not None]
        descriptors = [descriptor for relay in relays for descriptor in relay.readable()]
        ready, _, _ = select.select([self._read, *descriptors], [], [], min(times) if times else None)
        for relay in relays:
            relay.copy(ready)
        return os.read(self._read, 1024) if self._read in ready else b""


class _Relay:
    """Copies several pipes into one file, whole lines at a time."""

    def __init__(self, target: str, paths: list[str]) -> None:
        self._target = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.sources: dict[int, bytearray] = {}
        for path in paths:
            # Opened for both, so that it does not end with the first writer.
            self.sources[os.open(path, os.O_RDWR | os.O_NONBLOCK)] = bytearray()
        self._since = dict.fromkeys(self.sources, 0.0)
        self._open: int | None = None  # the source that has written the beginning of a line

    def readable(self) -> list[int]:
        """The pipes that there is room for: a rank that has to wait for another's line fills no memory."""
        return [source for source, kept in self.sources.items() if len(kept) < 16 * _MAX_PARTIAL]

    def patience(self) -> float | None:
        """How long until something has to be written although its line has not ended."""
        return _PARTIAL_SECONDS if any(self.sources.values()) else None

    def copy(self, ready: list[int]) -> None:
        now = time.monotonic()
        for source, kept in self.sources.items():
            if source in ready:
                self._read(source, kept, now)
        for source in sorted(self.sources, key=lambda source: source != self._open):
            self._write(source, now)

    def finish(self) -> None:
        """Copy what is left when every writer is gone."""
        while True:
            before = sum(map(len, self.sources.values()))
            for source, kept in self.sources.items():
                self._read(source, kept, time.monotonic())
            if sum(map(len, self.sources.values())) == before:
                break
        for source, kept in self.sources.items():
            if kept:
                self._put(source, len(kept))

    def _read(self, source: int, kept: bytearray, now: float) -> None:
        try:
            data = os.read(source, _MAX_PARTIAL)
        except BlockingIOError:
            return
        if not kept:
            self._since[source] = now
        kept += data

    def _write(self, source: int, now: float) -> None:
        kept = self.sources[source]
        if self._open not in (None, source) and now - self._since[self._open] < _OPEN_SECONDS:
            return
        end = max(kept.rfind(b"\n"), kept.rfind(b"\r")) + 1
        if end:
            self._put(source, end)
        if kept and (now - self._since[source] >= _PARTIAL_SECONDS or len(kept) >= _MAX_PARTIAL):
            self._put(source, len(kept))

    def _put(self, source: int, size: int) -> None:
        kept = self.sources[source]
        data = bytes(kept[:size])
        if _NOISE in data:
            data = b"".join(line for line in data.splitlines(True) if _NOISE not in line)
        if not data:
            del kept[:size]
            return
        if self._open not in (None, source):
            data = b"\n" + data  # the other line stays without its end rather than mixed with this one
        self._open = None if data[-1:] in (b"\n", b"\r") else source
        while data:
            data = data[os.write(self._target, data) :]
        self._since[source] = time.monotonic()
        del kept[:size]


def _relays(request: Json) -> list[_Relay]:
    paths: dict[str, list[str]] = {}
    for path, stream in request["pipes"].items():
        paths.setdefault(request[stream], []).append(path)
    return [_Relay(target, sources) for target, sources in paths.items()]


def _run(request: Json, namespace: Namespace | None, events: Events) -> Json:
    """Start the command, wait for it, leave no process of it behind."""
    relays = _relays(request)
    result: Json = {}
    mounts = Mounts()
    pid = 0
    folder = os.open(request["folder"], os.O_RDONLY | os.O_DIRECTORY)
    try:
        pid = _start(request, namespace, mounts)
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
            received = b"" if result else events.wait(relays, None)
            if result or signal.SIGTERM in received:  # what the command left behind goes with it
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
    result["mounts"] = mounts.changed()
    if result.get("signal") == signal.SIGKILL or result.get("exitCode") == 128 + signal.SIGKILL:
        result["outOfMemory"] = _oom_kills() > oom_kills
    return result


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

    def changed(self) -> bool:
        """Since the last time that this was asked."""
        return self._file >= 0 and bool(self._poll.poll(0))


def _start(request: Json, namespace: Namespace | None, mounts: Mounts) -> int:
    """Start the command, by posix_spawn: it copies nothing of this process. Raises _NotStarted."""
    argv, cwd = list(request["argv"]), request["cwd"]
    environment = {**request["environment"], TASK_VARIABLE: request["cookie"]}
    step = ""
    try:
        actions = []
        errors = request.get("errors") or request["stderr"]
        for path, descriptor in ((os.devnull, 0), (request["stdout"], 1), (errors, 2)):
            step = path
            flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
            actions.append((os.POSIX_SPAWN_DUP2, os.open(path, flags, 0o666), descriptor))
        if "enter" in request:
            if namespace and namespace.enter():
                cwd = environment["PWD"] = request["inside"]
                mounts.watch()
            else:
                argv = [*request["enter"], "--chdir", request["inside"], "--", *argv]
        step = cwd
        os.chdir(cwd)
        step = argv[0]
        usual = os.umask(0o022)
        try:
            pid = os.posix_spawn(
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
        for _, opened, _ in actions:
            os.close(opened)
        return pid
    except OSError as exc:
        raise _NotStarted(f"{step}: {exc.strerror}") from None
