"""A node's SSH endpoint in an event loop of its own, and what to connect to and with."""

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from azext_batchai.service.engine.local.ssh_server import SshEndpoint, SshEndpointSpec
from harness import processes

T = TypeVar("T")
USER = "azureuser"
PASSWORD = "correct horse"
ENVIRONMENT = {"PATH": os.environ["PATH"], "AZ_BATCHAI_NODE": "n-1", "SHELL": "/bin/bash"}
CONNECT_SECONDS = 10


@dataclass
class SshNode:
    """A folder (kept short: UNIX sockets have short names) with keys, and the endpoint of a node that lives there."""

    folder: Path
    node_id: str = "tvm-1"
    environment: Callable[[], Mapping[str, str]] = lambda: ENVIRONMENT
    verify_password: Callable[[str], bool] | None = lambda password: password == PASSWORD
    enter: Callable[[Sequence[str], bool], Sequence[str]] = lambda argv, terminal: argv
    more_keys: list[str] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir(exist_ok=True)
        self.host_key = self.folder / "host_key"
        for kind in ("ed25519", "rsa"):
            if not self.key(kind).exists():
                _make_key(kind, self.key(kind))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.endpoint: SshEndpoint | None = None

    def key(self, kind: str = "ed25519") -> Path:
        return self.folder / f"id_{kind}"

    def start(self) -> "SshNode":
        keys = [self.key(kind).with_suffix(".pub").read_text(encoding="ascii") for kind in ("ed25519", "rsa")]
        spec = SshEndpointSpec(
            node_id=self.node_id,
            host_key_path=self.host_key,
            home=self.home,
            user_name=USER,
            authorized_keys=keys + self.more_keys,
            verify_password=self.verify_password,
            environment=self.environment,
            enter=self.enter,
            port=self.port,
        )
        if not self._thread.is_alive():
            self._thread.start()
        self.endpoint = self.run(SshEndpoint.start(spec))
        self.port = self.endpoint.port
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the endpoint's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in the endpoint's loop."""

        async def work() -> Any:
            return function()

        return self.run(work())

    def close(self) -> None:
        """End the endpoint; fails when it leaves a process or a listener."""
        if self.endpoint:
            self.run(self.endpoint.close())
            self.endpoint = None
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port), 1):
                raise AssertionError(f"port {self.port} still listens")
        left = processes.of_home(self.home)
        assert not left, f"left running: {left}"

    def destroy(self) -> None:
        try:
            self.close()
        finally:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(10)
            self._loop.close()

    def clear_home(self) -> None:
        shutil.rmtree(self.home)
        self.home.mkdir()

    def ssh(self, *args: str, user: str = USER, key: str | None = "ed25519", **run: Any) -> Any:
        """Run the stock client with options and command `args`; bytes in and out."""
        return subprocess.run(
            self.ssh_command(*args, user=user, key=key),
            **{"capture_output": True, "timeout": 30, "stdin": None if "input" in run else subprocess.DEVNULL, **run},
        )

    def ssh_command(self, *args: str, user: str = USER, key: str | None = "ed25519") -> list[str]:
        return ["ssh", *self.options(key), "-p", str(self.port), "-l", user, "127.0.0.1", *args]

    def options(self, key: str | None = "ed25519") -> list[str]:
        way = ["-i", str(self.key(key)), "-o", "BatchMode=yes"] if key else ["-o", "PubkeyAuthentication=no"]
        hosts = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
        return ["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", *hosts, *way]

    def askpass(self, password: str) -> dict[str, str]:
        """The environment in which the stock client answers password prompts with `password`."""
        script = self.folder / "askpass"
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password)}\n", encoding="utf-8")
        script.chmod(0o700)
        return {**os.environ, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}


def needs(program: str) -> Any:
    """Skip a test where a program of OpenSSH is not installed."""
    return pytest.mark.skipif(not shutil.which(program), reason=f"OpenSSH's '{program}' is not installed")


@contextlib.contextmanager
def node(**fields: Any) -> Iterator[SshNode]:
    """A started node, ended and verified gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp"))
    try:
        made = SshNode(folder, **fields)
        try:
            yield made.start()
        finally:
            made.destroy()
    finally:
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def connected(node: SshNode, **options: Any) -> AsyncIterator[Any]:
    """A connection of asyncssh's client, logged in with the node's key unless the options say otherwise."""
    import asyncssh

    settings = {"username": USER, "client_keys": [str(node.key())], "agent_path": None, **options}
    async with asyncssh.connect("127.0.0.1", node.port, known_hosts=None, config=None, **settings) as connection:
        yield connection


def in_loop(work: Any) -> Any:
    """What a client's coroutine returns, in an event loop of its own."""
    return asyncio.run(asyncio.wait_for(work, 20))


@contextlib.contextmanager
def shouting(path: Path | None = None) -> Iterator[Any]:
    """A server that answers in upper case, on a free port or on a UNIX socket; yields its address."""

    class Shout(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(65536):
                self.request.sendall(data.upper())

    kind = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
    with kind(str(path) if path else ("127.0.0.1", 0), Shout) as server:  # type: ignore[arg-type]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address
        finally:
            server.shutdown()
            thread.join()


def shout(address: Any, text: bytes = b"hello") -> bytes:
    """What a shouting server answers at an address; b"" when the connection is closed at once."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.settimeout(CONNECT_SECONDS)
        client.connect(address)
        answer = b""
        with contextlib.suppress(OSError):  # where nobody takes it, it may be closed any time
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                answer += data
        return answer


def listens(address: Any) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        return client.connect_ex(address) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_key(kind: str, path: Path) -> None:
    import asyncssh

    key = asyncssh.generate_private_key(f"ssh-{kind}", **({"key_size": 2048} if kind == "rsa" else {}))
    key.write_private_key(path)
    path.chmod(0o600)
    key.write_public_key(path.with_suffix(".pub"))
