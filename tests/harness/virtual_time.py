"""An event loop whose time jumps to the next timer when nothing is left to do, and the service's clock tied to it.

No test waits: a day passes in no time, and the same test does the same steps in the same order every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from azext_batchai.service import clock
from azext_batchai.service.arm import operations

_MOST_STEPS = 300_000
_EPOCH = 1_600_000_000.0  # what the wall clock says when the loop starts


class _OneByOne(deque[Any]):
    """The loop's queue of what is ready; it shows one entry at a time, so that every callback is a step of its own."""

    def __len__(self) -> int:
        return 1 if super().__len__() else 0

    def __bool__(self) -> bool:
        return super().__len__() > 0


class _NoWaiting(selectors.SelectSelector):
    """Nothing comes from outside: where a loop would sleep, `idle` is called."""

    idle: Callable[[float | None], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.idle(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`steps` counts the callbacks that were run."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._settled: deque[asyncio.Future[None]] = deque()
        self._breaks: dict[int, asyncio.Future[None]] = {}
        self.steps = 0
        selector = _NoWaiting()
        selector.idle = self._idle
        super().__init__(selector)
        self._ready = _OneByOne()
        self._clock_resolution = 1e-6  # a finer one is lost in the digits of a time that is months away

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise RuntimeError("something goes round and round")
        reached = self._breaks.pop(self.steps, None)
        if reached and not reached.done():
            reached.set_result(None)
            self._ready.rotate(1)

    def _idle(self, timeout: float | None) -> None:
        while self._settled and self._settled[0].done():  # its task was cancelled
            self._settled.popleft()
        if self._settled:
            self._settled.popleft().set_result(None)
        elif timeout is None:
            raise RuntimeError("nothing will ever happen any more, and the test still waits")
        else:
            self._now += timeout

    async def settle(self) -> None:
        """Wait until nothing more happens without time going by."""
        waiter = self.create_future()
        self._settled.append(waiter)
        await waiter

    def at_step(self, number: int) -> asyncio.Future[None]:
        """Done when that many callbacks have been run; who awaits it is the next to run."""
        self._breaks[number] = self.create_future()
        return self._breaks[number]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Threads are not simulated: the work is done here, a step later."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as exc:
                future.set_exception(exc)

        self.call_soon(work)
        return future

    def forget_everything(self) -> None:
        """What a killed process leaves of its loop: no timer, and no task but the one that calls this."""
        self._scheduled.clear()  # type: ignore[attr-defined]
        for task in asyncio.all_tasks(self):
            if task is not asyncio.current_task(self):
                task.cancel()


class VirtualClock:
    """The service's clock: what it says is the loop's time, `wall_seconds` apart for the wall clock."""

    def __init__(self, loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = loop
        self.wall_seconds = 0.0
        self.boot = "first boot"
        self._booted = 0.0
        for name in ("monotonic", "epoch", "utc_now", "since_boot", "boot_id"):
            monkeypatch.setattr(clock, name, getattr(self, name))
        monkeypatch.setattr(operations, "utc_now", self.utc_now)

    def monotonic(self) -> float:
        return self._loop.time()

    def epoch(self) -> float:
        return _EPOCH + self.wall_seconds + self._loop.time()

    def utc_now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch(), timezone.utc)

    def since_boot(self) -> float:
        return self._loop.time() - self._booted

    def boot_id(self) -> str:
        return self.boot

    def reboot(self) -> None:
        self.boot = "another boot"
        self._booted = self._loop.time()
