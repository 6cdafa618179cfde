"""What `ssh -L` does: a port of this machine that leads to another."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE_SECONDS = 5.0  # for threads, which do not outlive the process in any case


@contextmanager
def forwarded(port: int, host: str = "127.0.0.1") -> Iterator[int]:
    """A port of `host` that leads to `port` of 127.0.0.1 meanwhile. Raises OSError where `host` is not there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        thread = threading.Thread(target=_serve, args=(listener, port), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(_PATIENCE_SECONDS)


def _serve(listener: socket.socket, port: int) -> None:
    open_ones: list[socket.socket] = []
    pumps = []
    while True:
        try:
            here, _ = listener.accept()
        except OSError:  # shut down
            break
        there = socket.create_connection(("127.0.0.1", port))
        open_ones += [here, there]
        for source, target in ((here, there), (there, here)):
            pumps.append(threading.Thread(target=_pump, args=(source, target), daemon=True))
            pumps[-1].start()
    for one in open_ones:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    for pump in pumps:
        pump.join(_PATIENCE_SECONDS)
    for one in open_ones:
        one.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
