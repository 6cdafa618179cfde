"""The launcher: a small process that forks the runners of tasks. Run as a script; imports the standard library only.

Why a process of its own: a task must outlive the service and its true exit status must be read by its parent. The
launcher is one thread in a few megabytes, so a fork of it costs a millisecond, where a new interpreter costs twenty.
It ends when the service closes its socket; the runners it made have sockets of their own.

Protocol on the socket given as a file descriptor, JSON in messages that stay whole (SOCK_SEQPACKET):
  to the launcher    {"id", "enter"}  the words of runner.py's requests, none for tasks that enter no mount namespace
  from the launcher  {"id", "pid"} and the descriptor of the runner's channel | {"id", "error"}
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import runner  # type: ignore[import-not-found]  # noqa: E402  # it lies beside this file
from namespaces import Namespace, Namespaces  # type: ignore[import-not-found]  # noqa: E402

_MESSAGE_BYTES = 1 << 20  # more than a socket takes


def serve(channel: socket.socket, namespaces: Namespaces) -> None:
    """Fork a runner for each request until the service hangs up."""
    gc.collect()
    gc.freeze()  # what a collection touches would be copied for every runner
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # runners say themselves how tasks end; the kernel reaps them
    runner.boot_id()  # read once for all of them
    while True:
        try:
            body = channel.recv(_MESSAGE_BYTES)
        except OSError:
            return
        if not body:
            return
        request = json.loads(body)
        try:
            pid, theirs = _fork(channel, _namespace(namespaces, request["enter"]))
        except OSError as exc:
            if not _say(channel, {"id": request["id"], "error": exc.strerror}):
                return
        else:
            with theirs:
                if not _say(channel, {"id": request["id"], "pid": pid}, theirs.fileno()):
                    return


def _say(channel: socket.socket, message: dict[str, object], *descriptors: int) -> bool:
    try:
        socket.send_fds(channel, [json.dumps(message).encode()], descriptors)
    except OSError:
        return False
    return True


def _namespace(namespaces: Namespaces, enter: list[str]) -> Namespace | None:
    try:
        return namespaces.of(enter) if enter else None
    except OSError:
        return None  # the runner makes one of the task's own


def _fork(channel: socket.socket, namespace: Namespace | None) -> tuple[int, socket.socket]:
    """A runner's pid and the service's end of its channel. Raises OSError."""
    service, own = socket.socketpair()
    with own:
        try:
            pid = os.fork()
        except OSError:
            service.close()
            raise
        if pid == 0:
            channel.close()
            service.close()
            runner.serve(own, namespace)
    return pid, service


if __name__ == "__main__":
    runner.set_name(b"batchai-launch")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mounts = runner.Mounts()
    mounts.watch()
    serve(socket.socket(fileno=int(sys.argv[1])), Namespaces(mounts.changed))
