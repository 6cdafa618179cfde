"""az batchai local ui: the service's page in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line import report
from azext_batchai.local import embedded

logger = get_logger(__name__)


def show_page(
    cmd: Any, open_browser: bool = False, print_only: bool = False, revoke: bool = False
) -> dict[str, Any] | None:
    """Print an address that lets its first reader in, and on a desktop open it.

    With `revoke` end the sessions there are instead.
    """
    if revoke:
        _refuse(open_browser or print_only, "--revoke ends sessions: it opens and prints nothing.")
        return _revoke(cmd)
    _refuse(open_browser and print_only, "--print only prints the address: --open cannot open it as well.")
    _tell_other_endpoint(cmd)
    running = embedded.ensure(cmd.cli_ctx)
    opens = open_browser or (not print_only and _has_desktop())
    answer = _ask(running, "/_local/ui", {"opener": opens})
    wants_report = report.is_wanted(cmd.cli_ctx)
    if wants_report:
        sys.stdout.write(f"{answer['address']}\n")
        sys.stdout.flush()  # a browser of a terminal stays until its reader has left it
    if opens:
        _open(answer["opener"])
    if os.environ.get("SSH_CONNECTION"):
        port = running.endpoint.rpartition(":")[2]
        logger.warning("From another machine: ssh -L %s:127.0.0.1:%s to this one, then open the address.", port, port)
    return None if wants_report else {"address": answer["address"]}


def _refuse(both: bool, why: str) -> None:
    from azure.cli.core.azclierror import MutuallyExclusiveArgumentError

    if both:
        raise MutuallyExclusiveArgumentError(why, recommendation="Leave one of them out.")


def _revoke(cmd: Any) -> None:
    running = embedded.find(cmd.cli_ctx)
    ended = _ask(running, "/_local/ui/revoke")["ended"] if running else 0
    logger.warning("Sessions that were ended: %s.", ended)


def _ask(running: embedded.Service, path: str, body: Any = None) -> dict[str, Any]:
    try:
        return embedded.request(running, "POST", path, body)
    except embedded.Refusal as refusal:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            f"The service that runs (version {running.version}) has no page: {refusal}",
            recommendation="Run `az batchai local down`, then the command again; running jobs go on meanwhile.",
        ) from refusal


def _tell_other_endpoint(cmd: Any) -> None:
    from azext_batchai._client_factory import endpoint

    target = endpoint(cmd.cli_ctx)
    if target.kind != "local":
        where = "Azure" if target.kind == "arm" else target.url
        logger.warning("Other commands go to %s; the page is that of the service on this machine.", where)


def _has_desktop() -> bool:
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and sys.stdout.isatty()


def _open(file: str) -> None:
    """By way of a private file: every user can read the arguments of a browser."""
    import webbrowser
    from pathlib import Path

    with _stdout_apart():
        opened = webbrowser.open(Path(file).as_uri())
    if not opened:
        logger.warning("No browser was found: open the address yourself.")


@contextmanager
def _stdout_apart() -> Iterator[None]:
    """What a browser says is no part of the result; one that draws in the terminal has it."""
    if sys.stdout.isatty():
        yield
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
