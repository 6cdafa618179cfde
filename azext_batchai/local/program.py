"""A program that runs in the local cloud: what was typed behind `--`, and its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

WORDS = "batchai_program"  # where a CLI's data holds the words behind `--`
_PASSED_ON = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def take(cli_ctx: Any, args: list[str]) -> None:
    """Take the words behind `--` of `az batchai local run` out of the command line: az would read them as its own."""
    if "--" not in args:
        return
    place = args.index("--")
    # By now az has put files in the place of `@FILE`. What was typed is there where az was started as a program.
    typed = sys.argv[1:]
    cli_ctx.data[WORDS] = (typed if typed[:place] == args[:place] and len(typed) == len(args) else args)[place + 1 :]  # noqa: E203
    del args[place:]


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end; returns its exit code. Raises FileOperationError where it cannot be started."""
    before = {}
    try:
        # Ctrl-C reaches the program by itself; who asks for our end means it.
        with subprocess.Popen(words, env=dict(environ)) as process:

            def pass_on(number: int, _: FrameType | None) -> None:
                process.send_signal(number)

            before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
            code = process.wait()
    except OSError as error:
        from azure.cli.core.azclierror import FileOperationError

        raise FileOperationError(
            f"{words[0]} cannot be run: {error.strerror}.",
            recommendation="Give the path of a program that can be executed, or `-- bash script.sh`.",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
