"""Named pipes that ranks of one job write to, copied into one file: lines of several ranks stay whole.

Part of the runner: standard library only, for Python 3.8 or newer.
"""

from __future__ import annotations

import os
import time

PARTIAL_SECONDS = 0.05  # how long the beginning of a line waits for its end
OPEN_SECONDS = 1.0  # how long others wait for the rest of a line whose beginning was written
_MAX_PARTIAL = 1 << 16
# mpirun says so where a process that it has started was quicker than itself: no fault, and none of the job's.
_NOISE = b"plm:rsh: Warning: setpgid("


class PipeRelay:
    """Copies several pipes into one file, whole lines at a time."""

    def __init__(self, target: str, paths: list[str]) -> None:
        self._target = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.sources: dict[int, bytearray] = {}
        for path in paths:
            # Opened for both, so that it does not end with the first writer.
            self.sources[os.open(path, os.O_RDWR | os.O_NONBLOCK)] = bytearray()
        self._since = dict.fromkeys(self.sources, 0.0)
        self._open: int | None = None  # the source that has written the beginning of a line

    def readable(self) -> list[int]:
        """The pipes that there is room for: a rank that has to wait for another's line fills no memory."""
        return [source for source, kept in self.sources.items() if len(kept) < 16 * _MAX_PARTIAL]

    def patience(self) -> float | None:
        """How long until something has to be written although its line has not ended."""
        return PARTIAL_SECONDS if any(self.sources.values()) else None

    def copy(self, ready: list[int]) -> None:
        now = time.monotonic()
        for source, kept in self.sources.items():
            if source in ready:
                self._read(source, kept, now)
        for source in sorted(self.sources, key=lambda source: source != self._open):
            self._write(source, now)

    def finish(self) -> None:
        """Copy what is left when every writer is gone, and let go of the files."""
        while True:
            before = sum(map(len, self.sources.values()))
            for source, kept in self.sources.items():
                self._read(source, kept, time.monotonic())
            if sum(map(len, self.sources.values())) == before:
                break
        for source, kept in self.sources.items():
            if kept:
                self._put(source, len(kept))
        for descriptor in (self._target, *self.sources):
            os.close(descriptor)

    def _read(self, source: int, kept: bytearray, now: float) -> None:
        try:
            data = os.read(source, _MAX_PARTIAL)
        except BlockingIOError:
            return
        if not kept:
            self._since[source] = now
        kept += data

    def _write(self, source: int, now: float) -> None:
        kept = self.sources[source]
        if self._open not in (None, source) and now - self._since[self._open] < OPEN_SECONDS:
            return
        end = max(kept.rfind(b"\n"), kept.rfind(b"\r")) + 1
        if end:
            self._put(source, end)
        if kept and (now - self._since[source] >= PARTIAL_SECONDS or len(kept) >= _MAX_PARTIAL):
            self._put(source, len(kept))

    def _put(self, source: int, size: int) -> None:
        kept = self.sources[source]
        data = bytes(kept[:size])
        if _NOISE in data:
            data = b"".join(line for line in data.splitlines(True) if _NOISE not in line)
        if not data:
            del kept[:size]
            return
        if self._open not in (None, source):
            data = b"\n" + data  # the other line stays without its end rather than mixed with this one
        self._open = None if data[-1:] in (b"\n", b"\r") else source
        while data:
            data = data[os.write(self._target, data) :]
        self._since[source] = time.monotonic()
        del kept[:size]
