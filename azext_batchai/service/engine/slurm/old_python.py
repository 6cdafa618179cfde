"""What agents use and Python 3.6 and 3.7 do not have, put where newer ones have it. Standard library only."""

from __future__ import annotations

import os
import signal
from typing import Any

_set_wakeup_fd = signal.set_wakeup_fd


def _without_warnings(descriptor: int, warn_on_full_buffer: bool = True) -> int:
    return _set_wakeup_fd(descriptor)


def _valid_signals() -> set[int]:
    kept_by_libc = {32, 33}
    return set(range(1, signal.NSIG)) - kept_by_libc


def _posix_spawn(
    path: str,
    argv: list[str],
    environment: dict[str, str],
    file_actions: Any = (),
    setsid: bool = False,
    setsigmask: Any = (),
    setsigdef: Any = (),
) -> int:
    """As `os.posix_spawn`, for files that are duplicated only: a fork whose exec tells by a pipe how it went."""
    failure_in, failure_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if setsid:
                os.setsid()
            signal.set_wakeup_fd(-1)
            for number in setsigdef:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, setsigmask)
            for _, opened, descriptor in file_actions:
                os.dup2(opened, descriptor)
            os.execve(path, argv, environment)
        except OSError as exc:
            os.write(failure_out, str(exc.errno).encode())
        finally:
            os._exit(127)
    os.close(failure_out)
    with os.fdopen(failure_in, "rb") as pipe:
        failed = pipe.read()  # empty: the exec has closed it
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)), path)
    return pid


def provide() -> None:
    """For the programs that are imported after this."""
    old: Any = os
    if not hasattr(old, "posix_spawn"):
        signals: Any = signal
        signals.set_wakeup_fd, signals.valid_signals = _without_warnings, _valid_signals
        old.posix_spawn, old.POSIX_SPAWN_DUP2 = _posix_spawn, 2
