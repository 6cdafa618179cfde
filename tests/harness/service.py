"""The embedded service, driven directly over loopback."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from harness import processes
from harness.sandbox import CHECKOUT

MAIN = CHECKOUT / "azext_batchai" / "service" / "__main__.py"
# Short enough for tests to wait for, long enough not to race with a slow machine.
FAST = {"AZURE_BATCHAI_NODE_IDLE_SECONDS": "2", "AZURE_BATCHAI_KILL_GRACE_SECONDS": "1"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the environment


class Service:
    """The service of one state folder; whoever started it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, *args: str, open_files: int | tuple[int, int] | None = None) -> dict[str, Any]:
        """Start the service as the extension does and return its ready line.

        `open_files`: how many descriptors it may have, at the very most; of two numbers the first is the soft limit.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / "service.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(MAIN), "--home", str(self.home), *args],
                env={**os.environ, **FAST, "AZURE_BATCHAI_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=(lambda: _limit(open_files)) if open_files else None,
            )
        assert process.stdout
        with process.stdout:
            line = process.stdout.readline()
        assert line, f"the service said nothing; its log:\n{self.log()}"
        return json.loads(line)

    @property
    def info(self) -> dict[str, Any]:
        """The contents of service.json; {} where there is none."""
        try:
            return json.loads((self.home / "service.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def log(self) -> str:
        try:
            return (self.home / "service.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def request(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any, Any]:
        """Send one request with the service's token; return status, headers and the decoded JSON body (or None)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.info["endpoint"] + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {token or self.info['token']}")
        request.add_header("Content-Type", "application/json; charset=utf-8")
        try:
            with _DIRECT.open(request, timeout=30) as response:
                status, headers, text = response.status, response.headers, response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                status, headers, text = exc.code, exc.headers, exc.read()
        return status, headers, json.loads(text) if text else None

    def kill(self) -> None:
        """kill -9 of the service process only."""
        pid = self.info["pid"]
        os.kill(pid, signal.SIGKILL)
        processes.wait_until(lambda: not processes.alive(pid), "the service is dead")

    def leftovers(self, seconds: float = 30) -> dict[int, str]:
        """The processes of this home that are still there after at most `seconds`."""
        with contextlib.suppress(AssertionError):
            processes.wait_until(lambda: not processes.of_home(self.home), "no process left", seconds)
        return processes.of_home(self.home)

    def destroy(self) -> None:
        """End the service, its nodes and jobs; kill what is left and fail when something was."""
        with contextlib.suppress(OSError, KeyError):
            self.request("POST", "/_local/reset")
        left = self.leftovers()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"left running after a reset: {left}\nservice log:\n{self.log()[-4000:]}"


def _limit(open_files: int | tuple[int, int]) -> None:
    import resource

    limits = open_files if isinstance(open_files, tuple) else (open_files, open_files)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
