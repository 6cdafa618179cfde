"""az batchai local top: the service at a glance, in a terminal."""

from __future__ import annotations

import sys
from typing import Any

from azext_batchai.command_line import report
from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.local import embedded

_PIPE_COLUMNS = 100  # of what is no terminal


def show_overview(cmd: Any, once: bool = False, interval: int = 1) -> dict[str, Any] | None:
    """Clusters, jobs and what needs attention: on the whole terminal until q is pressed, or printed once.

    Once where it is asked for, and where there is no terminal. With --output or --query it is returned instead.
    """
    if not report.is_wanted(cmd.cli_ctx):
        return _look(cmd)
    if not once and sys.stdout.isatty():
        screen = _screen()
        if screen.can_show():
            _watch(cmd, screen, interval)
            return None
    _print(_look(cmd), report.is_coloured(cmd.cli_ctx))
    return None


def _screen() -> Any:
    try:
        from azext_batchai.local import top_screen
    except ImportError:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            "This Python cannot draw on a whole terminal: it has no curses (on Windows it never has).",
            recommendation="Print it once with `az batchai local top --once`.",
        ) from None
    return top_screen


def _watch(cmd: Any, screen: Any, interval: int) -> None:
    import os

    coloured = bool(cmd.cli_ctx.enable_color) and not os.environ.get("NO_COLOR")
    try:
        screen.show(lambda: _look(cmd), _explain, interval, coloured)
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)


def _look(cmd: Any) -> dict[str, Any]:
    running = embedded.find(cmd.cli_ctx)
    if not running:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            "The local Batch AI service is not running.", recommendation="Start it with `az batchai local up`."
        )
    return embedded.request(running, "GET", "/_local/overview")


def _explain(error: Exception) -> str:
    """What is wrong and what to type, in one line."""
    return " ".join((str(error), *getattr(error, "recommendations", ())))


def _print(overview: dict[str, Any], coloured: bool) -> None:
    from azext_batchai.local import top

    width = report.columns() or _PIPE_COLUMNS
    for line in (top.fit(top.headline(overview), width), [], *top.lines(overview, width)):
        text = top.coloured(line) if coloured else top.plain(line)
        sys.stdout.write(f"{report.encodable(text)}\n")
