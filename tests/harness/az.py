"""Run az: inside this process (tens of milliseconds a command) or as a process of its own."""

import contextlib
import functools
import importlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Outcome:
    """What one command did: `result` is the Python value it returned (None for az as a process)."""

    code: int
    output: str
    stderr: str
    result: Any = None

    def json(self) -> Any:
        return json.loads(self.output)


def run(*args: str) -> Outcome:
    """Run `az ARGS` inside this process."""
    from azure.cli.core import get_default_cli

    our_help_last()
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with _fresh_logging(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        cli = get_default_cli()
        try:
            code = cli.invoke([str(arg) for arg in args], out_file=out)
        except SystemExit as exc:
            code = exc.code
    if code is None:
        code = 0
    result = cli.result.result if code == 0 and cli.result else None
    return Outcome(code, _text(out), _text(err), result)


@functools.cache
def our_help_last() -> None:
    """Import the help of the built-in module before ours, as every az process does that imports both.

    In a process that runs many commands the built-in module may be loaded later than the extension was, and each sets
    the help of `batchai` when it is imported.
    """
    with contextlib.suppress(ImportError):
        import azure.cli.command_modules.batchai._help  # noqa: F401
    import azext_batchai._help

    importlib.reload(azext_batchai._help)


def run_process(*args: str, timeout: float = 120, env: dict[str, str] | None = None, **popen: Any) -> Outcome:
    """Run `az ARGS` as a process; `env` is added to the environment."""
    done = subprocess.run(
        command(*args),
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **popen,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def start_process(*args: str, env: dict[str, str] | None = None, **popen: Any) -> "subprocess.Popen[str]":
    """Start `az ARGS` as a process with piped stdout and stderr, and return at once."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*args), env={**os.environ, **(env or {})}, text=True, **{**streams, **popen})


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "azure.cli", *(str(arg) for arg in args)]


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


@contextlib.contextmanager
def _fresh_logging() -> Iterator[None]:
    """Let az configure its console logging anew: it does so once, and never where root has a handler (pytest's)."""
    from azure.cli.core import get_default_cli  # noqa: F401  (adds to cli_logger_names)
    from knack.log import cli_logger_names

    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in set(cli_logger_names))]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers = []
    try:
        yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
