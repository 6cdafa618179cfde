"""A command on a node with its streams, terminal, signals and exit status here: what `srun` alone does not carry.

srun hands output on by whole lines, says on stderr how a command has ended, and takes signals for itself. So a step
runs this program at the node, and the service runs it at its own end. Standard library only.

    session.py here SRUN...          srun and its options, then: python session.py there SPEC
    session.py there SPEC            SPEC is base64 of JSON: {"argv", "cwd", "terminal"} or {"connect": [host, port]}
                                     or {"connect": [path]}

Each end writes lines: a letter, and base64 or numbers.
  to the node:  i data of stdin   c its end   s signal   w rows columns   m attributes and size of the terminal
  from it:      o stdout   e stderr   x exit code   k signal that ended the command
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Json = dict[str, Any]
_PIECE = 1 << 15
_MOST = 1 << 18  # what waits to be written before no more is read for it
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_NOT_CONNECTED = 3


class _Writer:
    """A descriptor that is written to when it has room."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting = bytearray()
        self.ended = False
        os.set_blocking(descriptor, False)

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= _MOST

    def flush(self) -> None:
        try:
            del self.waiting[: os.write(self.descriptor, self.waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads it any more
            self.waiting.clear()


class _Lines:
    """What comes from the other end."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""

    def read(self) -> list[tuple[str, bytes]] | None:
        """None at the end of the channel."""
        data = os.read(self.descriptor, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [(chr(line[0]), line[1:]) for line in lines if line]


def _line(letter: str, data: bytes) -> bytes:
    return letter.encode() + base64.b64encode(data) + b"\n"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _PIECE)
    except OSError:  # EIO: nobody has the terminal any more
        return b""


def _wake_on(numbers: Sequence[int]) -> int:
    """A descriptor from which the numbers of signals are read when they come."""
    wake, woken = os.pipe()
    for descriptor in (wake, woken):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(woken)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return wake


# Where the service is


def here(srun: list[str]) -> int:
    """Run the step; the status that its command had, 128 + n where signal n ended it."""
    wake = _wake_on((signal.SIGWINCH, *_SIGNALS))
    step = subprocess.Popen(srun, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert step.stdin and step.stdout
    there, lines = _Writer(step.stdin.fileno()), _Lines(step.stdout.fileno())
    before = termios.tcgetattr(0) if os.isatty(0) else None
    if before:
        there.waiting += _line("m", json.dumps([_plain(before), _size()]).encode())
        tty.setraw(0, termios.TCSANOW)  # what was typed before stays
    status = None
    typing = True
    while True:
        watched = [wake, lines.descriptor, *([0] if typing and not there.is_full else [])]
        ready, writable, _ = select.select(watched, [there.descriptor] if there.waiting else [], [])
        if writable:
            there.flush()
        if 0 in ready:
            data = _read(0)
            typing = bool(data)
            there.waiting += _line("i", data) if data else b"c\n"
        if wake in ready:
            for number in os.read(wake, 64):
                resized = number == signal.SIGWINCH
                there.waiting += b"w%d %d\n" % _size() if resized else b"s%d\n" % number
        if lines.descriptor in ready:
            found = lines.read()
            if found is None:
                break
            for letter, text in found:
                if letter in "oe":
                    _write(1 if letter == "o" else 2, base64.b64decode(text))
                else:
                    status = int(text) + (128 if letter == "k" else 0)
    ended = step.wait()
    return (ended or 255) if status is None else status


def _size() -> tuple[int, int]:
    try:
        rows, columns = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    except OSError:
        return 24, 80
    return rows, columns


def _plain(attributes: Any) -> list[Any]:
    """What tcgetattr returns as JSON has it."""
    return [*attributes[:6], [value if isinstance(value, int) else value[0] for value in attributes[6]]]


def _write(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError:
            return


# Where the node is


class _Command:
    """A command with pipes or a terminal."""

    def __init__(self, spec: Json) -> None:
        if spec["terminal"]:
            self._terminal, slave = pty.openpty()
            streams: tuple[Any, Any, Any] = (slave, slave, slave)
        else:
            streams = (subprocess.PIPE,) * 3
        self._process = subprocess.Popen(
            spec["argv"],
            cwd=spec["cwd"],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            preexec_fn=self._lead if spec["terminal"] else os.setsid,
        )
        if spec["terminal"]:
            os.close(slave)
            self.input = _Writer(os.dup(self._terminal))
            self.outputs = {self._terminal: "o"}
        else:
            pipes: Any = self._process
            self.input = _Writer(pipes.stdin.fileno())
            self.outputs = {pipes.stdout.fileno(): "o", pipes.stderr.fileno(): "e"}
        self._has_terminal = bool(spec["terminal"])

    def _lead(self) -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def end_input(self) -> None:
        if not self._has_terminal:
            os.close(self.input.descriptor)
            self._process.stdin = None
        else:
            attributes = termios.tcgetattr(self._terminal)
            if attributes[3] & termios.ICANON:
                self.input.waiting += attributes[6][termios.VEOF]

    def take_modes(self, attributes: list[Any], size: tuple[int, int]) -> None:
        attributes[6] = [bytes([value]) for value in attributes[6]]
        termios.tcsetattr(self._terminal, termios.TCSANOW, attributes)
        self.resize(*size)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def tell(self, number: int) -> None:
        try:
            group = os.tcgetpgrp(self._terminal) if self._has_terminal else self._process.pid
            os.killpg(group, number)
        except OSError:
            pass  # it has ended

    def has_ended(self) -> bool:
        """Whether the command has, and with it all that matters of a terminal."""
        return self._process.poll() is not None and (self._has_terminal or not self.outputs)

    def status(self) -> bytes:
        code = self._process.wait()
        return b"k%d\n" % -code if code < 0 else b"x%d\n" % code


class _Connection:
    """A stream to an address that the node can reach."""

    def __init__(self, spec: Json) -> None:
        address = spec["connect"]
        if len(address) == 2:
            self._socket = socket.create_connection((address[0], int(address[1])))
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(address[0])
        self.input = _Writer(os.dup(self._socket.fileno()))
        self.outputs = {self._socket.fileno(): "o"}
        self._socket.setblocking(True)

    def end_input(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def tell(self, number: int) -> None:
        self.outputs.clear()

    def has_ended(self) -> bool:
        return not self.outputs

    def status(self) -> bytes:
        return b"x0\n"


def there(spec: Json) -> None:
    wake = _wake_on((signal.SIGCHLD,))
    try:
        target: Any = _Connection(spec) if "connect" in spec else _Command(spec)
    except OSError as exc:
        what = spec["argv"][0] if "argv" in spec else ":".join(spec["connect"])
        _write(1, _line("e", f"{what}: {exc.strerror}\n".encode()) + b"x%d\n" % _NOT_CONNECTED)
        return
    lines: _Lines | None = _Lines(0)
    ending = False
    while not target.has_ended():
        taking = target.input
        if ending and not taking.waiting:
            ending = False
            taking.ended = True
            target.end_input()
        watched = [wake, *target.outputs, *([0] if lines and not taking.is_full else [])]
        ready, writable, _ = select.select(watched, [taking.descriptor] if taking.waiting else [], [])
        if writable:
            taking.flush()
        if wake in ready:
            os.read(wake, 64)
        _bring(target, [descriptor for descriptor in target.outputs if descriptor in ready])
        if lines and 0 in ready:
            found = lines.read()
            if found is None:  # the client is gone
                lines = None
                target.tell(signal.SIGHUP)
            for letter, text in found or ():
                ending = ending or letter == "c"
                _obey(target, letter, text)
    while any(_has_more(descriptor) for descriptor in target.outputs):
        _bring(target, [descriptor for descriptor in target.outputs if _has_more(descriptor)])
    _write(1, target.status())


def _bring(target: Any, ready: list[int]) -> None:
    for descriptor in ready:
        data = _read(descriptor)
        if data:
            _write(1, _line(target.outputs[descriptor], data))
        else:
            del target.outputs[descriptor]


def _has_more(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _obey(target: Any, letter: str, text: bytes) -> None:
    if letter == "i":
        if not target.input.ended:
            target.input.waiting += base64.b64decode(text)
    elif letter == "s":
        target.tell(int(text))
    elif letter == "w":
        target.resize(*map(int, text.split()))
    elif letter == "m":
        target.take_modes(*json.loads(base64.b64decode(text).decode()))


if __name__ == "__main__":
    if sys.argv[1] == "here":
        sys.exit(here(sys.argv[2:]))
    there(json.loads(base64.b64decode(sys.argv[2]).decode()))
