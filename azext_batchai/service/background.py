"""Work that goes on after its request has been answered."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 5.0


class Background:
    """Tasks that somebody holds on to, and whose failures are told in the log."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("%s: a background task failed", self._owner, exc_info=task.exception())


async def until_written(write: Callable[[], Any]) -> Any:
    """Do what writes to the state; again and again where it cannot be written (a full disk, P9)."""
    while True:
        try:
            return write()
        except sqlite3.Error as exc:
            log.error("state cannot be written: %s; trying again in %s s", exc, STORE_RETRY_SECONDS)
            await asyncio.sleep(STORE_RETRY_SECONDS)
