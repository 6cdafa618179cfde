"""How `az batchai` ends: all exit statuses, which the README documents, and ending with one."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from typing import Any, NoReturn

_SIGNALS = 128  # added to the number of a signal, as shells do


class ExitStatus(enum.IntEnum):
    """The first four are azure-cli's own: 2 is its parser's, 3 ResourceNotFoundError's, 1 any other azclierror's."""

    DONE = 0
    FAILED = 1
    WRONG_COMMAND_LINE = 2
    NOT_FOUND = 3
    TIMED_OUT = 124  # as timeout(1)
    INTERRUPTED = _SIGNALS + 2  # SIGINT
    BROKEN_PIPE = _SIGNALS + 13  # SIGPIPE


def of_signal(number: int) -> int:
    """The status of what ended by this signal (of Linux, where jobs and nodes are)."""
    return _SIGNALS + number % _SIGNALS


def of_code(code: int) -> int:
    """The status of what ended with this exit code; a negative one is a signal's."""
    if code < 0:
        return of_signal(-code)
    # Only eight bits reach the caller: 256 must not look like success.
    return code & 0xFF or (ExitStatus.FAILED if code else ExitStatus.DONE)


def end(cli_ctx: Any, status: int) -> NoReturn:
    """End az with this status, also where --ids runs a command several times and others of these succeeded."""
    from knack.events import EVENT_INVOKER_FILTER_RESULT

    def fail(*_: Any, **__: Any) -> None:
        sys.exit(status)

    cli_ctx.register_event(EVENT_INVOKER_FILTER_RESULT, fail)
    sys.exit(status)


def discard_output() -> None:
    """Who read our stdout has gone: keep Python from failing once more when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
