"""Ports on loopback, which a state folder keeps from one start of its service to the next where they are free."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

_FILE = "ports.json"


class PortError(Exception):
    """The port asked for cannot be had."""


class Ports:
    """The ports that the service of one state folder listens on, by the name of what listens there."""

    def __init__(self, home: Path) -> None:
        self._file = home / _FILE

    def listen(self, name: str, wanted: int = 0) -> socket.socket:
        """A listener at port `wanted`, or for 0 at the port of the last time, or where that is taken at any free one.

        Raises PortError.
        """
        kept = self._kept()
        listener = None
        if not wanted and kept.get(name):
            try:
                listener = listen(kept[name])
            except PortError:
                pass  # somebody else has it now
        listener = listener or listen(wanted)
        port = listener.getsockname()[1]
        if kept.get(name) != port:
            self._keep({**kept, name: port})
        return listener

    def _kept(self) -> dict[str, int]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(name): int(port) for name, port in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _keep(self, ports: dict[str, int]) -> None:
        temporary = self._file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(ports), encoding="utf-8")
        os.replace(temporary, self._file)


def listen(port: int) -> socket.socket:
    """A listener on 127.0.0.1; port 0 is any free one. Raises PortError."""
    # With the protocol named, asyncio turns Nagle's algorithm off; without it every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except (OSError, OverflowError) as exc:
        listener.close()
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise PortError(f"Port {port} on 127.0.0.1 cannot be used: {reason}.") from None
    return listener
