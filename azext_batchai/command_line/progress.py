"""What a person at a terminal sees while something takes its time. Nothing of it goes to stdout."""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line.exit_status import ExitStatus

logger = get_logger(__name__)

# How often a waiting spinner turns, in seconds; a wait itself ends the moment its operation does.
_TURN = 0.1
# From how many seconds on it is said how long it takes.
_LONG = 2


class Spinner:
    """One line on stderr that says what is going on; silent off a terminal and under --only-show-errors."""

    def __init__(self, cli_ctx: Any) -> None:
        disabled = cli_ctx.only_show_errors or cli_ctx.config.getboolean("core", "disable_progress_bar", False)
        self.visible = not disabled and bool(sys.stderr and sys.stderr.isatty())
        self._frames = itertools.cycle("|/-\\")
        self._shown = False
        self._begun = time.monotonic()

    def __enter__(self) -> Spinner:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, message: str) -> None:
        if self.visible:
            seconds = int(time.monotonic() - self._begun)
            elapsed = f"  {_clock(seconds)}" if seconds >= _LONG else ""
            width = max(shutil.get_terminal_size().columns - 3 - len(elapsed), 0)
            sys.stderr.write(f"\r\x1b[K{next(self._frames)} {message[:width]}{elapsed}")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Take the line away, so that other output can have its place."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def say(cli_ctx: Any, text: str) -> None:
    """Tell on stderr what is no warning; --only-show-errors turns it off, too."""
    if not cli_ctx.only_show_errors and sys.stderr:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def finish(cli_ctx: Any, poller: Any, message: str) -> Any:
    """Wait for a long-running operation and return its result; Ctrl-C ends az, not the operation.

    azure-cli's own wait looks only every 0.5 s whether the operation has ended; this one ends with it.
    """
    with Spinner(cli_ctx) as spinner:
        try:
            while not poller.done():
                spinner.show(message)
                poller.wait(_TURN)
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("%s: no longer waiting for it; it goes on.", message)
            sys.exit(ExitStatus.INTERRUPTED)
    return poller.result()


def finish_removal(cli_ctx: Any, poller: Any, message: str) -> None:
    """Wait for a deletion; a 404 on the way means that there is nothing left to delete."""
    from azure.core.exceptions import HttpResponseError

    try:
        finish(cli_ctx, poller, message)
    except HttpResponseError as error:
        if error.status_code != 404:
            raise
