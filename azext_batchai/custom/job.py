"""az batchai job ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import end
from azext_batchai.command_line.progress import finish, finish_removal
from azext_batchai.transport.errors import explained

logger = get_logger(__name__)


def create_job(  # pylint: disable=too-many-locals
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    json_file: str,
    cluster: str | None = None,
    nfs: str | None = None,
    nfs_mount_path: str = "nfs",
    azure_file_share: str | None = None,
    afs_mount_path: str = "afs",
    container_name: str | None = None,
    container_mount_path: str = "bfs",
    account_name: str | None = None,
    account_key: str | None = None,
    dry_run: bool = False,
    strict: bool = False,
) -> Any:
    from azure.mgmt.batchai import models

    from azext_batchai.command_line import config_file
    from azext_batchai.storage.mounts import MountFlags, Mounts
    from azext_batchai.transport.arm import locate
    from azext_batchai.transport.existing import refuse_existing

    job = config_file.load(json_file, "JobCreateParameters", strict)
    cluster = cluster or _cluster_of(cmd.cli_ctx, job)
    refuse_existing(client.jobs.get, "job", resource_group_name, workspace_name, experiment_name, job_name)
    existing = client.clusters.get(*locate(cluster, resource_group_name, workspace_name))
    job.cluster = models.ResourceId(id=existing.id)
    if strict or dry_run:
        _refuse_problems(json_file, job, existing if strict else None)
    if dry_run:
        _warn_of_cluster(job, existing)
        return without_secrets(job.serialize())
    flags = MountFlags(
        *(nfs, nfs_mount_path, azure_file_share, afs_mount_path, container_name, container_mount_path),
        *(account_name, account_key),
    )
    mounts = Mounts(cmd.cli_ctx, client, resource_group_name, workspace_name, flags)
    job.mount_volumes = mounts.complete(job.mount_volumes)
    poller = client.jobs.begin_create(resource_group_name, workspace_name, experiment_name, job_name, job)
    return finish(cmd.cli_ctx, poller, f"Submitting job {job_name}")


def show_schema(file_of: str = "job") -> Any:
    from azext_batchai.jobs.checks import schema

    return schema(file_of)


def init_job(
    json_file: str = "job.json",
    toolkit: str = "custom",
    nodes: int = 1,
    processes: int | None = None,
    script: str = "train.py",
) -> Any:
    """Write a first job.json, never over another; returns what it holds."""
    from azext_batchai.command_line.config_file import write_new
    from azext_batchai.jobs.template import job

    made = {"properties": job(toolkit, nodes, processes, script)}
    write_new(json_file, made)
    logger.warning("%s is written: az batchai job create -f %s ... submits it.", json_file, json_file)
    return made


def validate_job(
    cmd: Any,
    json_file: str,
    resource_group_name: str | None = None,
    workspace_name: str | None = None,
    cluster: str | None = None,
) -> Any:
    """Say how the job would run. Raises ValidationError with all that is wrong."""
    from azext_batchai.command_line import config_file

    job = config_file.load(json_file, "JobCreateParameters", strict=True)
    existing = None
    if cluster:
        from azext_batchai.transport.arm import locate

        place = locate(cluster, resource_group_name or "", workspace_name or "")
        if not all(place):
            from azure.cli.core.azclierror import RequiredArgumentMissingError

            raise RequiredArgumentMissingError(
                "It is not said where the cluster is.",
                recommendation="Give --resource-group and --workspace, or the ARM ID of the cluster.",
            )
        existing = clients.batchai(cmd.cli_ctx).clusters.get(*place)
    _refuse_problems(json_file, job, existing)
    return _how_it_runs(job)


def _how_it_runs(job: Any) -> dict[str, Any]:
    from azext_batchai.jobs import plan, ranks
    from azext_batchai.jobs.checks import TOOLKITS

    properties = job.serialize()["properties"]
    [toolkit] = [name for name, key in TOOLKITS.items() if key in properties]
    job.tool_type = toolkit
    return {
        "toolkit": toolkit,
        "nodeCount": job.node_count,
        "stdOutErrPathPrefix": job.std_out_err_path_prefix,
        "settings": properties[TOOLKITS[toolkit]],
        "files": [ranks.file_of(stream, rank) for rank in ranks.ranks(job) for stream in ("stdout", "stderr")],
        "ranks": plan.processes(job, toolkit, properties[TOOLKITS[toolkit]]),
    }


def _refuse_problems(file: str, job: Any, cluster: Any) -> None:
    from azext_batchai.jobs.checks import problems

    found = problems(job.serialize()["properties"], cluster)
    if found:
        from azure.cli.core.azclierror import ValidationError

        name = file if len(file) < 256 and "\n" not in file else "The configuration file"
        raise ValidationError(f"{name}: {' '.join(found)}", recommendation="docs/job.md has all keys of job.json.")


def _warn_of_cluster(job: Any, cluster: Any) -> None:
    from azext_batchai.jobs.checks import problems_of_cluster

    for problem in problems_of_cluster(job.serialize()["properties"], cluster):
        logger.warning("%s", problem)


def without_secrets(value: Any) -> Any:
    """A request body as it may be shown."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {key: without_secrets(item) for key, item in value.items() if key not in ("accountKey", "password")}
    if "secrets" in shown:
        shown["secrets"] = [{key: item[key] for key in item if key != "value"} for item in shown["secrets"]]
    return shown


def list_jobs(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, experiment_name: str, wide: bool = False
) -> Any:
    """The jobs; for a table that somebody sees also why they wait or failed."""
    from azext_batchai import _format
    from azext_batchai.command_line import report
    from azext_batchai.jobs import listing

    jobs = list(client.jobs.list_by_experiment(resource_group_name, workspace_name, experiment_name))
    why_of = listing.reasons(client, jobs) if listing.is_wide(cmd.cli_ctx, wide) else None
    _format.job_list.prepare(why_of, None if wide else report.columns())
    return jobs


def show_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    as_config: bool = False,
) -> Any:
    """The job, or the configuration that makes one like it.

    One that waits says on stderr what for, where asking costs nothing.
    """
    from azext_batchai.jobs.state import queue_reason

    with explained():
        job = client.jobs.get(resource_group_name, workspace_name, experiment_name, job_name)
        if job.execution_state == "queued" and clients.is_local(cmd.cli_ctx):
            reason = queue_reason(client, job)
            if reason:
                logger.warning("Job %s is queued: %s.", job.name, reason)
    if not as_config:
        return job
    from azext_batchai.jobs.again import body_of

    return body_of(job)


def wait_for_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    check_interval_sec: int = 15,
    timeout: int | None = None,
    any_job: bool = False,
) -> Any:
    """Wait until the job has ended, and exit as it did; with 124 when it has not ended in `timeout` seconds.

    With `any_job` until the first of the experiment's jobs has ended, which is returned where it succeeded.
    """
    from azext_batchai.jobs.wait import wait

    if any_job:
        return _wait_for_any(
            cmd,
            client,
            (resource_group_name, workspace_name, experiment_name, job_name),
            int(check_interval_sec),
            timeout,
        )
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    status = wait(cmd.cli_ctx, client, names, int(check_interval_sec), timeout)
    if status:
        end(cmd.cli_ctx, status)
    return None


def _wait_for_any(cmd: Any, client: Any, names: tuple[str, ...], interval: int, timeout: int | None) -> Any:
    from azext_batchai.command_line.spellings import NO_NAME
    from azext_batchai.jobs.wait_many import wait_any

    *place, name = names
    if name != NO_NAME:
        from azure.cli.core.azclierror import MutuallyExclusiveArgumentError

        raise MutuallyExclusiveArgumentError(
            "--any waits for the first of all jobs of the experiment.", recommendation="Leave --name out."
        )
    job, status = wait_any(cmd.cli_ctx, lambda: list(client.jobs.list_by_experiment(*place)), interval, timeout)
    if status:
        end(cmd.cli_ctx, status)
    return job


def show_logs(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    rank: list[str] | None = None,
    stderr: bool = False,
    tail: int | None = None,
    follow: bool = False,
    timestamps: bool = False,
    since: Any = None,
) -> None:
    """Write the output of the job's processes, each line with its rank where there are several."""
    from azext_batchai.jobs import logs
    from azext_batchai.jobs.state import describe

    names = (resource_group_name, workspace_name, experiment_name, job_name)
    wanted = logs.Wanted((logs.STDERR if stderr else logs.STDOUT,), rank, tail, timestamps, since=since)
    if not follow:
        logs.show(cmd.cli_ctx, client, names, wanted)
        return
    job = logs.follow(cmd.cli_ctx, client, names, wanted)
    if job.execution_state == "failed":
        logger.warning("%s", describe(job))


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


def _cluster_of(cli_ctx: Any, job: Any) -> str:
    """The cluster that the configuration file names, else the default one. Raises RequiredArgumentMissingError."""
    if job.cluster and job.cluster.id:
        return str(job.cluster.id)
    chosen = cli_ctx.config.get("defaults", "cluster", fallback="")
    if chosen:
        return str(chosen)
    from azure.cli.core.azclierror import RequiredArgumentMissingError

    raise RequiredArgumentMissingError(
        "It is not said on which cluster the job is to run.",
        recommendation='Give --cluster, or "cluster": {"id": ...} in the configuration file.',
    )
