"""Waiting for the jobs of an experiment: until all have ended, or the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.command_line.progress import Spinner
from azext_batchai.jobs.state import FINISHED, describe, exit_status
from azext_batchai.jobs.wait import Pace, sleep

logger = get_logger(__name__)
_STATES = ("queued", "running", "terminating", "succeeded", "failed")
_NAMED = 10  # failed jobs that are told one by one

List = Callable[[], Sequence[Any]]


def wait_all(cli_ctx: Any, jobs: List, interval: int, timeout: int | None) -> int:
    """Wait until all jobs (SDK) that `jobs` lists have ended; returns the exit status: 1 where one of them failed."""

    def ended(found: Sequence[Any]) -> bool:
        return all(job.execution_state in FINISHED for job in found)

    found, status = _wait(cli_ctx, jobs, ended, Pace(cli_ctx, interval, timeout))
    if status:
        return status
    failed = [job for job in found if job.execution_state == "failed"]
    for job in failed[:_NAMED]:
        logger.warning("%s", describe(job))
    if len(failed) > _NAMED:
        logger.warning("... and %s more.", len(failed) - _NAMED)
    logger.warning("%s of %s jobs succeeded.", len(found) - len(failed), len(found))
    return ExitStatus.FAILED if failed else ExitStatus.DONE


def wait_any(cli_ctx: Any, jobs: List, interval: int, timeout: int | None) -> tuple[Any, int]:
    """Wait until the first of the jobs that go on now has ended; returns it (SDK) and the exit status, its own.

    None and a status where none has ended in time. Raises ResourceNotFoundError where none goes on.
    """
    waited = {job.name for job in jobs() if job.execution_state not in FINISHED}
    if not waited:
        from azure.cli.core.azclierror import ResourceNotFoundError

        raise ResourceNotFoundError(
            "No job of the experiment is queued or running.",
            recommendation="`az batchai job list` shows how they ended.",
        )

    count = "1 job" if len(waited) == 1 else f"the first of {len(waited)} jobs"
    logger.warning("Waiting for the end of %s ...", count)

    def of_these() -> Sequence[Any]:
        return [job for job in jobs() if job.name in waited]

    def first(found: Sequence[Any]) -> Any:
        ended = [job for job in found if job.execution_state in FINISHED]
        return min(ended, key=lambda job: job.execution_state_transition_time, default=None)

    # Those that are deleted meanwhile are gone: with the last of them the wait is over.
    found, status = _wait(
        cli_ctx, of_these, lambda found: not found or bool(first(found)), Pace(cli_ctx, interval, timeout)
    )
    if status:
        return None, status
    job = first(found)
    if job is None:
        from azure.cli.core.azclierror import ResourceNotFoundError

        raise ResourceNotFoundError("All jobs that were waited for are deleted: how they ended is not known.")
    logger.warning("%s", describe(job))
    return job, exit_status(job)


def _wait(cli_ctx: Any, jobs: List, is_over: Callable[[Sequence[Any]], bool], pace: Pace) -> tuple[Sequence[Any], int]:
    """The jobs when it is over, and 0; else the exit status of a wait that has ended before."""
    found: Sequence[Any] = []
    with Spinner(cli_ctx) as spinner:
        try:
            while not is_over(found := jobs()):
                sleep(pace.pause(), spinner, _counted(found))
        except TimeoutError:
            spinner.clear()
            logger.warning("After the time given these are the jobs: %s. They go on.", _counted(found))
            return found, ExitStatus.TIMED_OUT
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("No longer waiting; the jobs go on: %s.", _counted(found))
            return found, ExitStatus.INTERRUPTED
    return found, ExitStatus.DONE


def _counted(jobs: Sequence[Any]) -> str:
    counts = Counter(str(job.execution_state) for job in jobs)
    return ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state]) or "none"
