"""What one SSH connection to a node may do: log in, run commands and shells, copy files, forward connections.

It imports asyncssh (255 ms): import it when the first node starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from azext_batchai.service.engine.local.ssh_connection import WaitingRoom
from azext_batchai.service.engine.local.ssh_far import FarNode
from azext_batchai.service.engine.local.ssh_process import SessionProcess
from azext_batchai.service.engine.local.ssh_terminal import Terminal

PASSWORD_ATTEMPTS = 6  # a connection, as sshd
_CLIENT_VARIABLES = re.compile(rb"LANG|LC_\w+")
_SCP_PROTOCOL = re.compile(r"scp (-\w+ )*-\w*[tf]\w* ")  # how an scp client starts its other end
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_END_OF_FILE = b"\x04"
_NOT_SHELLS = ("nologin", "false", "true", "sync")


@dataclass
class Access:
    """Who may log in to a node and what he finds there; shared by all connections of an endpoint."""

    user_name: str
    keys: frozenset[bytes]  # as on the wire
    verify_password: Callable[[str], bool] | None
    home: Path
    environment: Callable[[], Mapping[str, str]]
    enter: Callable[[Sequence[str], bool], Sequence[str]]
    far: FarNode | None
    on_process: Callable[[SessionProcess], None]
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    waiting: WaitingRoom = field(default_factory=WaitingRoom)
    closing: bool = False


class NodeServer(asyncssh.SSHServer):
    """Authentication and forwarding of one connection."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection: asyncssh.SSHServerConnection | None = None
        self._attempts = 0
        self._listening_paths: list[str] = []

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._access.connections.add(conn)
        self._access.waiting.enter(conn)

    def auth_completed(self) -> None:
        if self._connection is not None:
            self._access.waiting.leave(self._connection)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._access.connections.discard(self._connection)
            self._access.waiting.leave(self._connection)
        for path in self._listening_paths:  # asyncio leaves the files of sockets before Python 3.13
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return bool(self._access.keys)

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._access.user_name and key.public_data in self._access.keys

    def password_auth_supported(self) -> bool:
        return self._access.verify_password is not None

    async def validate_password(self, username: str, password: str) -> bool:
        verify = self._access.verify_password
        assert verify is not None
        self._attempts += 1  # before the answer: the client may not wait for it
        good = False
        if self._attempts <= PASSWORD_ATTEMPTS:
            # Verified for any user name, so that the answer takes as long for a wrong one.
            good = await asyncio.to_thread(verify, password) and username == self._access.user_name
        if not good and self._attempts >= PASSWORD_ATTEMPTS:
            raise asyncssh.PermissionDenied("Too many authentication failures")
        return good

    def session_requested(self) -> NodeSession | bool:
        return False if self._access.closing else NodeSession(self._access)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        return self._connection_to(dest_host, str(dest_port))

    def unix_connection_requested(self, dest_path: str) -> Any:
        return self._connection_to(dest_path)

    def _connection_to(self, *address: str) -> Any:
        """True where this process may connect; else False, or a handler that connects from the node."""
        if self._access.closing or not self._access.far:
            return not self._access.closing
        return self._access.far.connect(*address)

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        """Let the client listen on the node (-R), but never on an address that other machines reach."""
        return listen_host in _LOOPBACK and not self._access.closing and not self._access.far

    def unix_server_requested(self, listen_path: str) -> bool:
        if self._access.closing or self._access.far or not _is_free(listen_path):
            return False
        self._listening_paths.append(listen_path)
        return True


class NodeSession(asyncssh.SSHServerProcess[bytes]):
    """One session: a process of the node; or a file transfer, which asyncssh serves in this process."""

    def __init__(self, access: Access) -> None:
        super().__init__(lambda process: None, self._file_server, 3, True)
        self._access = access
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._command: str | None = None
        self._transfer = False
        self._requested = False
        self._wants_terminal = False
        self._process: SessionProcess | None = None

    def connection_made(self, chan: Any) -> None:
        self._channel = chan
        super().connection_made(chan)

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Any) -> bool:
        self._wants_terminal = True
        return True

    def shell_requested(self) -> bool:
        return self._is_first_request()

    def exec_requested(self, command: str) -> bool:
        if not self._is_first_request():
            return False
        self._command = command
        self._transfer = bool(_SCP_PROTOCOL.match(command)) and not self._access.far
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem != "sftp" or not self._is_first_request():
            return False
        if self._access.far and self._access.far.sftp_server:
            self._command = f"exec {self._access.far.sftp_server}"
        else:
            self._transfer = True
        return True

    def session_started(self) -> None:
        if self._transfer:
            super().session_started()
            return
        channel = self._open_channel()
        try:
            env = self._environment(channel)
            argv = _login_shell(env) if self._command is None else [_command_shell(env), "-c", self._command]
            argv = list(self._access.enter(argv, self._wants_terminal))
            self._process = SessionProcess.start(self, argv, env, self._access.home, self._terminal(channel))
        except Exception as exc:  # whatever environment() may raise: the client must not wait for ever
            channel.write_stderr(f"This node cannot start a process: {exc}\r\n".encode(errors="replace"))
            channel.exit(255)
            return
        self._access.on_process(self._process)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._process:
            self._process.write(data)
        else:
            super().data_received(data, datatype)

    def eof_received(self) -> bool:
        if self._process and self._access.far and self._wants_terminal:
            self._process.write(_END_OF_FILE)  # for the terminal there: the one here hands everything on
            return True
        if self._process:
            self._process.write_eof()
            return True  # keep the other direction open
        return super().eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._process:
            self._process.pause_output()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._process:
            self._process.resume_output()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._process:
            self._process.resize(width, height, pixwidth, pixheight)

    def signal_received(self, signal_name: str) -> None:
        number = getattr(signal, f"SIG{signal_name}", None)
        if self._process and isinstance(number, signal.Signals):
            self._process.send_signal(number)

    def break_received(self, msec: int) -> bool:
        if self._process:
            self._process.send_signal(signal.SIGINT)
        return self._process is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        if self._process:
            self._process.hang_up()
        super().connection_lost(exc)

    def output_received(self, data: bytes, is_stderr: bool) -> None:
        channel = self._open_channel()
        if not channel.is_closing():
            channel.write(data, asyncssh.EXTENDED_DATA_STDERR if is_stderr else None)

    def input_full(self) -> None:
        self._open_channel().pause_reading()

    def input_ready(self) -> None:
        self._open_channel().resume_reading()

    def process_finished(self, returncode: int) -> None:
        channel = self._open_channel()
        if returncode >= 0:
            channel.exit(returncode)
            return
        try:
            channel.exit_with_signal(signal.Signals(-returncode).name.removeprefix("SIG"))
        except ValueError:  # a real-time signal has no name in SSH
            channel.exit(128 - returncode)

    def _is_first_request(self) -> bool:
        """A session runs one thing (RFC 4254, section 6.5); asyncssh sees to it since 2.24 only."""
        first, self._requested = not self._requested, True
        return first

    def _open_channel(self) -> asyncssh.SSHServerChannel[bytes]:
        assert self._channel is not None
        return self._channel

    def _file_server(self, channel: Any) -> asyncssh.SFTPServer:
        return _FileServer(channel, self._access.home, is_scp=self._command is not None)

    def _terminal(self, channel: asyncssh.SSHServerChannel[bytes]) -> Terminal | None:
        if not self._wants_terminal:
            return None
        return Terminal(
            channel.get_terminal_type() or "dumb", *channel.get_terminal_size(), modes=channel.get_terminal_modes()
        )

    def _environment(self, channel: asyncssh.SSHServerChannel[bytes]) -> dict[str, str]:
        """Return the node's environment with what belongs to this session.

        SSH_CLIENT is left out: it makes bash read ~/.bashrc even for a single command.
        """
        client, server = channel.get_extra_info("peername"), channel.get_extra_info("sockname")
        env = {
            "HOME": str(self._access.home),
            "PWD": str(self._access.home),
            "PATH": os.defpath,
            "SHELL": _shell(os.environ),
            **self._access.environment(),
            "USER": self._access.user_name,
            "LOGNAME": self._access.user_name,
            "SSH_CONNECTION": f"{client[0]} {client[1]} {server[0]} {server[1]}",
        }
        for name, value in channel.get_environment_bytes().items():
            if _CLIENT_VARIABLES.fullmatch(name) and b"\0" not in value:
                env[os.fsdecode(name)] = os.fsdecode(value)
        if self._wants_terminal:
            env["TERM"] = channel.get_terminal_type() or "dumb"
        agent = channel.get_agent_path()
        if agent and not self._access.far:
            env["SSH_AUTH_SOCK"] = agent
        return env


class _FileServer(asyncssh.SFTPServer):
    """SFTP and scp, with the node's home as the place where relative names start."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path, is_scp: bool) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)
        self._is_scp = is_scp

    def map_path(self, path: bytes) -> bytes:
        if self._is_scp and (path == b"~" or path.startswith(b"~/")):  # scp -O leaves this to a shell
            path = path[2:]
        return os.path.join(self._home, path)

    def exit(self) -> None:
        """Report success: without it OpenSSH's sftp and scp end with 1 after a good transfer."""
        self.channel.exit(0)


def _is_free(path: str) -> bool:
    """Tell whether a socket can be made: asyncio would replace one in use, and log a path that makes no sense."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return os.path.isabs(path)
    except (OSError, ValueError):
        return False
    return False


def _command_shell(env: Mapping[str, str]) -> str:
    return shutil.which("bash", path=env["PATH"]) or shutil.which("bash") or "/bin/sh"


def _login_shell(env: Mapping[str, str]) -> list[str]:
    return [_shell(env), "-l"]


def _shell(env: Mapping[str, str]) -> str:
    """Return $SHELL where it is one that a user can log in with, else bash, else sh."""
    shell = env.get("SHELL", "")
    if os.path.isabs(shell) and os.access(shell, os.X_OK) and os.path.basename(shell) not in _NOT_SHELLS:
        return shell
    return shutil.which("bash") or "/bin/sh"
