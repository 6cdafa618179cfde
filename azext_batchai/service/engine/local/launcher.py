"""The launcher: a small process that forks a runner for every task. Run as a script; imports the standard library only.

Why a process of its own: a task must outlive the service and its true exit status must be read by its parent. The
launcher is one thread in a few megabytes, so a fork of it costs a millisecond, where a new interpreter costs twenty.
It ends when the service closes its socket; the runners it made go on.

Protocol on the socket given as a file descriptor, each message a 4-byte length and JSON:
  to the launcher    {"id"} and what runner.py has of a task
  from the launcher  {"id", "pid"} | {"id", "error"}
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runner  # type: ignore[import-not-found]  # noqa: E402  # it lies beside this file
from namespaces import Namespaces  # type: ignore[import-not-found]  # noqa: E402


def serve(channel: socket.socket, namespaces: Namespaces) -> None:
    """Fork a runner for each request until the service hangs up."""
    gc.collect()
    gc.freeze()  # what a collection touches would be copied for every runner
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # runners report through their folders; the kernel reaps them
    while True:
        header = _receive(channel, 4)
        body = _receive(channel, struct.unpack("!I", header)[0]) if header else None
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
            pid = os.fork()
        except OSError as exc:
            reply["error"] = exc.strerror
        else:
            if pid == 0:
                channel.close()
                runner.become_runner(request, namespace)
            reply["pid"] = pid
        message = json.dumps(reply).encode()
        try:
            channel.sendall(struct.pack("!I", len(message)) + message)
        except OSError:
            return


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
    serve(socket.socket(fileno=int(sys.argv[1])), Namespaces())
