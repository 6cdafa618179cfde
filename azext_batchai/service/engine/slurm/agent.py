"""The agent: one a node of a block, a task of the block's batch step. Run as a script with runner.py beside it.

It forks the runners of tasks, so that they belong to the allocation and not to a step that ends with the service. The
service talks to it through relay.py and a UNIX socket that only its user can open. Standard library only.

    agent.py FOLDER NODE_NUMBER [INTERFACE]     FOLDER is the block's, on the file system that nodes share

It writes FOLDER/agent.<number>.json when it is ready: {"version", "host", "socket", "address", "interface", "machine",
"python", "environment", "sftp_server"}. Protocol, one JSON object a line, each request with an "id" that its reply
repeats:

  {"op": "fork", "request"}            -> {"pid"} | {"error"}            the request is runner.py's
  {"op": "fork", "sealed", "key"}      -> the same                       the request is in a file (sealed.py)
  {"op": "find", "claim", "cookie"}    -> {"pid"}                        0 where that runner has ended
  {"op": "ended", "pid"}               -> {"folder"}   when the runner has ended; its task's, where it wrote exit.json
  {"op": "stop", "pid"}                -> {}
  {"op": "call", "argv", "seconds", "environment"} -> {"status", "said"}
  {"op": "kill", "mark"}               -> {}                             VARIABLE=VALUE of an environment
  {"op": "ports", "among", "count"}    -> {"ports"}                      free ones, of `among` where that is not empty
  {"op": "pipes", "name", "pipes", "address", "token"} -> {"port"}       named pipes in a folder beside the socket; with
      an address a pump of lines.py listens there. Those of other attempts ("ranks-ATTEMPT-...") go.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import lines  # type: ignore[import-not-found]  # as the next two
import old_python  # type: ignore[import-not-found]  # it lies beside this file where the agent runs
import sealed  # type: ignore[import-not-found]

old_python.provide()
import runner  # type: ignore[import-not-found]  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    Json = dict[str, Any]
VERSION = 2  # 2: pipes, sealed requests
_SIOCGIFADDR = 0x8915
_SFTP_SERVERS = tuple(
    f"/usr/{folder}/sftp-server" for folder in ("lib/openssh", "libexec/openssh", "lib/ssh", "libexec", "lib")
)


class _Connection:
    """One relay: a stream socket with requests in and replies out, both a line each."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.received = b""
        stream.setblocking(False)

    def lines(self) -> list[bytes] | None:
        """What has come, in whole lines; None at the end."""
        try:
            data = self.stream.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self.received = (self.received + data).split(b"\n")
        return lines

    def send(self, reply: Json) -> None:
        try:
            self.stream.settimeout(10)
            self.stream.sendall(json.dumps(reply).encode() + b"\n")
            self.stream.setblocking(False)
        except OSError:
            pass  # the relay is gone: it is asked again through the next one


class _Call:
    """A program that belongs to no task."""

    def __init__(self, request: Json) -> None:
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the call
        self.until = time.monotonic() + request["seconds"]
        self.seconds = request["seconds"]
        self.process = subprocess.Popen(
            request["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.said,
            env=request.get("environment"),
        )

    def reply(self, status: int | None) -> Json:
        if status is None:
            return {"status": 1, "said": f"no answer in {self.seconds:.0f} s"}
        self.said.seek(0)
        return {"status": status, "said": self.said.read().decode(errors="replace").strip()}


class Agent:
    def __init__(self, folder: str, number: str, interface: str) -> None:
        self._place = tempfile.mkdtemp(prefix="batchai-agent-")  # 0700, on the node
        self._lost_mark = os.path.join(self._place, "lost")
        self._folder, self._number, self._interface = folder, number, interface
        self._runners: dict[int, str] = {}  # pid -> folder of its task
        self._awaiting: dict[int, list[tuple[_Connection, int]]] = {}
        self._calls: dict[int, tuple[_Call, _Connection, int]] = {}
        self._pumps: dict[str, int] = {}  # name of the folder of pipes -> pid
        self._selector = selectors.DefaultSelector()
        self._signals, self._wake = os.pipe()
        self._ending = False

    def run(self) -> int:
        """Serve until TERM: Slurm takes the node away. The status is never 0, for Slurm to know that we did not end."""
        for descriptor in (self._signals, self._wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        listener = socket.socket(socket.AF_UNIX)
        path = os.path.join(self._place, "agent")
        listener.bind(path)
        listener.listen(8)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._announce(path)
        while not (self._ending and not self._runners):
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is listener:
                    self._accept(listener)
                elif key.fileobj == self._signals:
                    self._on_signals(os.read(self._signals, 4096))
                else:
                    self._on_lines(key.data)
            self._end_calls()
        shutil.rmtree(self._place, ignore_errors=True)
        return 1

    def _announce(self, path: str) -> None:
        address, interface = find_address(self._interface)
        greeting = {
            "version": VERSION,
            "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            "socket": path,
            "address": address,
            "interface": interface,
            "machine": machine(),
            "python": sys.executable,
            "environment": dict(os.environ),
            "sftp_server": next(filter(os.path.exists, _SFTP_SERVERS), ""),
        }
        temporary = os.path.join(self._folder, f"agent.{self._number}.new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(greeting, file)
        os.rename(temporary, os.path.join(self._folder, f"agent.{self._number}.json"))

    def _accept(self, listener: socket.socket) -> None:
        connection = _Connection(listener.accept()[0])
        self._selector.register(connection.stream, selectors.EVENT_READ, connection)
        connection.send({"agent": VERSION})

    def _on_lines(self, connection: _Connection) -> None:
        lines = connection.lines()
        if lines is None:
            self._selector.unregister(connection.stream)
            connection.stream.close()
            return
        for line in lines:
            request = json.loads(line)
            try:  # whatever it is: an agent that ends takes everything with it
                reply = getattr(self, "_op_" + request["op"])(connection, request)
            except Exception as exc:
                reply = {"error": getattr(exc, "strerror", None) or repr(exc)}
            if reply is not None:
                connection.send({"id": request["id"], **reply})

    def _op_fork(self, connection: _Connection, request: Json) -> Json:
        wanted = sealed.take(request["sealed"], request["key"]) if "sealed" in request else request["request"]
        task = {**wanted, "lostMark": self._lost_mark, "agent": os.getpid()}
        pid = self._fork(lambda: runner.become_runner(task))
        self._runners[pid] = task["folder"]
        return {"pid": pid}

    def _fork(self, then: Callable[[], None]) -> int:
        """A child that has nothing of ours, and ends when it is through; its pid."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # none may be lost between two handlers
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
                for key in list(self._selector.get_map().values()):
                    os.close(key.fd)
                os.close(self._wake)
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                then()
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return pid

    def _op_find(self, connection: _Connection, request: Json) -> Json:
        """P3 is checked here, on the node: boot, pid, start time and cookie must fit."""
        claim, pid = request["claim"], request["claim"].get("pid", 0)
        if not pid or pid not in self._runners or claim.get("bootId") != boot_id():
            return {"pid": 0}
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition(" (")[2].rpartition(")")
        except OSError:
            return {"pid": 0}
        fields = rest.split()
        found = fields[0] != "Z" and fields[19] == claim.get("startTime") and name == request["cookie"]
        return {"pid": pid if found else 0}

    def _op_ended(self, connection: _Connection, request: Json) -> Json | None:
        if request["pid"] not in self._runners:
            return {"folder": ""}
        self._awaiting.setdefault(request["pid"], []).append((connection, request["id"]))
        return None

    def _op_stop(self, connection: _Connection, request: Json) -> Json:
        if request["pid"] in self._runners:
            os.kill(request["pid"], signal.SIGTERM)
        return {}

    def _op_call(self, connection: _Connection, request: Json) -> None:
        call = _Call(request)
        self._calls[call.process.pid] = (call, connection, request["id"])

    def _op_kill(self, connection: _Connection, request: Json) -> Json:
        kill_marked(request["mark"].encode())
        return {}

    def _op_ports(self, connection: _Connection, request: Json) -> Json:
        return {"ports": free_ports(request["among"], request["count"])}

    def _op_pipes(self, connection: _Connection, request: Json) -> Json:
        name = request["name"]
        attempt = name.rpartition("-")[0]
        for other in os.listdir(self._place):
            if other.startswith("ranks-") and other.rpartition("-")[0] != attempt:
                if other in self._pumps:
                    os.kill(self._pumps[other], signal.SIGKILL)
                shutil.rmtree(os.path.join(self._place, other), ignore_errors=True)
        paths = [os.path.join(self._place, name, pipe) for pipe in request["pipes"]]
        os.makedirs(os.path.join(self._place, name), exist_ok=True)
        for path in paths:
            if not os.path.exists(path):
                os.mkfifo(path, 0o600)
        if not request["address"]:
            return {"port": 0}
        if name in self._pumps:  # asked for again: nobody has been told of the first one's port
            os.kill(self._pumps[name], signal.SIGKILL)
        listener = socket.socket()
        listener.bind((request["address"], 0))
        listener.listen(8)
        self._pumps[name] = self._fork(lambda: lines.pump(paths, listener, request["token"]))
        with listener:
            return {"port": listener.getsockname()[1]}

    def _on_signals(self, received: bytes) -> None:
        if signal.SIGTERM in received and not self._ending:
            self._ending = True
            with open(self._lost_mark, "w", encoding="ascii") as file:
                file.write("Slurm ended the allocation")
            for pid in self._runners:
                os.kill(pid, signal.SIGTERM)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._pumps = {name: pump for name, pump in self._pumps.items() if pump != pid}
            folder = self._runners.pop(pid, "")
            for connection, number in self._awaiting.pop(pid, ()):
                connection.send({"id": number, "folder": "" if status else folder})
            if pid in self._calls:
                call, connection, number = self._calls.pop(pid)
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
                call.process.returncode = code
                connection.send({"id": number, **call.reply(code)})

    def _patience(self) -> float | None:
        if not self._calls:
            return None
        until: float = min(call.until for call, _, _ in self._calls.values())
        return max(until - time.monotonic(), 0.0)

    def _end_calls(self) -> None:
        for pid, (call, connection, number) in list(self._calls.items()):
            if time.monotonic() >= call.until:
                os.kill(pid, signal.SIGKILL)
                del self._calls[pid]
                connection.send({"id": number, **call.reply(None)})


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def machine() -> str:
    """The same for two nodes that have one network: one machine that plays several."""
    return f"{boot_id()}/{os.stat('/proc/self/ns/net').st_ino}"


def find_address(wanted: str) -> tuple[str, str]:
    """The address by which other nodes reach this one, and its interface; those of interface `wanted` where given."""
    addresses: dict[str, str] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        import fcntl

        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # it has no address
            addresses[name] = socket.inet_ntoa(answer[20:24])
    if wanted:
        if wanted not in addresses:
            raise SystemExit(f"batchai: this node has no network interface {wanted} with an address")
        return addresses[wanted], wanted
    try:
        own = socket.gethostbyname(os.environ.get("SLURMD_NODENAME") or socket.gethostname())
    except OSError:
        own = ""
    for name, address in addresses.items():
        if address == own and not address.startswith("127."):
            return address, name
    for name, address in addresses.items():
        if not address.startswith("127."):
            return address, name
    return "127.0.0.1", "lo"


def free_ports(among: list[int], count: int) -> list[int]:
    """Below the range from which the system gives ports to outgoing connections: one of those could take a port before
    the job's process does."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first = max(int(file.read().split()[0]), 11000)
    except OSError:
        first = 32768
    candidates = among or random.sample(range(10000, first), first - 10000)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
    return found


def kill_marked(mark: bytes) -> None:
    """Kill every process that has `mark` in its environment."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue


if __name__ == "__main__":
    sys.exit(Agent(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "").run())
