"""Waiting for the disk without holding anybody up: one wait for all who have written meanwhile."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

# What has just been written sets something going, a job for one: that goes first. More share a wait then, too.
_TURNS = 3


class WalSync:
    """What was committed with synchronous=NORMAL is in the WAL, and on the disk once that is.

    `committed` and `synced` count such commits. SQLite itself sees to the WAL before it moves anything out of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-wal")
        self._lock = asyncio.Lock()
        self.committed = 0
        self.synced = 0

    async def reached(self) -> None:
        """Return when all that has been committed by now is on the disk. Raises OSError."""
        wanted = self.committed
        async with self._lock:
            if self.synced < wanted:  # else somebody else's wait was long enough
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                reached = self.committed
                await asyncio.get_running_loop().run_in_executor(None, _sync, self._path)
                self.synced = max(self.synced, reached)


def _sync(path: Path) -> None:
    # A file of its own, for SQLite may begin another WAL: closing it takes no lock away, as SQLite locks others.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(file)
    finally:
        os.close(file)
