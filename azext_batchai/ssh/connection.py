"""SSH to a node: run a command with its exact output and exit status while ports are forwarded.

asyncssh (255 ms to import) is imported when a connection is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from azure.cli.core.azclierror import (
    AzureConnectionError,
    FileOperationError,
    InvalidArgumentValueError,
    UnauthorizedError,
)
from knack.log import get_logger

from azext_batchai.command_line.exit_status import ExitStatus, discard_output, of_signal
from azext_batchai.ssh import forward

logger = get_logger(__name__)

PASSWORD_VARIABLE = "AZURE_BATCHAI_NODE_PASSWORD"
CONNECT_SECONDS = 20
KEEPALIVE_SECONDS = 15
INTERRUPT_GRACE_SECONDS = 1.0
_CHUNK = 64 * 1024
# Of Linux, where the command runs: this machine may have other signals.
_SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "XCPU": 24, "XFSZ": 25, "SYS": 31,
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """Where a node listens; `known_hosts` is the file that keeps the host keys of its cluster's nodes."""

    node_id: str
    address: str
    port: int
    user_name: str
    known_hosts: Path


@dataclass(frozen=True)
class Credentials:
    """A private key file and a password; without a key file the agent and the usual files in ~/.ssh are tried."""

    key_file: str | None = None
    password: str | None = None


def run(node: Node, credentials: Credentials, command: str | None, forwards: Sequence[forward.Forward] = ()) -> int:
    """Run `command` on the node and return its exit status (128+n for signal n, 130 after Ctrl-C).

    Without a command, forward until Ctrl-C and return 0. Raises errors of azclierror.
    """
    try:
        return asyncio.run(_interruptible(_run(node, credentials, command, forwards)))
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED if command else ExitStatus.DONE
    except BrokenPipeError:  # who read our output has gone
        discard_output()
        return ExitStatus.BROKEN_PIPE


async def _interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Ctrl-C cancels `work`, wherever it is, and raises KeyboardInterrupt; a second one does at once.

    As asyncio does from Python 3.11 on: before, KeyboardInterrupt may come up within asyncssh, which then never closes.
    """
    if sys.version_info >= (3, 11):
        return await work
    import signal

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)


async def _run(node: Node, credentials: Credentials, command: str | None, forwards: Sequence[forward.Forward]) -> int:
    import asyncssh

    reason = ""
    try:
        async with await _connect(node, credentials) as connection, forward.serving(connection, forwards):
            if command:
                status = await _execute(connection, command)
                if status is not None:
                    return status
            else:
                await connection.wait_closed()
    except asyncssh.Error as exc:
        reason = f": {_reason(exc)}"
    raise AzureConnectionError(
        f"The connection to node '{node.node_id}' was lost{reason}.",
        recommendation="The node may have been removed: see `az batchai cluster node list`.",
    )


async def _connect(node: Node, credentials: Credentials) -> Any:
    import asyncssh

    key = _read_key(credentials.key_file) if credentials.key_file else None
    password_first = credentials.password is not None and key is None
    guard = _host_key_guard(node)
    with _explained(node, credentials, guard):
        return await asyncssh.connect(
            node.address,
            node.port,
            username=node.user_name,
            password=credentials.password,
            client_keys=[key] if key else (),
            agent_path=None if key else (),
            preferred_auth=["password", "publickey"] if password_first else ["publickey", "password"],
            client_factory=lambda: guard,
            known_hosts=([], [], []),  # nothing known: the guard decides
            config=None,  # ~/.ssh/config is about other hosts
            connect_timeout=CONNECT_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
            encoding=None,
        )


async def _execute(connection: Any, command: str) -> int | None:
    """Run a command; return its exit status, None when the connection ended before it."""
    process = await connection.create_process(command, encoding=None)
    _feed_input(process)
    try:
        await _copy_output(process)
    except asyncio.CancelledError:  # Ctrl-C: hand it on, and show what the command still says
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            process.send_signal("INT")
            await asyncio.wait_for(_copy_output(process), INTERRUPT_GRACE_SECONDS)
        raise
    if process.exit_signal is not None:
        name = process.exit_signal[0]
        logger.warning("The command was ended by signal %s.", name)
        return of_signal(_SIGNALS.get(name, 0))
    status: int | None = process.exit_status
    return status


async def _copy_output(process: Any) -> None:
    """Write what the command writes, unchanged, until it has ended."""
    await asyncio.gather(_copy(process.stdout, sys.stdout), _copy(process.stderr, sys.stderr))
    await process.wait_closed()


async def _copy(reader: Any, stream: Any) -> None:
    while data := await reader.read(_CHUNK):
        await asyncio.to_thread(_write, stream, data)  # a slow reader of ours must not stop the forwards


def _write(stream: Any, data: bytes) -> None:
    binary: BinaryIO = stream.buffer
    stream.flush()
    binary.write(data)
    binary.flush()


def _feed_input(process: Any) -> None:
    """Send our standard input to the command, unless it is a terminal: then the command finds no input."""
    try:
        descriptor = sys.stdin.fileno()
        ours = not os.isatty(descriptor)
    except (AttributeError, OSError, ValueError):  # there is none
        ours = False
    if not ours:
        process.stdin.write_eof()
        return
    loop = asyncio.get_running_loop()
    # A daemon, since nothing can wake it from a read when the command ends first.
    threading.Thread(target=_pump_input, args=(descriptor, process.stdin, loop), daemon=True).start()


def _pump_input(descriptor: int, writer: Any, loop: asyncio.AbstractEventLoop) -> None:
    async def send(data: bytes) -> None:
        if data:
            writer.write(data)
            await writer.drain()
        else:
            writer.write_eof()

    with contextlib.suppress(Exception):  # the command or the connection has ended: nobody wants more
        while True:
            try:
                data = os.read(descriptor, _CHUNK)
            except OSError:
                data = b""
            asyncio.run_coroutine_threadsafe(send(data), loop).result()
            if not data:
                return


def _read_key(path: str) -> Any:
    """Read a private key file; asks for the passphrase of an encrypted one where there is a terminal."""
    import asyncssh

    file = Path(path).expanduser()
    passphrase = None
    try:
        try:
            return asyncssh.read_private_key(file)
        except asyncssh.KeyImportError as exc:
            if "Passphrase" in str(exc):
                passphrase = _prompt(f"Passphrase of {file}: ")
            if passphrase is None:
                raise
        return asyncssh.read_private_key(file, passphrase)
    except OSError as exc:
        raise FileOperationError(
            f"--ssh-private-key/-k: cannot read '{file}': {exc.strerror}.",
            recommendation="Give the file of the private key that belongs to the cluster's public key.",
        ) from exc
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
        raise InvalidArgumentValueError(
            f"--ssh-private-key/-k: '{file}' cannot be used: {exc}.",
            recommendation="Give the file of a private key (the one without .pub). For a key with a passphrase, "
            "add it to your agent with `ssh-add` and leave --ssh-private-key out.",
        ) from exc


def _prompt(text: str) -> str | None:
    from knack.prompting import NoTTYException, prompt_pass

    try:
        return str(prompt_pass(text))
    except NoTTYException:
        return None


def _host_key_guard(node: Node) -> Any:
    """Return the SSHClient that trusts a node's first host key and refuses any other from then on."""
    import asyncssh

    class HostKeyGuard(asyncssh.SSHClient):
        changed: str | None = None
        asked = False

        def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
            known = _known_keys(node)
            offered = " ".join(key.export_public_key().decode().split()[:2])
            if not known:
                _remember(node, offered)
                fingerprint = key.get_fingerprint()
                logger.warning("Trusting node '%s' from now on by its host key %s.", node.node_id, fingerprint)
            elif offered not in known:
                self.changed = key.get_fingerprint()
                return False
            return True

        async def password_auth_requested(self) -> str | None:  # pylint: disable=invalid-overridden-method
            if self.asked:
                return None
            self.asked = True
            question = f"Password of {node.user_name} on node {node.node_id}: "
            return await asyncio.to_thread(_prompt, question)

    return HostKeyGuard()


def _known_keys(node: Node) -> set[str]:
    try:
        lines = node.known_hosts.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    return {line.partition(" ")[2] for line in lines if line.partition(" ")[0] == node.node_id}


def _remember(node: Node, key: str) -> None:
    """Add a line in OpenSSH's format; under the node id, since address and port belong to another node soon."""
    node.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with node.known_hosts.open("a", encoding="utf-8") as stream:
        stream.write(f"{node.node_id} {key}\n")


@contextlib.contextmanager
def _explained(node: Node, credentials: Credentials, guard: Any) -> Iterator[None]:
    """Say what a failed connection means."""
    import asyncssh

    where = f"node '{node.node_id}' ({node.address}:{node.port})"
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as exc:
        raise AzureConnectionError(
            f"The host key of {where} has changed: it is now {guard.changed}. Somebody may be in between.",
            recommendation=f"If you know why it changed, remove the line of {node.node_id} from {node.known_hosts}.",
        ) from exc
    except asyncssh.PermissionDenied as exc:
        tried = [f"the key {credentials.key_file}"] if credentials.key_file else ["the agent's and your default keys"]
        tried += ["the password"] if credentials.password is not None or guard.asked else []
        raise UnauthorizedError(
            f"User '{node.user_name}' cannot log in to {where} with {' and '.join(tried)}.",
            recommendation="Give the private key that belongs to the cluster's public key with --ssh-private-key/-k, "
            f"or the cluster's password with --password/-p or {PASSWORD_VARIABLE}.",
        ) from exc
    except (asyncssh.Error, OSError, asyncio.TimeoutError) as exc:
        raise AzureConnectionError(
            f"Cannot connect to {where}: {_reason(exc)}.",
            recommendation="The node may be starting or gone: see `az batchai cluster node list`.",
        ) from exc


def _reason(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionError) and error.errno:  # asyncio's own text repeats the address
        return os.strerror(error.errno)
    return str(error).rstrip(".")
