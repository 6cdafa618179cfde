"""Waiting until a job has ended, with its changes told on stderr."""

from __future__ import annotations

import time
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.command_line.progress import Spinner, say
from azext_batchai.jobs.state import FINISHED, describe, exit_status, queue_reason

logger = get_logger(__name__)

# A job may last milliseconds: the first looks come quickly, later ones at the interval asked for. On this machine a
# look costs next to nothing, so they stay quick.
_FIRST_INTERVAL = 0.2
_LOCAL_INTERVAL = 1
_INTERVAL_GROWTH = 1.3


def wait(cli_ctx: Any, client: Any, names: tuple[str, ...], interval: int, timeout: int | None) -> int:
    """Wait until the job has ended; returns the exit status to end with.

    `names`: of resource group, workspace, experiment and job; `interval`: most seconds between two looks; `timeout`:
    most seconds to wait, None for ever. Raises ResourceNotFoundError where the job is deleted meanwhile.
    """
    with Spinner(cli_ctx) as spinner:
        try:
            job = _until_ended(cli_ctx, client, names, Pace(cli_ctx, interval, timeout), spinner)
        except TimeoutError:
            spinner.clear()
            logger.warning("Job %s has not ended after %s s. It goes on.", names[-1], timeout)
            return ExitStatus.TIMED_OUT
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("No longer waiting; the job goes on.")
            return ExitStatus.INTERRUPTED
    status = exit_status(job)
    if status:
        logger.warning("What it wrote: az batchai job file list -g %s -w %s -e %s -j %s -o table", *names)
    return status


class Pace:  # pylint: disable=too-few-public-methods
    """How long to pause between looks at a job: longer each time, up to `interval`, and never past the time-out."""

    def __init__(self, cli_ctx: Any, interval: int, timeout: int | None) -> None:
        self._interval = min(interval, _LOCAL_INTERVAL) if clients.is_local(cli_ctx) else interval
        self._next = _FIRST_INTERVAL
        self._end = None if timeout is None else time.monotonic() + timeout

    def pause(self) -> float:
        """Seconds to pause now. Raises TimeoutError when none are left."""
        seconds = min(self._next, self._interval)
        self._next *= _INTERVAL_GROWTH
        if self._end is None:
            return seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


def _until_ended(cli_ctx: Any, client: Any, names: tuple[str, ...], pace: Pace, spinner: Spinner) -> Any:
    """The job when it has ended. Raises TimeoutError."""
    # The reason why a job is queued costs a request: it is asked for where somebody looks, or where it is cheap.
    explain = spinner.visible or clients.is_local(cli_ctx)
    job = client.jobs.get(*names)
    logger.warning("Job %s was submitted at %s.", job.name, _time(job.creation_time))
    told = ""
    while True:
        state = str(job.execution_state)
        if state in FINISHED:
            spinner.clear()
            if state == "succeeded":
                say(cli_ctx, describe(job))
            else:
                logger.warning("%s", describe(job))
            return job
        if job.provisioning_state == "deleting":
            raise _deleted(names)
        reason = queue_reason(client, job) if explain and state == "queued" else ""
        line = f"{state}: {reason}" if reason else state
        if line != told:
            spinner.clear()
            logger.warning("Job %s is %s", job.name, line)
            told = line
        spinner.show(f"Job {job.name}: {line}")
        sleep(pace.pause(), spinner, f"Job {job.name}: {line}")
        job = _get_again(client, names)


def _get_again(client: Any, names: tuple[str, ...]) -> Any:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return client.jobs.get(*names)
    except ResourceNotFoundError as error:
        raise _deleted(names) from error


def _deleted(names: tuple[str, ...]) -> Exception:
    from azure.cli.core.azclierror import ResourceNotFoundError

    return ResourceNotFoundError(
        f"The job {names[-1]} was deleted while it was waited for: how it ended is not known.",
    )


def sleep(seconds: float, spinner: Spinner, message: str) -> None:
    """Pause for so many seconds, with the message turning on a terminal."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1) if spinner.visible else left)
        spinner.show(message)


def _time(moment: Any) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if moment else "an unknown time"
