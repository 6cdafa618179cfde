"""What Slurm says of our jobs, asked once for everybody, and never while nobody wants to know."""

from __future__ import annotations

import asyncio
import logging

from azext_batchai.service import clock
from azext_batchai.service.engine.slurm import commands
from azext_batchai.service.engine.slurm.commands import SlurmError, Snapshot

log = logging.getLogger(__name__)

SECONDS = 1.0  # between two looks at least, whoever waits: many users share one controller


class SlurmQueue:
    """`trouble` says why there was no answer at the last time, '' where there was one; `latest` is the last answer."""

    def __init__(self) -> None:
        self.trouble = ""
        self.latest: Snapshot = {}
        self._waiting: dict[asyncio.Future[Snapshot | None], float] = {}
        self._asking: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()
        self._last = -SECONDS

    async def after(self, seconds: float) -> Snapshot | None:
        """The queue as it is `seconds` from now, or earlier where somebody else wants to know; None for no answer."""
        future: asyncio.Future[Snapshot | None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = clock.monotonic() + seconds
        self._sooner.set()
        if not self._asking or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        try:
            return await future
        finally:
            self._waiting.pop(future, None)
            self._sooner.set()  # perhaps nobody wants to know any more

    async def certain(self) -> Snapshot:
        """The queue as it is now, awaited for as long as nobody answers."""
        snapshot = await self.after(0)
        while snapshot is None:
            snapshot = await self.after(5.0)
        return snapshot

    def close(self) -> None:
        if self._asking:
            self._asking.cancel()

    async def _ask(self) -> None:
        while self._waiting:
            self._sooner.clear()
            due = max(min(self._waiting.values()), self._last + SECONDS)
            wait = due - clock.monotonic()
            if wait > 0:
                try:
                    await asyncio.wait_for(self._sooner.wait(), wait)
                except asyncio.TimeoutError:
                    pass
                else:
                    continue
            self._last = clock.monotonic()
            asked = list(self._waiting)
            snapshot = None
            try:
                snapshot = self.latest = await commands.queue()
                self.trouble = ""
            except SlurmError as exc:
                if not self.trouble:
                    log.warning("squeue: %s", exc)
                self.trouble = str(exc)
            except OSError as exc:
                self.trouble = exc.strerror or str(exc)
            for future in asked:
                if not future.done():
                    future.set_result(snapshot)
