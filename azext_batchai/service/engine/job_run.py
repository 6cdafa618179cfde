"""One run of a job by Batch AI's rules (wire.md 5): preparation, processes, which end counts, what is told of it.

What differs between engines (folders, mounts, containers, how a command is started) is the site's.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from signal import SIGKILL
from typing import Protocol

from azext_batchai.service.engine.base import JobOutcome, JobPlan, NodeFault, Process, TaskError
from azext_batchai.service.engine.task import TaskEnd

log = logging.getLogger(__name__)

_OF_RANK = re.compile(r"stderr-([^{}]+)\.txt")  # the file of one of several processes

Streams = tuple[str, str]


class JobSite(Protocol):
    """A job's places on its nodes. Files of output are named without their folder, nodes by their index."""

    async def open(self, resume: bool) -> None:
        """Make what the job's commands find: folders, mounts, containers. Raises TaskError, OSError."""

    def has_started(self, task: str) -> bool:
        """Whether this task was begun, by this service or an earlier one."""

    async def run_task(
        self,
        task: str,
        node: int,
        command_line: str,
        environment: Mapping[str, str],
        streams: Streams,
        resume: bool,
        process: Process | None = None,
    ) -> TaskEnd:
        """Run a command to its end on a node. Raises TaskError."""

    async def stop(self) -> None:
        """End what runs, and let nothing start any more: TERM, then KILL. Idempotent."""

    async def close(self) -> None:
        """End what holds processes of the job although its tasks have ended (containers)."""

    async def clean_up(self) -> None:
        """Remove the job's folders on its nodes. Raises OSError."""

    def note(self, text: str) -> None:
        """A line of the execution log."""

    def last_lines(self, file: str) -> str:
        """The end of a file of output."""

    def where(self, file: str) -> str:
        """The path of a file of output."""


class JobRun:
    """See `engine.base.JobHandle`."""

    def __init__(self, plan: JobPlan, site: JobSite) -> None:
        self._plan = plan
        self._site = site

    async def run(self, resume: bool) -> JobOutcome:
        # A service that was killed before it had begun with the job has left nothing to take up.
        resume = resume and any(map(self._site.has_started, self._tasks()))
        try:
            outcome = await self._run(resume)
        except Exception as exc:
            if isinstance(exc, TaskError):
                self._site.note(f"failed: {exc.code}: {exc.message} {exc.details}")
            await self._end_all()
            await self._close()
            raise
        # Not in a `finally`: a run that is cancelled because the service stops leaves the job alone.
        await self._close()
        return outcome

    def _tasks(self) -> list[str]:
        return [name for name, _ in self._preparations()] + [_main(n) for n in range(len(self._plan.processes))]

    async def stop(self) -> None:
        await self._site.stop()

    async def clean_up(self) -> None:
        await self._site.clean_up()

    async def _close(self) -> None:
        try:
            await self._site.close()
        except Exception:  # no error of the end may become the job's
            log.exception("job %s: closing failed", self._plan.job_key)

    async def _run(self, resume: bool) -> JobOutcome:
        plan = self._plan
        await self._open(resume)
        if not resume:
            self._site.note(f"job {plan.name} starts, attempt {plan.attempt}, nodes {', '.join(plan.node_ids)}")
            for note in plan.notes:
                self._site.note(note)
        if plan.preparation:
            failed = await self._prepare(plan.preparation, resume)
            if failed:
                return failed
        broken = await self._run_processes(resume)
        if not broken:
            self._site.note(f"the job ended {_describe(TaskEnd(0))}")
            return JobOutcome(0)
        process, end = broken
        self._site.note(f"the job ended {_describe(end)}")
        error = TaskError("JobFailed", "Job failed with non-zero exit code", self._failure(process, end))
        return JobOutcome(end.exit_code, error)

    async def _open(self, resume: bool) -> None:
        """A job that runs already is taken up whatever else fails: nobody else would see to its processes."""
        mains = (_main(index) for index in range(len(self._plan.processes)))
        try:
            try:
                await self._site.open(resume)
            except OSError as exc:
                raise TaskError("JobSetUpFailed", "The job's folders could not be made", {"Info": str(exc)}) from None
        except NodeFault:  # what has lost its folder cannot be awaited
            raise
        except Exception as exc:
            if not resume or not any(map(self._site.has_started, mains)):
                raise
            self._site.note(f"taken up again, although {_reason(exc)}")
            log.warning("job %s is taken up again, although %s", self._plan.job_key, _reason(exc))

    # Preparation

    def _preparations(self) -> list[tuple[str, Streams]]:
        """Name and files of the preparation on each node."""
        ids = self._plan.node_ids
        names = ["job_prep"] if len(ids) == 1 else [f"job_prep-{node_id}" for node_id in ids]
        return [(f"prep-{index}", (f"stdout-{name}.txt", f"stderr-{name}.txt")) for index, name in enumerate(names)]

    async def _prepare(self, command_line: str, resume: bool) -> JobOutcome | None:
        """Run the job preparation on every node; the outcome where it failed."""
        self._site.note("job preparation starts")
        tasks = self._preparations()
        running = [
            asyncio.ensure_future(self._site.run_task(name, index, command_line, {}, streams, resume))
            for index, (name, streams) in enumerate(tasks)
        ]
        try:
            ends = await asyncio.gather(*running)
        except Exception:
            await self._site.stop()
            await asyncio.gather(*running, return_exceptions=True)
            raise
        for end, node_id, (_, (_, stderr)) in zip(ends, self._plan.node_ids, tasks):
            self._site.note(f"job preparation on {node_id} ended {_describe(end)}")
            if end.exit_code != 0:
                details = {
                    "NodeId": node_id,
                    "StdErr": self._site.last_lines(stderr),
                    "Path": self._site.where(stderr),
                }
                error = TaskError(
                    "JobPreparationFailed", "Job preparation task failed with non-zero exit code", details
                )
                return JobOutcome(end.exit_code, error)
        return None

    # Processes

    async def _run_processes(self, resume: bool) -> tuple[Process, TaskEnd] | None:
        """Run all processes; the first that fails ends the others, and it is the one whose end counts."""
        if not resume:
            for process in self._plan.processes:
                self._site.note(f"cmd is {process.command_line}")
        if len(self._plan.processes) == 1:
            return await self._run_process(self._plan.processes[0], resume)
        running: dict[asyncio.Future[TaskEnd], Process] = {}
        for index, process in enumerate(self._plan.processes):
            running[asyncio.ensure_future(self._start(index, process, resume))] = process
        failed: tuple[Process, TaskEnd] | None = None
        try:
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    process, end = running.pop(future), future.result()
                    if not failed and end.exit_code != 0 and not process.serves_others:
                        failed = process, end
                        if running:
                            self._site.note(f"a process ended {_describe(end)}: the others are ended too")
                if running and (failed or all(process.serves_others for process in running.values())):
                    await self._site.stop()
        except Exception:
            await self._site.stop()
            await asyncio.gather(*running, return_exceptions=True)
            raise
        return failed

    async def _run_process(self, process: Process, resume: bool) -> tuple[Process, TaskEnd] | None:
        """What `_run_processes` does where there are no others."""
        try:
            end = await self._start(0, process, resume)
        except Exception:
            await self._site.stop()
            raise
        return (process, end) if end.exit_code != 0 and not process.serves_others else None

    async def _end_all(self) -> None:
        """Leave nothing running of a job that cannot go on, by whichever service it was started."""
        preparations, processes = enumerate(self._preparations()), enumerate(self._plan.processes)
        if not any(map(self._site.has_started, self._tasks())):
            return
        await self._site.stop()
        await asyncio.gather(
            *(self._site.run_task(name, index, "", {}, streams, True) for index, (name, streams) in preparations),
            *(self._start(index, process, True) for index, process in processes),
            return_exceptions=True,
        )

    async def _start(self, index: int, process: Process, resume: bool) -> TaskEnd:
        streams = (process.stdout, process.stderr)
        return await self._site.run_task(
            _main(index), process.node_index, process.command_line, process.environment, streams, resume, process
        )

    def _failure(self, failed: Process, end: TaskEnd) -> dict[str, str]:
        details = {"ExitCode": str(end.exit_code), "NodeId": self._plan.node_ids[failed.node_index]}
        if match := _OF_RANK.fullmatch(failed.stderr):
            details["Rank"] = match[1]
        signal = end.signal or (end.exit_code - 128 if end.exit_code in range(129, 160) else 0)  # as a shell tells it
        if signal:
            details["Signal"] = str(signal)
        if signal == SIGKILL and end.out_of_memory:
            details["Info"] = "a process of this machine was killed for lack of memory while the job ran"
        details["StdErr"] = self._site.last_lines(failed.stderr.replace("{rank}", "0"))
        return {name: value for name, value in details.items() if value}


def _main(index: int) -> str:
    return f"main-{index}"


def _reason(exc: Exception) -> str:
    return f"{exc.message}: {exc.details}" if isinstance(exc, TaskError) else repr(exc)


def _describe(end: TaskEnd) -> str:
    return f"by signal {end.signal}" if end.signal else f"with exit code {end.exit_code}"
