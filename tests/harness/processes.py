"""Find the processes that belong to a state folder, and wait for things."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def of_home(home: Path) -> dict[int, str]:
    """Live processes that name `home` in their command line, environment or working directory: {pid: command line}."""
    mark = os.fsencode(str(home))
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            cmdline = (entry / "cmdline").read_bytes()
            here = os.readlink(entry / "cwd")
            belongs = mark in cmdline or mark in (entry / "environ").read_bytes() or here.startswith(str(home))
        except OSError:  # ended meanwhile, or another user's
            continue
        if belongs and cmdline:  # a zombie has no command line
            found[int(entry.name)] = cmdline.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def alive(pid: int) -> bool:
    """True while `pid` runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(condition: Callable[[], T], what: str, seconds: float = 20, every: float = 0.05) -> T:
    """Return the first true value of `condition`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what} (last value: {value!r})")
        time.sleep(every)
