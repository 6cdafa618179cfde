"""A run of a job on nodes that Slurm may take away: what counts as the job's end, and what as the node's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from azext_batchai.service.engine.base import JobHandle, JobOutcome, TaskError


class SlurmJob:
    """See `engine.base.JobHandle`.

    `look` asks Slurm whether it is taking one of the nodes; `is_lost` tells whether one is gone. `out_of_time` is the
    error of a job whose nodes were new to it and whose time was over all the same.
    """

    def __init__(
        self,
        inner: JobHandle,
        node_ids: Sequence[str],
        look: Callable[[], Coroutine[Any, Any, None]],
        is_lost: Callable[[], bool],
        out_of_time: Callable[[], TaskError | None],
    ) -> None:
        self.node_ids = tuple(node_ids)
        self._inner = inner
        self._look = look
        self._is_lost = is_lost
        self._out_of_time = out_of_time
        self._stopped = asyncio.Event()
        self.decided = asyncio.Event()  # its outcome does not depend on its nodes any more

    async def run(self, resume: bool) -> JobOutcome:
        try:
            outcome = await self._inner.run(resume)
        except TaskError as exc:
            await self._unless_lost()
            if self._is_lost():
                return self._too_long() or JobOutcome(None, exc)
            raise
        else:
            # Of a node that an adopted run finds lost, an end that is written down was the job's own.
            if outcome.exit_code != 0 and not (resume and self._is_lost()):
                await self._unless_lost()
                return self._too_long() or outcome
            return outcome
        finally:
            self.decided.set()

    async def _unless_lost(self) -> None:
        """Whether a bad end was the job's own: one node's loss ends a gang's processes on the others, too.

        A job that has lost a node is stopped by whoever queues it again; it must not seem to have failed before.
        """
        if not self._stopped.is_set():
            await self._look()
        if self._is_lost() and not self._out_of_time():
            self.decided.set()
            await self._stopped.wait()

    def _too_long(self) -> JobOutcome | None:
        error = self._out_of_time() if self._is_lost() and not self._stopped.is_set() else None
        return JobOutcome(None, error) if error else None

    async def stop(self) -> None:
        self._stopped.set()
        await self._inner.stop()

    async def clean_up(self) -> None:
        await self._inner.clean_up()
