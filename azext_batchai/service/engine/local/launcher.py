"""The launcher: a small process that forks a runner for every task. Run as a script; imports the standard library only.

Why a process of its own: a task must outlive the service and its true exit status must be read by its parent. The
launcher is one thread in a few megabytes, so a fork of it costs a millisecond, where a new interpreter costs twenty.
From the first task on there is a runner that waits for the next one: its fork is over when that comes.
It ends when the service closes its socket, and with it the one that waits; the runners it made go on.

Protocol on the socket given as a file descriptor, each message a 4-byte length and JSON:
  to the launcher    {"id"} and what runner.py has of a task
  from the launcher  {"id", "pid"} | {"id", "error"}
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runner  # type: ignore[import-not-found]  # noqa: E402  # it lies beside this file
from namespaces import Namespace, Namespaces  # type: ignore[import-not-found]  # noqa: E402

_QUIET_SECONDS = 0.005


def serve(channel: socket.socket, namespaces: Namespaces) -> None:
    """Fork a runner for each request until the service hangs up."""
    gc.collect()
    gc.freeze()  # what a collection touches would be copied for every runner
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # runners report through their folders; the kernel reaps them
    runner.boot_id()  # read once for all of them
    spare = None
    while True:
        body = _receive_message(channel)
        if body is None:
            return
        request = json.loads(body)
        reply = {"id": request["id"]}
        namespace = None
        try:
            namespace = namespaces.of(request["enter"]) if "enter" in request else None
        except OSError:
            pass  # the runner makes one of the task's own
        try:
            reply["pid"] = spare.give(body, namespace) if spare else 0
            if not reply["pid"]:
                reply["pid"] = os.fork()
                if reply["pid"] == 0:
                    channel.close()
                    runner.become_runner(request, namespace)
        except OSError as exc:
            reply["error"] = exc.strerror
        message = json.dumps(reply).encode()
        try:
            channel.sendall(struct.pack("!I", len(message)) + message)
        except OSError:
            return
        # Where one task follows on another a runner that waits would save nobody's time.
        busy, _, _ = select.select([channel], [], [], _QUIET_SECONDS)
        spare = None if busy else _make_spare(channel)


def _make_spare(channel: socket.socket) -> _Spare | None:
    try:
        return _Spare(channel)
    except OSError:  # the next request's own fork says why
        return None


class _Spare:
    """A runner that waits for its task."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel` is none of the runner's. Raises OSError."""
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._pid = os.fork()
            if self._pid == 0:
                try:
                    channel.close()
                    self._channel.close()
                    _wait_for_task(theirs)
                finally:
                    os._exit(1)

    def give(self, body: bytes, namespace: Namespace | None) -> int:
        """Its pid, when it has got the task; 0 where it is gone, or may not have got all of it."""
        message = struct.pack("!I", len(body)) + body
        with self._channel as channel:
            try:
                sent = socket.send_fds(channel, [message], namespace.descriptors if namespace else ())
                if sent < len(message):  # one who has all of it may be gone, or have closed its end, by now
                    channel.sendall(message[sent:])
            except OSError:
                return 0
        return self._pid


def _wait_for_task(channel: socket.socket) -> None:
    events = runner.prepare()
    begun, descriptors, _, _ = socket.recv_fds(channel, 1 << 16, 2)
    if len(begun) < 4:  # the launcher has ended
        return
    rest = _receive(channel, struct.unpack("!I", begun[:4])[0] - len(begun[4:]))
    channel.close()
    if rest is not None:
        runner.become_runner(json.loads(begun[4:] + rest), Namespace(descriptors) if descriptors else None, events)


def _receive_message(channel: socket.socket) -> bytes | None:
    header = _receive(channel, 4)
    return _receive(channel, struct.unpack("!I", header)[0]) if header else None


def _receive(channel: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            part = channel.recv(size - len(data))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return data


if __name__ == "__main__":
    runner.set_name(b"batchai-launch")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mounts = runner.Mounts()
    mounts.watch()
    serve(socket.socket(fileno=int(sys.argv[1])), Namespaces(mounts))
