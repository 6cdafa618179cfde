"""A service that dies: started with fault points, killed from outside, started again."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from harness.service import FAST, Service

SCRIPT = Path(__file__).with_name("service_with_faults.py")
START_SECONDS = 20.0


class NoAnswer(Exception):
    """The service died before it answered: what was asked for may have been done or not."""


class CrashingService(Service):
    """`up` is set while the service can be asked; `settings` are added to its environment."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        super().__init__(home)
        self.settings = settings
        self.up = threading.Event()
        self.last_words = home.parent / "last_words"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, faults: dict[str, str]) -> bool:
        """Start the service; False where it died (at a fault point) before it was ready."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {**os.environ, **FAST, **self.settings, "AZURE_BATCHAI_HOME": str(self.home)}
        with (self.home / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), "--home", str(self.home)],
                env={**environment, **faults, "CRASH_LOG": str(self.last_words)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.process.stdout
        with self.process.stdout:
            line = self.process.stdout.readline()
        if b'"ready"' not in line:
            self.process.wait()
            assert not line, f"the service does not start: {line!r}"
            return False
        self.up.set()
        return True

    def kill(self) -> None:
        """kill -9 of the service process only."""
        self.up.clear()
        assert self.process
        self.process.kill()
        self.process.wait()

    def died(self, seconds: float) -> bool:
        """Whether the service has died by itself within the time."""
        assert self.process
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.up.clear()
        return True

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        """One request. Raises NoAnswer."""
        try:
            return self.request(method, path, body)
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, ValueError, KeyError) as exc:
            raise NoAnswer(f"{method} {path}: {exc!r}") from None

    # Other processes of the state folder

    def launcher(self) -> int:
        """The launcher's process id, 0 where there is none."""
        return next((pid for pid, name in self._children() if name == "batchai-launch"), 0)

    def _children(self) -> Iterator[tuple[int, str]]:
        assert self.process
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                name, parent = _name_and_parent(int(entry.name))
                if parent == self.process.pid:
                    yield int(entry.name), name

    def claims(self) -> dict[Path, int]:
        """The claims of runners that live, and their process ids."""
        return {claim: pid for claim, pid in self._claims() if _name_and_parent(pid)[0] == claim.suffix[1:]}

    def claims_of(self, pid: int) -> list[Path]:
        """The claims of a runner whose tasks have no end."""
        return [claim for claim, owner in self._claims() if owner == pid and not (claim.parent / "exit.json").exists()]

    def _claims(self) -> Iterator[tuple[Path, int]]:
        for claim in self.home.glob("nodes/*/tasks/*/*/claim.*"):
            try:
                text = claim.read_text()
            except OSError:
                continue
            pid = int(text.partition('"pid": ')[2].partition(",")[0] or 0)
            if pid:
                yield claim, pid


def end(pid: int) -> bool:
    """SIGKILL; False where the process has gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _name_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    name, _, rest = stat.partition(" (")[2].rpartition(")")
    return name, int(rest.split()[1])


def patiently(condition: Any, seconds: float) -> Any:
    """The value of `condition` when it is true, or its last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value
