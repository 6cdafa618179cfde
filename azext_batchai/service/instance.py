"""One service per state folder: the lock, and the file that tells clients where the service is (P10)."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

STATE_FILE = "service.json"
LOCK_FILE = "service.lock"


class Instance:
    """The hold on a state folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock: BinaryIO | None = None
        self._prepared = home / f"{STATE_FILE}.new"

    def acquire(self) -> bool:
        """Take the folder; False when another service has it. The hold ends with the process, however it ends."""
        import fcntl

        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open(self.home / LOCK_FILE, "ab")  # noqa: SIM115  # kept open for as long as the service lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        # Until service.json is there, who holds the folder is known by this alone.
        with contextlib.suppress(OSError):  # a full disk
            lock.truncate(0)
            lock.write(f"{os.getpid()} {process_start_time(os.getpid())}\n".encode())
            lock.flush()
        return True

    def prepare(self, state: dict[str, Any]) -> None:
        """Write what `publish` will show, for the owner's eyes only. Raises OSError: before anything is started."""
        try:
            descriptor = os.open(self._prepared, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(state, file)
        except OSError:
            self._prepared.unlink(missing_ok=True)
            raise

    def publish(self) -> None:
        """Let service.json be there, whole."""
        os.replace(self._prepared, self.home / STATE_FILE)

    def read(self) -> dict[str, Any] | None:
        """What the service in charge has published; None where there is nothing (yet)."""
        try:
            state = json.loads((self.home / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        alive = isinstance(state, dict) and process_start_time(state.get("pid", 0)) == state.get("processStartTime")
        return state if alive else None

    def withdraw(self) -> None:
        (self.home / STATE_FILE).unlink(missing_ok=True)


def process_start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot, field 22 of /proc/PID/stat; '' where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
