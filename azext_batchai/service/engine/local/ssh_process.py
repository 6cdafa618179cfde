"""The process of one SSH session: started in a session of its own, its streams pumped by the event loop.

Neither threads nor asyncio's subprocess support: the latter needs a thread for each child before Python 3.12 and
cannot give a child a controlling terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from azext_batchai.service import open_files
from azext_batchai.service.engine.local import ssh_terminal

READ_SIZE = 64 * 1024  # what a pipe holds
INPUT_HIGH_WATER = 256 * 1024
# A terminal that a background process keeps open is given up once the shell has ended and nothing came for so long.
TERMINAL_DRAIN_SECONDS = 0.2
EXIT_POLL_SECONDS = 0.02  # only where the kernel has no pidfd


class ProcessOwner(Protocol):
    """What a process tells the SSH channel that it serves."""

    def output_received(self, data: bytes, is_stderr: bool) -> None: ...

    def input_full(self) -> None:
        """The process does not read its input: send no more until input_ready()."""

    def input_ready(self) -> None: ...

    def process_finished(self, returncode: int) -> None:
        """The process has ended and all its output was handed over; negative: ended by that signal."""


class SessionProcess:
    """One running process, which leads a session (setsid) of its own.

    Arguments of start():
        argv, env, cwd: as of subprocess.Popen.
        terminal: the terminal that the client asked for; None connects three pipes.

    Raises OSError or ValueError when the process cannot be started.
    """

    def __init__(self, owner: ProcessOwner, popen: subprocess.Popen[bytes], terminal_fd: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner: ProcessOwner | None = owner
        self._popen = popen
        self._terminal_fd = terminal_fd
        self.pid = popen.pid
        self.returncode: int | None = None
        self.exited: asyncio.Future[int] = self._loop.create_future()
        if terminal_fd is None:
            assert popen.stdin and popen.stdout and popen.stderr
            self._stdin = _Inlet(self._loop, popen.stdin.fileno(), self._input_flow)
            self._outlets = [
                _Outlet(self._loop, popen.stdout.fileno(), False, self._output, self._output_ended),
                _Outlet(self._loop, popen.stderr.fileno(), True, self._output, self._output_ended),
            ]
        else:
            self._stdin = _Inlet(self._loop, terminal_fd, self._input_flow)
            self._outlets = [_Outlet(self._loop, terminal_fd, False, self._output, self._output_ended)]
        self._watch_exit()

    @classmethod
    def start(
        cls,
        owner: ProcessOwner,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        terminal: ssh_terminal.Terminal | None = None,
    ) -> SessionProcess:
        argv = open_files.with_usual_limit(argv)
        if terminal is None:
            pipe = subprocess.PIPE
            popen = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
            )
            return cls(owner, popen, None)
        master, slave = ssh_terminal.open_pair(terminal)
        try:
            name = os.ttyname(slave)
            popen = subprocess.Popen(
                ssh_terminal.controlling(name, argv),
                env={**env, "SSH_TTY": name},
                cwd=cwd,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(owner, popen, master)

    @property
    def has_terminal(self) -> bool:
        return self._terminal_fd is not None

    def write(self, data: bytes) -> None:
        self._stdin.write(data)

    def write_eof(self) -> None:
        """End the input: closes a pipe; a terminal in line mode gets its end-of-file character."""
        if self._terminal_fd is None:
            self._stdin.end(self._close_stdin)
        else:
            self._stdin.write(ssh_terminal.end_of_file(self._terminal_fd))

    def pause_output(self) -> None:
        for outlet in self._outlets:
            outlet.pause()

    def resume_output(self) -> None:
        for outlet in list(self._outlets):  # one may end while another is resumed
            outlet.resume()

    def resize(self, columns: int, rows: int, width: int, height: int) -> None:
        if self._terminal_fd is not None:
            ssh_terminal.set_size(self._terminal_fd, columns, rows, width, height)

    def send_signal(self, number: int) -> None:
        """Signal the process group of the session; on a terminal, the group in the foreground."""
        group = self.pid if self.returncode is None else 0
        if self._terminal_fd is not None:
            try:
                group = os.tcgetpgrp(self._terminal_fd)
            except OSError:  # the shell is gone
                group = 0
        if group > 0:
            _signal_group(group, number)

    def hang_up(self) -> None:
        """The client has gone: close the streams and send SIGHUP, as a terminal line does.

        What the user put in the background of a session that had ended before, or started with nohup, goes on.
        """
        if self._owner is None:
            return
        self._release()
        if self.returncode is None:
            _signal_group(self.pid, signal.SIGHUP)
            _signal_group(self.pid, signal.SIGCONT)  # as the kernel does: who is stopped would not end

    def _watch_exit(self) -> None:
        try:
            pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            self._poll_exit()
            return
        self._loop.add_reader(pidfd, self._reap, pidfd)

    def _poll_exit(self) -> None:
        if self._popen.poll() is None:
            self._loop.call_later(EXIT_POLL_SECONDS, self._poll_exit)
        else:
            self._reap(None)

    def _reap(self, pidfd: int | None) -> None:
        if self._popen.poll() is None:
            return
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self.returncode = self._popen.returncode
        self.exited.set_result(self.returncode)
        if self._terminal_fd is not None and self._outlets:
            self._loop.call_later(TERMINAL_DRAIN_SECONDS, self._drain_terminal)
        self._finish_if_done()

    def _drain_terminal(self) -> None:
        if any(outlet.recently_active() for outlet in self._outlets):
            self._loop.call_later(TERMINAL_DRAIN_SECONDS, self._drain_terminal)
            return
        for outlet in list(self._outlets):
            self._output_ended(outlet)

    def _output(self, data: bytes, is_stderr: bool) -> None:
        if self._owner is not None:
            self._owner.output_received(data, is_stderr)

    def _output_ended(self, outlet: _Outlet) -> None:
        if outlet in self._outlets:
            self._outlets.remove(outlet)
            outlet.close()
            self._finish_if_done()

    def _input_flow(self, full: bool) -> None:
        if self._owner is not None:
            if full:
                self._owner.input_full()
            else:
                self._owner.input_ready()

    def _finish_if_done(self) -> None:
        """Report the end once the process has ended and its output is read.

        A background process that keeps a pipe open keeps the session open, as with sshd; not so a terminal.
        """
        owner = self._owner
        if owner is not None and self.returncode is not None and not self._outlets:
            self._release()
            owner.process_finished(self.returncode)

    def _close_stdin(self) -> None:
        if self._popen.stdin:
            self._popen.stdin.close()

    def _release(self) -> None:
        """Close all streams; nothing is reported to the owner any more."""
        self._owner = None
        self._stdin.close()
        for outlet in self._outlets:
            outlet.close()
        self._outlets.clear()
        if self._terminal_fd is not None:
            os.close(self._terminal_fd)
            self._terminal_fd = None
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream:
                stream.close()


class _Outlet:
    """Reads a stream of the process whenever there is something and the reader is not paused."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        is_stderr: bool,
        on_data: Callable[[bytes, bool], None],
        on_end: Callable[[_Outlet], None],
    ) -> None:
        self._loop, self._fd, self._is_stderr = loop, fd, is_stderr
        self._on_data, self._on_end = on_data, on_end
        self._closed = self._paused = self._active = False
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._readable)

    def pause(self) -> None:
        if not self._closed and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        if not self._closed and self._paused:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable)

    def recently_active(self) -> bool:
        """True when something was read since the last question, or nobody is reading."""
        active, self._active = self._active, False
        return active or self._paused

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process has closed the terminal
            data = b""
        if data:
            self._active = True
            self._on_data(data, self._is_stderr)
        else:
            self._on_end(self)


class _Inlet:
    """Writes to the process what it takes, keeps the rest, and says when that grows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, on_flow: Callable[[bool], None]) -> None:
        self._loop, self._fd, self._on_flow = loop, fd, on_flow
        self._buffer = bytearray()
        self._full = self._closed = False
        self._on_drained: Callable[[], None] | None = None
        os.set_blocking(fd, False)

    def write(self, data: bytes) -> None:
        if self._closed or not data:
            return
        waiting = bool(self._buffer)
        self._buffer += data
        if not waiting:
            self._flush()
            if self._buffer and not self._closed:
                self._loop.add_writer(self._fd, self._flush)
        if len(self._buffer) > INPUT_HIGH_WATER and not self._full:
            self._full = True
            self._on_flow(True)

    def end(self, on_drained: Callable[[], None]) -> None:
        """Call `on_drained` when everything is written."""
        if self._buffer:
            self._on_drained = on_drained
        elif not self._closed:
            self.close()
            on_drained()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_writer(self._fd)
            self._buffer.clear()

    def _flush(self) -> None:
        try:
            written = os.write(self._fd, self._buffer)
        except BlockingIOError:
            return
        except OSError:  # EPIPE: the process reads no more, so what is still sent to it is dropped
            written = len(self._buffer)
        del self._buffer[:written]
        if self._full and not self._buffer:
            self._full = False
            self._on_flow(False)
        if not self._buffer:
            self._loop.remove_writer(self._fd)
            if self._on_drained:
                self.end(self._on_drained)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # ended meanwhile
        os.killpg(group, number)
