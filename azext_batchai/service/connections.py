"""Connections of clients: how many there may be, how long one may take to say what it wants.

uvicorn's protocol knows one time-out, for connections that are idle between requests. Here a client that begins a
request and does not go on is let go as well, and there is an upper bound: when it is reached, the connection that has
been idle for longest makes room for the new one. Nothing here runs while nothing happens.

Names of uvicorn that it does not promise are used; tests/service/test_uvicorn.py holds them against the installed one.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

log = logging.getLogger(__name__)

FIRST_SECONDS = 75.0  # from the connection to the first byte
HEAD_SECONDS = 20.0  # from the first byte of a request to the end of its headers
BODY_SECONDS = 60.0  # in which a body has to grow by BODY_BYTES, or end
BODY_BYTES = 1 << 16
_ACCEPTS_AT_ONCE = 64
_RETRY_SECONDS = 1.0
_TELL_SECONDS = 60.0
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connections(ServerState):
    """What uvicorn's protocols share; `idle` has those that no request is under way on, idle for longest first."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: dict[Connection, None] = {}

    def make_room(self) -> bool:
        """Close the connection that has been idle for longest; False where all are at work."""
        for connection in self.idle:
            del self.idle[connection]
            connection.transport.close()
            return True
        return False


class Connection(H11Protocol):
    """One client's connection."""

    server_state: Connections
    _timer: asyncio.TimerHandle | None = None
    _phase = ""
    _received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.server_state.idle[self] = None
        self._enter("first")

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter("")
        self.server_state.idle.pop(self, None)
        super().connection_lost(exc)

    def _look(self) -> None:
        """After each event: what is the client expected to do?"""
        if self.transport.is_closing():
            self._enter("")
            return
        state = self.conn.their_state
        at_work = self.cycle is not None and not self.cycle.response_complete
        if state is h11.SEND_BODY:
            self._enter("body")
        elif state is h11.IDLE and not at_work and self.conn.trailing_data[0]:
            self._enter("head")
        else:
            self._enter("")
        if at_work:
            self.server_state.idle.pop(self, None)
        else:
            self.server_state.idle.setdefault(self)

    def _enter(self, phase: str) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if phase == "body":
            self._wait_for_body()
        elif phase:
            seconds = FIRST_SECONDS if phase == "first" else HEAD_SECONDS
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _wait_for_body(self) -> None:
        self._received = 0
        self._timer = self.loop.call_later(BODY_SECONDS, self._check_body)

    def _check_body(self) -> None:
        # Where reading is paused it is the service that takes its time.
        if self._received >= BODY_BYTES or self.flow.read_paused:
            self._wait_for_body()
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._timer = None
        if self._phase == "head" or (self._phase == "body" and not self.cycle.response_started):
            self.transport.write(answer(408, "RequestTimeout", "The request did not arrive in time."))
        self.transport.close()


class Listener:
    """Takes connections in; stands where uvicorn expects an asyncio server.

    `make` makes the protocol of a new connection; there are `limit` at most at a time.
    """

    def __init__(
        self, listener: socket.socket, make: Callable[[], Connection], connections: Connections, limit: int
    ) -> None:
        self._listener = listener
        self._make = make
        self._connections = connections
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[Any]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._spare: int | None = None  # a descriptor kept for the day when there is none
        self._told = -_TELL_SECONDS

    def start(self) -> None:
        self._listener.setblocking(False)
        self._keep_spare()
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        if self._again:
            self._again.cancel()
        else:
            self._loop.remove_reader(self._listener.fileno())
        self._give_spare()
        self._listener.close()

    async def wait_closed(self) -> None:
        if self._coming:
            await asyncio.wait(self._coming)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in _NO_DESCRIPTOR:
                    raise
                self._without_descriptor(exc)
                return
            connection.setblocking(False)
            if len(self._connections.connections) + len(self._coming) >= self._limit:
                self._tell(f"{self._limit} connections are open, which is as many as there may be")
                if not self._connections.make_room():
                    _refuse(connection)
                    continue
            task = self._loop.create_task(self._take(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _take(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError as exc:
            log.error("a connection could not be taken: %s", exc)
            connection.close()

    def _without_descriptor(self, exc: OSError) -> None:
        """No descriptor is free: an idle connection gives its own, or the spare one serves to say no."""
        self._tell(f"a connection could not be accepted: {exc.strerror}")
        if self._connections.make_room():
            return
        if self._spare is not None:
            self._give_spare()
            try:
                connection, _ = self._listener.accept()
            except OSError:
                pass
            else:
                _refuse(connection)
        self._keep_spare()
        if self._spare is None:  # the listener stays readable: asking again at once would never end
            self._loop.remove_reader(self._listener.fileno())
            self._again = self._loop.call_later(_RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        self._again = None
        self._keep_spare()
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _keep_spare(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass

    def _give_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _tell(self, text: str) -> None:
        """Once a minute at most: this is told for every connection there is too much."""
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            log.warning("%s", text)


def _refuse(connection: socket.socket) -> None:
    with connection:
        connection.setblocking(False)
        try:
            connection.recv(1 << 16)  # what lies unread would turn the answer into a reset
        except OSError:
            pass
        try:
            message = "The service has too many connections. Try again."
            connection.send(answer(503, "ServiceUnavailable", message))
        except OSError:
            pass


def answer(status: int, code: str, message: str) -> bytes:
    """A whole HTTP response after which the connection is closed."""
    from http import HTTPStatus

    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def quiet_handler() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """An exception handler of the loop: servers of nodes that find no descriptor say so once a minute."""
    told = -_TELL_SECONDS

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told
        exc = context.get("exception")
        if not isinstance(exc, OSError) or exc.errno not in _NO_DESCRIPTOR:
            loop.default_exception_handler(context)
        elif time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            log.error("%s: %s", context.get("message"), exc.strerror)

    return handle
