"""What a runner waits for: signals, what the service says, and the ranks' output.

Part of the runner: standard library only, for Python 3.8 or newer.
"""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Any

from frames import Frames, frame  # type: ignore[import-not-found]  # it lies beside this file

if TYPE_CHECKING:
    import socket

    from azext_batchai.service.engine.local.pipe_relay import PipeRelay

    Json = dict[str, Any]
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM)


class Events:
    """Signals come as bytes of a pipe, requests over `channel`, where there is one."""

    def __init__(self, channel: socket.socket | None = None) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        self._channel = channel
        self._frames = Frames()
        self._cookie = self._stopped = ""
        self._next: Json | None = None
        self.stop = False  # whether the task is to end

    def begin(self, cookie: str) -> None:
        self._cookie, self.stop = cookie, self._stopped == cookie  # which may have come with the request

    def wait(self, relays: list[PipeRelay], timeout: float | None) -> None:
        """Until something happens; copies what the relays have got meanwhile."""
        pauses = [relay.patience() for relay in relays]
        times = [pause for pause in (timeout, *pauses) if pause is not None]
        descriptors = [descriptor for relay in relays for descriptor in relay.readable()]
        channels: list[Any] = [self._channel] if self._channel else []
        ready, _, _ = select.select([self._read, *channels, *descriptors], [], [], min(times) if times else None)
        for relay in relays:
            relay.copy(ready)
        self._hear(ready)

    def next_task(self, watched: list[int]) -> Json | None:
        """The next request; None where there is to be none, or something has happened to what is `watched`."""
        while self._channel and not self._next:
            waited: list[Any] = [self._read, self._channel]
            ready, _, changed = select.select(waited, [], watched)
            self._hear(ready)
            self._hear_signals()  # one that came before the request may be seen only now
            if changed or self.stop:
                return None
        request, self._next = self._next, None
        return request

    def _hear(self, ready: list[Any]) -> None:
        if self._read in ready:
            self._hear_signals()
        if not self._channel or self._channel not in ready:
            return
        try:
            data = self._channel.recv(1 << 16)
        except OSError:
            data = b""
        if not data:  # the service is gone; the task goes on
            self._channel.close()
            self._channel = None
        for message in self._frames.feed(data):
            if "stop" not in message:
                self._next = message
                continue
            self._stopped = message["stop"]
            if self._stopped == self._cookie:  # else it is one that has ended already, or is to begin
                self.stop = True

    def _hear_signals(self) -> None:
        try:
            self.stop = signal.SIGTERM in os.read(self._read, 1024) or self.stop
        except BlockingIOError:
            pass

    def tell(self, end: Json, more: bool) -> bool:
        """Say how a task has ended, and whether the next may come; False where nobody listens any more."""
        self._cookie, self.stop = "", False
        try:
            if self._channel:
                self._channel.sendall(frame({"end": end, "more": more}))
        except OSError:
            return False
        return self._channel is not None
