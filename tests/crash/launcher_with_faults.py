"""The launcher with fault points around forks, and in some of its runners around claims and results.

CRASH_LAUNCHER is the point at which the launcher itself dies, CRASH_RUNNERS how likely a runner gets one of its own.
"""

import os
import random
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from faults import Faults  # noqa: E402

faults = Faults(os.environ.get("CRASH_LAUNCHER", ""), os.environ["CRASH_LOG"])
chance = float(os.environ.get("CRASH_RUNNERS") or 0)
fork, link = os.fork, os.link


def fork_with_points() -> int:
    faults.hit("process", "launcher or runner before fork")
    pid = fork()
    if pid == 0:
        random.seed(os.getpid())
        faults.what, faults.left = "*", 0
        faults.around(os, "posix_spawn", "process")
    else:
        faults.hit("process", "launcher or runner after fork")
    return pid


def claim_with_points(source: str, target: str) -> None:
    faults.task = ""
    faults.left = random.randint(1, 8) if random.random() < chance else 0  # anew for each of its tasks
    faults.hit("file", "runner before its claim")
    link(source, target)
    faults.task = target
    faults.hit("file", "runner after its claim")


if __name__ == "__main__":
    os.fork, os.link = fork_with_points, claim_with_points
    for name in ("replace", "unlink", "waitpid"):
        faults.around(os, name, "file")
    runpy.run_path(
        str(HERE.parents[1] / "azext_batchai/service/engine/local/launcher.py"), run_name="__main__"
    )
