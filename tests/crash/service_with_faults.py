"""The service with fault points around commits, renames, links and process starts: run as its __main__.py is.

CRASH_AT says at which point it dies, CRASH_RUNNERS how likely a runner does (both may be empty), CRASH_LOG is the file
of last words; CRASH_DESCRIPTORS is how many files it may have open in its first seconds.
"""

import asyncio
import functools
import os
import resource
import runpy
import shutil  # noqa: F401  # looks at the functions of `os` when it is imported: before they change
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
DESCRIPTORS_SECONDS = 2.0
sys.path.insert(0, str(HERE))

from faults import FILE_CALLS, Faults  # noqa: E402

faults = Faults(os.environ.get("CRASH_AT", ""), os.environ["CRASH_LOG"])


class Connection(sqlite3.Connection):
    def execute(self, sql, *arguments):
        if sql != "COMMIT":
            return super().execute(sql, *arguments)
        return faults.wrapped(super().execute, "COMMIT", "commit")(sql)


def install() -> None:
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)
    for name in FILE_CALLS:
        faults.around(os, name, "file")
    for owner, name in ((os, "kill"), (signal, "pidfd_send_signal"), (subprocess, "run")):
        faults.around(owner, name, "process")
    start = asyncio.create_subprocess_exec

    async def start_with_points(*words, **options):
        program = os.path.basename(words[0])
        faults.hit("process", f"before the start of {program}")
        if any(str(word).endswith("/launcher.py") for word in words):
            mine = str(HERE / "launcher_with_faults.py")
            words = [mine if str(word).endswith("/launcher.py") else word for word in words]
            options["env"] = {**options["env"], **{name: os.environ[name] for name in os.environ if "CRASH" in name}}
        process = await start(*words, **options)
        faults.hit("process", f"after the start of {program}")
        return process

    asyncio.create_subprocess_exec = start_with_points


def install_in_host() -> None:
    """Its module is imported by the service only when it has set the place to import from."""
    sys.path.insert(0, str(CHECKOUT))
    from azext_batchai.service.engine.local.host import LocalHost

    sys.path.pop(0)
    start = LocalHost.start

    async def start_with_points(self, request):
        faults.hit("process", "before a start")
        handle = await start(self, request)
        faults.hit("process", "after a start")
        return handle

    LocalHost.start = start_with_points


if __name__ == "__main__":
    descriptors = int(os.environ.get("CRASH_DESCRIPTORS", "0"))
    if descriptors:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, limits[1]))
        threading.Timer(DESCRIPTORS_SECONDS, resource.setrlimit, (resource.RLIMIT_NOFILE, limits)).start()
        resource.setrlimit = lambda *_: None  # the service would like more
    install()
    install_in_host()
    runpy.run_path(str(CHECKOUT / "azext_batchai/service/__main__.py"), run_name="__main__")
