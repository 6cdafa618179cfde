"""This machine as a host of tasks, for the time of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from azext_batchai.service.engine.local.host import LocalHost

T = TypeVar("T")


def with_host(work: Callable[[LocalHost], Awaitable[T]]) -> T:
    """What `work` returns, which has 30 seconds for it."""

    async def main() -> T:
        host = LocalHost()
        try:
            return await asyncio.wait_for(work(host), 30)
        finally:
            await host.close()

    return asyncio.run(main())
