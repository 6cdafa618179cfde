"""Fault points: a process that kills itself before or after the n-th thing it does to the disk or to processes.

Nothing of this is in the package: the service and its launcher are started through scripts of this folder, which put
the points around what they call. Standard library only, and little of it: the launcher imports this.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

# What is done to the disk and must not be half done.
FILE_CALLS = ("rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir")


class Faults:
    """`at` is WHAT:N, the n-th point of a kind (commit, file, process, or * for any), around a call (rename) or on one
    side of it (before rename); '' for none.

    The last words of who dies are appended to the file `log`.
    """

    def __init__(self, at: str, log: str) -> None:
        self.what, _, number = at.partition(":")
        self.left = int(number or 0)
        self.log = log
        self.task = ""  # what a runner has claimed

    def hit(self, kind: str, what: str) -> None:
        if self.left <= 0 or self.what not in ("*", kind, what, what.rpartition(" ")[2]):
            return
        self.left -= 1
        if self.left == 0:
            log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(log, f"{what} {self.task}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, kind: str) -> None:
        """Put a point before and one after each call of `owner.name`."""
        setattr(owner, name, self.wrapped(getattr(owner, name), name, kind))

    def wrapped(self, call: Callable[..., Any], name: str, kind: str) -> Callable[..., Any]:
        def with_points(*arguments: Any, **options: Any) -> Any:
            self.hit(kind, f"before {name}")
            result = call(*arguments, **options)
            self.hit(kind, f"after {name}")
            return result

        return with_points
