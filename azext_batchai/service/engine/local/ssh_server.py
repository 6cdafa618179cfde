"""The SSH endpoint of one local node: where it listens, its host key, who may enter, and how it ends.

Importing this module costs nothing; asyncssh is loaded when the first endpoint starts.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import importlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azext_batchai.service.engine.local.ssh_far import FarNode
from azext_batchai.service.engine.local.ssh_process_table import ProcessTable

if TYPE_CHECKING:
    import asyncssh

    from azext_batchai.service.engine.local.ssh_session import Access

ADDRESS = "127.0.0.1"
LOGIN_SECONDS = 60
KILL_GRACE_SECONDS = 0.5  # the service has to stop within a second
DISCONNECT_SECONDS = 0.5

logger = logging.getLogger(__name__)


class HostKeyError(OSError):
    """A host key is there and is none: it is never replaced, since clients take a new one for an attack."""


@dataclass(frozen=True)
class SshEndpointSpec:
    """What an endpoint serves.

    Arguments:
        host_key_path: created (ed25519, 0600) when absent, so that the node keeps its identity over restarts.
        home: working directory of the sessions, and where relative names of file transfers start.
        user_name: the only user name that may log in, exactly as written here.
        authorized_keys: public keys in OpenSSH's format.
        verify_password: tells whether a password is right; called in a thread. None: no password login.
        environment: returns the environment of a session; called for each.
        enter: turns the arguments of a session's process into those that run it as the node sees itself; it is told
            whether the client wants a terminal.
        far: the node where it is another machine.
        port: 0 for any free one; always on 127.0.0.1.
    """

    node_id: str
    host_key_path: Path
    home: Path
    user_name: str
    authorized_keys: Sequence[str]
    verify_password: Callable[[str], bool] | None
    environment: Callable[[], Mapping[str, str]]
    enter: Callable[[Sequence[str], bool], Sequence[str]] = lambda argv, terminal: argv
    far: FarNode | None = None
    port: int = 0


class SshEndpoint:
    """A listening endpoint; `port` is where."""

    def __init__(self, server: asyncio.Server, access: Access, processes: ProcessTable) -> None:
        self.port: int = server.sockets[0].getsockname()[1]
        self._server = server
        self._access = access
        self._processes = processes

    @classmethod
    async def start(cls, spec: SshEndpointSpec) -> SshEndpoint:
        """Listen as `spec` says.

        Raises HostKeyError when the host key is damaged, OSError when the port is taken or the host key cannot be
        read or written.
        """
        session = await _load()
        from azext_batchai.service.engine.local.ssh_connection import listen

        processes = ProcessTable()
        access = session.Access(
            user_name=spec.user_name,
            keys=frozenset(_public_keys(spec)),
            verify_password=spec.verify_password,
            home=spec.home,
            environment=spec.environment,
            enter=spec.enter,
            far=spec.far,
            on_process=processes.add,
        )
        server = await listen(
            ADDRESS,
            spec.port,
            server_factory=lambda: session.NodeServer(access),
            server_host_keys=[_host_key(spec.host_key_path)],
            encoding=None,
            line_editor=False,
            login_timeout=LOGIN_SECONDS,
        )
        return cls(server, access, processes)

    async def close(self) -> None:
        """Stop listening and end all sessions with everything that runs in them: TERM, then KILL."""
        self._access.closing = True
        self._server.close()
        await self._processes.end(KILL_GRACE_SECONDS)
        connections = list(self._access.connections)
        for connection in connections:
            connection.close()
        closed = [asyncio.ensure_future(connection.wait_closed()) for connection in connections]
        if closed:
            _, waiting = await asyncio.wait(closed, timeout=DISCONNECT_SECONDS)
            if waiting:  # the client does not read
                for connection in connections:
                    connection.abort()
                await asyncio.wait(closed, timeout=DISCONNECT_SECONDS)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), DISCONNECT_SECONDS)


async def _load() -> Any:
    """Import asyncssh in a thread, so that the service answers others meanwhile."""
    loop = asyncio.get_running_loop()
    session = await loop.run_in_executor(
        None, importlib.import_module, "azext_batchai.service.engine.local.ssh_session"
    )
    # Below this level it logs each connection, command and variable that the client sent.
    session.asyncssh.set_log_level(logging.WARNING)
    session.asyncssh.set_sftp_log_level(logging.WARNING)
    return session


def _public_keys(spec: SshEndpointSpec) -> list[bytes]:
    import asyncssh

    keys = []
    for line in spec.authorized_keys:
        try:
            keys.append(asyncssh.import_public_key(line).public_data)
        except (asyncssh.KeyImportError, ValueError) as exc:
            logger.warning("Node %s: a public key is unusable and ignored: %s", spec.node_id, exc)
    return keys


def _host_key(path: Path) -> asyncssh.SSHKey:
    """Read the host key; make one first where there is none. A key is never half-written or readable by others."""
    import asyncssh

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
            stream.flush()
            os.fsync(descriptor)
        part.replace(path)
    data = path.read_bytes()
    try:
        key = asyncssh.import_private_key(data)
        # asyncssh reads the private half alone: with a wrong bit in it the node would be another.
        body = re.search(rb"BEGIN OPENSSH PRIVATE KEY-----(.*)-----END", data, re.DOTALL)
        if body and key.public_data not in base64.b64decode(body[1]):
            raise ValueError("its halves do not belong together")
        return key
    except Exception as exc:  # asyncssh promises KeyImportError; damage finds its way to others as well
        raise HostKeyError(
            errno.EINVAL,
            f"The SSH host key is damaged ({exc}). Put the file back from a copy; "
            "or delete it, and clients will see a new host key",
            str(path),
        ) from None
