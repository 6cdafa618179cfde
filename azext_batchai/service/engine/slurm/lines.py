"""What MPI ranks on other nodes say, brought to the master's runner whole: named pipes reach no further than a machine.

Each node has named pipes of its own, one for each rank and stream. A pump on every other node, forked by its agent,
listens on one port; `gather` on the master's node, which starts mpirun, connects to all pumps and copies what comes
into the master's pipes, where the runner reads whole lines. Standard library only.

    lines.py SPEC COMMAND...     SPEC is a JSON file: {"token", "from": [[address, port]], "to": [path]}

A connection: the token and a newline to the pump; then frames from it, each the number of a pipe in "to" and a size
(4 bytes each, network order) before the data. When mpirun has ended the gatherer ends its direction; the pump sends
what is left in its pipes and closes.
"""

from __future__ import annotations

import ctypes
import hmac
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Json = dict[str, Any]
_HEADER = struct.Struct("!II")
_PIECE = 1 << 16
_UNUSED_SECONDS = 600.0  # a pump that nobody connects to: the job was never started
_TOKEN_SECONDS = 5.0
_CONNECT_SECONDS = 30.0
_LATE_SECONDS = 30.0  # for what other nodes still have to say after mpirun has ended
_PR_SET_PDEATHSIG = 1


# On the other nodes


def pump(paths: list[str], listener: socket.socket, token: str) -> None:
    """Send what comes through the pipes to the one who knows the token, until that one wants no more."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Opened for both, so that they do not end with the first writer.
    pipes = {os.open(path, os.O_RDWR | os.O_NONBLOCK): number for number, path in enumerate(paths)}
    channel = _accept(listener, token.encode())
    poll = select.poll()
    for descriptor in (*pipes, channel.fileno()):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        _send(channel, [descriptor for descriptor in ready if descriptor in pipes], pipes)
        if channel.fileno() in ready:
            break
    while _send(channel, list(pipes), pipes):
        pass


def _accept(listener: socket.socket, token: bytes) -> socket.socket:
    listener.settimeout(_UNUSED_SECONDS)
    while True:
        channel = listener.accept()[0]
        channel.settimeout(_TOKEN_SECONDS)
        try:
            if hmac.compare_digest(_receive(channel, len(token) + 1), token + b"\n"):
                channel.settimeout(None)
                listener.close()
                return channel
        except OSError:
            pass
        channel.close()


def _send(channel: socket.socket, ready: list[int], pipes: dict[int, int]) -> bool:
    """Whether there was anything."""
    found = False
    for descriptor in ready:
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            continue
        found = True
        channel.sendall(_HEADER.pack(pipes[descriptor], len(data)) + data)
    return found


# On the master's node


def gather(spec: Json, command: list[str]) -> int:
    """Run the command; what ranks on other nodes say goes into the pipes here. Ends as the command has ended."""
    channels = [_connect(address, port, spec["token"]) for address, port in spec["from"]]
    pipes = [os.open(path, os.O_WRONLY) for path in spec["to"]]
    wake, woken = os.pipe()
    for descriptor in (wake, woken):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGCHLD, signal.SIGTERM):  # TERM is for the command: what it says of that is still to come
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(command)
    until = 0.0
    while channels:
        if not until and process.poll() is not None:
            until = time.monotonic() + _LATE_SECONDS
            for channel in channels:
                _end(channel)
        patience = until - time.monotonic() if until else None
        if patience is not None and patience <= 0:
            break
        watched: list[Any] = [wake, *channels]
        ready, _, _ = select.select(watched, [], [], patience)
        if wake in ready:
            os.read(wake, 4096)
        for channel in [channel for channel in channels if channel in ready]:
            if not _take(channel, pipes):
                channels.remove(channel)
    return process.wait()


def _connect(address: str, port: int, token: str) -> socket.socket:
    channel = socket.create_connection((address, port), _CONNECT_SECONDS)
    channel.settimeout(None)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    channel.sendall(token.encode() + b"\n")
    return channel


def _end(channel: socket.socket) -> None:
    try:
        channel.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has gone by itself


def _take(channel: socket.socket, pipes: list[int]) -> bool:
    """Copy one frame; False at the end."""
    try:
        header = _receive(channel, _HEADER.size)
        if not header:
            return False
        number, size = _HEADER.unpack(header)
        data = _receive(channel, size)
    except (OSError, struct.error):  # its node is gone: the job's end says so
        return False
    while data:
        data = data[os.write(pipes[number], data) :]
    return True


def _receive(channel: socket.socket, size: int) -> bytes:
    """So many bytes, fewer at the end. Raises OSError."""
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            break
        data += part
    return data


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        code = gather(json.load(file), sys.argv[2:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)
