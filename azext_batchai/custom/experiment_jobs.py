"""az batchai experiment wait, terminate, resubmit: all jobs of an experiment at once."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from typing import Any

from knack.log import get_logger

from azext_batchai.command_line.exit_status import end

logger = get_logger(__name__)


def wait_for_experiment(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    check_interval_sec: int = 15,
    timeout: int | None = None,
) -> None:
    """Wait until all jobs have ended; exit with 1 where one failed, with 124 where they have not ended in time."""
    from azext_batchai.jobs.wait_many import wait_all

    place = (resource_group_name, workspace_name, experiment_name)
    status = wait_all(
        cmd.cli_ctx, lambda: list(client.jobs.list_by_experiment(*place)), int(check_interval_sec), timeout
    )
    if status:
        end(cmd.cli_ctx, status)


def terminate_experiment(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, experiment_name: str, no_wait: bool = False
) -> None:
    """End all queued and running jobs."""
    import contextlib

    from azure.core.exceptions import ResourceNotFoundError

    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs.state import FINISHED

    place = (resource_group_name, workspace_name, experiment_name)
    going = [job for job in client.jobs.list_by_experiment(*place) if job.execution_state not in FINISHED]
    # Those that wait go first: none of them is to start when one that runs has ended.
    going.sort(key=lambda job: job.execution_state != "queued")
    pollers = []
    with Spinner(cmd.cli_ctx) as spinner:
        for number, job in enumerate(going):
            spinner.show(f"Terminating job {job.name} ({number + 1} of {len(going)})")
            waits = not no_wait and job.execution_state != "queued"
            with contextlib.suppress(ResourceNotFoundError):  # deleted meanwhile
                pollers.append(client.jobs.begin_terminate(*place, job.name, polling=waits))
        for number, poller in enumerate(pollers):
            spinner.show(f"Waiting for the end of the jobs ({number + 1} of {len(pollers)})")
            with contextlib.suppress(ResourceNotFoundError):  # deleted meanwhile
                poller.result()
    logger.warning("%s jobs are %s.", len(going), "ending" if no_wait else "ended")


def resubmit_experiment(  # pylint: disable=too-many-locals
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    failed: bool = False,
    secret: list[str] | None = None,
) -> Any:
    """Submit the jobs once more that have ended (`failed`: only those that failed), but none whose new attempt goes on.

    Raises RequiredArgumentMissingError for secrets that are not given.
    """
    from azext_batchai.command_line import config_file
    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs import again, run, sweep
    from azext_batchai.jobs.state import FINISHED
    from azext_batchai.storage.mounts import MountFlags, Mounts

    place = (resource_group_name, workspace_name, experiment_name)
    last = again.last_attempts(list(client.jobs.list_by_experiment(*place)))
    wanted = ("failed",) if failed else FINISHED
    chosen = {name: job for name, job in last.items() if job.execution_state in wanted}
    given = [run.secret_variable(text) for text in secret or []]
    mounts = Mounts(cmd.cli_ctx, client, *place[:2], MountFlags(None, "", None, "", None, "", None, None))
    bodies, old = {}, {}
    for name, job in chosen.items():
        there = {entry.name for entry in job.secrets or []}
        body = again.with_secrets(again.body_of(job), [entry for entry in given if entry["name"] in there])
        made, _ = config_file.to_model(job.name, body, "JobCreateParameters")
        made.mount_volumes = mounts.complete(made.mount_volumes)
        new_name = again.name_again(name, job.name)
        bodies[new_name], old[new_name] = made, job.name
    with Spinner(cmd.cli_ctx) as spinner:
        sweep.submit(client, place, bodies, spinner)
    logger.warning("%s jobs are submitted once more.", len(bodies))
    return [{"name": name, "resubmitted": old[name]} for name in bodies]
