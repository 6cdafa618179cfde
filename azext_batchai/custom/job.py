"""az batchai job ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import sys
import time
from typing import Any, NoReturn

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.progress import Spinner, finish, finish_removal
from azext_batchai.jobs.state import FINISHED, describe, exit_status, queue_reason
from azext_batchai.transport.errors import explained

logger = get_logger(__name__)

# A job may last milliseconds: the first looks come quickly, later ones at the interval asked for. On this machine a
# look costs next to nothing, so they stay quick.
_FIRST_INTERVAL = 0.2
_LOCAL_INTERVAL = 1
_INTERVAL_GROWTH = 1.3
_INTERRUPTED = 130
_TIMED_OUT = 124  # as timeout(1)


def create_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    json_file: str,
    cluster: str,
    nfs: str | None = None,
    nfs_mount_path: str = "nfs",
    azure_file_share: str | None = None,
    afs_mount_path: str = "afs",
    container_name: str | None = None,
    container_mount_path: str = "bfs",
    account_name: str | None = None,
    account_key: str | None = None,
) -> Any:
    from azure.mgmt.batchai import models

    from azext_batchai.command_line import config_file
    from azext_batchai.storage.accounts import Accounts
    from azext_batchai.storage.mounts import Mounts
    from azext_batchai.transport import file_servers
    from azext_batchai.transport.arm import Arm, locate
    from azext_batchai.transport.existing import refuse_existing

    job = config_file.load(json_file, "JobCreateParameters")
    cluster = cluster or _cluster_of(job)
    refuse_existing(client.jobs.get, "job", resource_group_name, workspace_name, experiment_name, job_name)
    existing = client.clusters.get(*locate(cluster, resource_group_name, workspace_name))
    job.cluster = models.ResourceId(id=existing.id)
    accounts = Accounts(Arm(client), resource_group_name, clients.is_local(cmd.cli_ctx))
    mount = Mounts(cmd.cli_ctx, accounts, account_name, account_key)
    mount.complete(job.mount_volumes)
    if nfs:
        file_server = file_servers.find(client, nfs, resource_group_name, workspace_name)
        job.mount_volumes = mount.file_server(job.mount_volumes, file_server.id, nfs_mount_path)
    if azure_file_share:
        job.mount_volumes = mount.share(job.mount_volumes, azure_file_share, afs_mount_path)
    if container_name:
        job.mount_volumes = mount.container(job.mount_volumes, container_name, container_mount_path)
    accounts.provide(job.mount_volumes)
    poller = client.jobs.begin_create(resource_group_name, workspace_name, experiment_name, job_name, job)
    return finish(cmd.cli_ctx, poller, f"Submitting job {job_name}")


def list_jobs(client: Any, resource_group_name: str, workspace_name: str, experiment_name: str) -> Any:
    return list(client.list_by_experiment(resource_group_name, workspace_name, experiment_name))


def show_job(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, experiment_name: str, job_name: str
) -> Any:
    """The job; one that waits says on stderr what for, where asking costs nothing."""
    with explained():
        job = client.jobs.get(resource_group_name, workspace_name, experiment_name, job_name)
        if job.execution_state == "queued" and clients.is_local(cmd.cli_ctx):
            reason = queue_reason(client, job)
            if reason:
                logger.warning("Job %s is queued: %s.", job.name, reason)
        return job


def wait_for_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    check_interval_sec: int = 15,
    timeout: int | None = None,
) -> None:
    """Wait until the job has ended, and exit as it did; with 124 when it has not ended in `timeout` seconds."""
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    with Spinner(cmd.cli_ctx) as spinner:
        try:
            job = _follow(cmd, client, names, _Pace(int(check_interval_sec), timeout), spinner)
        except TimeoutError:
            spinner.clear()
            logger.warning("Job %s has not ended after %s s. It goes on.", job_name, timeout)
            _exit(cmd, _TIMED_OUT)
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("No longer waiting; the job goes on.")
            sys.exit(_INTERRUPTED)
    status = exit_status(job)
    if status:
        logger.warning(
            "What it wrote: az batchai job file list -g %s -w %s -e %s -j %s -o table",
            *(resource_group_name, workspace_name, experiment_name, job_name),
        )
        _exit(cmd, status)


def terminate_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    no_wait: bool = False,
) -> None:
    poller = client.begin_terminate(resource_group_name, workspace_name, experiment_name, job_name, polling=not no_wait)
    finish(cmd.cli_ctx, poller, f"Terminating job {job_name}")


def delete_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    no_wait: bool = False,
) -> None:
    poller = client.begin_delete(resource_group_name, workspace_name, experiment_name, job_name, polling=not no_wait)
    finish_removal(cmd.cli_ctx, poller, f"Deleting job {job_name}")


class _Pace:  # pylint: disable=too-few-public-methods
    """How long to pause between looks at a job: longer each time, up to `interval`, and never past the time-out."""

    def __init__(self, interval: int, timeout: int | None) -> None:
        self.interval = interval
        self._next = _FIRST_INTERVAL
        self._end = None if timeout is None else time.monotonic() + timeout

    def pause(self) -> float:
        """Seconds to pause now. Raises TimeoutError when none are left."""
        seconds = min(self._next, self.interval)
        self._next *= _INTERVAL_GROWTH
        if self._end is None:
            return seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


def _follow(cmd: Any, client: Any, names: tuple[str, ...], pace: _Pace, spinner: Spinner) -> Any:
    """Poll the job, tell its changes on stderr, and return it when it has ended. Raises TimeoutError."""
    local = clients.is_local(cmd.cli_ctx)
    if local:
        pace.interval = min(pace.interval, _LOCAL_INTERVAL)
    # The reason why a job is queued costs a request: it is asked for where somebody looks, or where it is cheap.
    explain = spinner.visible or local
    job = client.jobs.get(*names)
    logger.warning("Job %s was submitted at %s.", job.name, _time(job.creation_time))
    told = ""
    while True:
        state = str(job.execution_state)
        if state in FINISHED:
            spinner.clear()
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
        _sleep(pace.pause(), spinner, f"Job {job.name}: {line}")
        job = _get_again(client, names)


def _cluster_of(job: Any) -> str:
    """The cluster that the configuration file names. Raises RequiredArgumentMissingError."""
    if job.cluster and job.cluster.id:
        return str(job.cluster.id)
    from azure.cli.core.azclierror import RequiredArgumentMissingError

    raise RequiredArgumentMissingError(
        "It is not said on which cluster the job is to run.",
        recommendation='Give --cluster, or "cluster": {"id": ...} in the configuration file.',
    )


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


def _sleep(seconds: float, spinner: Spinner, message: str) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1) if spinner.visible else left)
        spinner.show(message)


def _exit(cmd: Any, status: int) -> NoReturn:
    """End az with this exit status, also where --ids waits for several jobs of which others succeeded."""
    from knack.events import EVENT_INVOKER_FILTER_RESULT

    def fail(*_: Any, **__: Any) -> None:
        sys.exit(status)

    cmd.cli_ctx.register_event(EVENT_INVOKER_FILTER_RESULT, fail)
    sys.exit(status)


def _time(moment: Any) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if moment else "an unknown time"
