"""az batchai job run, resubmit"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

# pylint: disable=consider-using-f-string,too-many-locals
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import end

logger = get_logger(__name__)
SOURCE = "SOURCE"  # the input directory with the copy of --source


def run_job(  # pylint: disable=too-many-locals
    cmd: Any,
    words: list[str] | None = None,
    resource_group_name: str = "batchai",
    workspace_name: str = "default",
    experiment_name: str = "default",
    cluster: str = "default",
    job_name: str | None = None,
    json_file: str | None = None,
    nodes: int | None = None,
    processes: int | None = None,
    toolkit: str | None = None,
    image: str | None = None,
    env: list[str] | None = None,
    secret: list[str] | None = None,
    source: str | None = None,
    download: str | None = None,
    detach: bool = False,
    timeout: int | None = None,
    dry_run: bool = False,
) -> Any:
    """Create a job, follow all its ranks and end as it does."""
    from azext_batchai.jobs import logs, run
    from azext_batchai.jobs.state import describe, exit_status

    is_local = clients.is_local(cmd.cli_ctx)
    if detach and download:
        _refuse_download()
    request = run.Request(
        *(words or (), nodes, processes, toolkit, image, env or (), secret or ()),
        working_folder(is_local, image, source),
        bool(download),
    )
    job = job_of(request, json_file)
    job_name = job_name or run.new_name()
    if dry_run:
        from azext_batchai.custom.job import without_secrets
        from azext_batchai.jobs.template import OUTPUT

        place_results(job, OUTPUT)
        return without_secrets(job.serialize())
    client = clients.batchai(cmd.cli_ctx)
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    _submit(cmd, client, run.Places(*names[:3], cluster), job, job_name, is_local, source)
    of_job = "-g {} -w {} -e {} -n {}".format(*names)
    if detach:
        logger.warning("Job %s is submitted. Follow it with: az batchai job logs %s --follow", job_name, of_job)
        return client.jobs.get(*names)
    wanted = logs.Wanted((logs.STDOUT, logs.STDERR), or_else_fail=False)
    again = f"The job goes on. Follow it again with: az batchai job logs {of_job} --follow"
    ended = logs.follow(cmd.cli_ctx, client, names, wanted, timeout, again)
    status = exit_status(ended)
    if ended.execution_state == "failed":
        logger.warning("%s", describe(ended))
    if download:
        from azext_batchai.custom.job_transfer import download_all

        download_all(cmd, client, names, ended, download)
    if status:
        end(cmd.cli_ctx, status)
    return None


def resubmit_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    new_name: str | None = None,
    cluster: str | None = None,
    settings: list[str] | None = None,
    secret: list[str] | None = None,
) -> Any:
    """Submit a job once more, changed or as it was."""
    from azext_batchai.command_line import config_file
    from azext_batchai.command_line.progress import finish
    from azext_batchai.jobs import again, run
    from azext_batchai.storage.mounts import MountFlags, Mounts
    from azext_batchai.transport.arm import locate
    from azext_batchai.transport.existing import refuse_existing

    place = (resource_group_name, workspace_name, experiment_name)
    old = client.jobs.get(*place, job_name)
    body = again.changed(again.body_of(old), settings or [])
    body = again.with_secrets(body, [run.secret_variable(text) for text in secret or []])
    job, unknown = config_file.to_model("--set", body, "JobCreateParameters")
    if unknown:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(" ".join(unknown), recommendation="docs/job.md has all keys.")
    if cluster:
        job.cluster.id = client.clusters.get(*locate(cluster, resource_group_name, workspace_name)).id
    if new_name:
        refuse_existing(client.jobs.get, "job", *place, new_name)
    else:
        new_name = again.next_name(job_name, lambda name: run.find(lambda: client.jobs.get(*place, name)))
    flags = MountFlags(None, "", None, "", None, "", None, None)
    job.mount_volumes = Mounts(cmd.cli_ctx, client, *place[:2], flags).complete(job.mount_volumes)
    poller = client.jobs.begin_create(*place, new_name, job)
    return finish(cmd.cli_ctx, poller, f"Submitting job {new_name}")


def job_of(request: Any, json_file: str | None, verb: str = "run") -> Any:
    """The SDK model of what is to run. Raises MutuallyExclusiveArgumentError, RequiredArgumentMissingError."""
    from azext_batchai.command_line import config_file
    from azext_batchai.jobs import run

    if bool(request.words) == bool(json_file):
        from azure.cli.core.azclierror import MutuallyExclusiveArgumentError, RequiredArgumentMissingError

        kind = MutuallyExclusiveArgumentError if json_file else RequiredArgumentMissingError
        raise kind(
            "A job is either a command line or a configuration file.",
            recommendation=f"Write `az batchai job {verb} -- python train.py`, or `az batchai job {verb} -f job.json`.",
        )
    if json_file:
        _refuse_beside_file(request)
        return config_file.load(json_file, "JobCreateParameters")
    job, _ = config_file.to_model("The job", {"properties": run.properties(request)}, "JobCreateParameters")
    return job


def _refuse_beside_file(request: Any) -> None:
    given = {
        "--nodes": request.nodes,
        "--processes": request.processes,
        "--toolkit": request.toolkit,
        "--image": request.image,
        "--env": request.environment,
        "--secret": request.secrets,
    }
    beside = [option for option, value in given.items() if value]
    if beside:
        from azure.cli.core.azclierror import MutuallyExclusiveArgumentError

        raise MutuallyExclusiveArgumentError(
            f"{', '.join(beside)} and --config-file exclude each other.", recommendation="Say it in the file."
        )


def _refuse_download() -> None:
    from azure.cli.core.azclierror import MutuallyExclusiveArgumentError

    raise MutuallyExclusiveArgumentError(
        "--detach does not wait for what --download is to copy.",
        recommendation="Leave one out; `az batchai job file download` copies it later.",
    )


def _submit(cmd: Any, client: Any, places: Any, job: Any, job_name: str, is_local: bool, source: str | None) -> None:
    from azext_batchai.command_line.progress import finish
    from azext_batchai.transport.existing import refuse_existing

    in_experiment = (places.group, places.workspace, places.experiment)
    cluster = provide_cluster(cmd, client, places, is_local)
    refuse_existing(client.jobs.get, "job", *in_experiment, job_name)
    complete(cmd, client, places, job, cluster, source)
    poller = client.jobs.begin_create(*in_experiment, job_name, job)
    finish(cmd.cli_ctx, poller, f"Submitting job {job_name}")


def provide_cluster(cmd: Any, client: Any, places: Any, is_local: bool) -> Any:
    """The cluster (SDK) that jobs are to run on; it, its workspace and the experiment are made where they may be."""
    from azext_batchai.custom.cluster import create_cluster
    from azext_batchai.jobs import run

    def make_cluster() -> Any:
        scale = {"min_nodes": 0, "max_nodes": run.MOST_NODES}
        names = (places.group, places.workspace, places.cluster)
        return create_cluster(cmd, client, *names, vm_size=run.VM_SIZE, use_auto_storage=True, **scale)

    return run.provide(client, places, is_local, make_cluster)


def complete(cmd: Any, client: Any, places: Any, job: Any, cluster: Any, source: str | None = None) -> None:
    """Say in the job (SDK JobCreateParameters) where it runs, where its output goes, and the keys of its mounts.

    `source` is a folder of this machine that is copied to the share.
    """
    from azure.mgmt.batchai import models

    from azext_batchai.jobs import run
    from azext_batchai.storage.mounts import MountFlags, Mounts

    job.cluster = models.ResourceId(id=cluster.id)
    job.std_out_err_path_prefix = job.std_out_err_path_prefix or run.output_of(cluster)
    place_results(job, run.output_of(cluster))
    if source:
        where = models.InputDirectory(id=SOURCE, path=_copy_source(cmd, client, cluster, source))
        others = [directory for directory in job.input_directories or [] if directory.id != SOURCE]
        job.input_directories = [*others, where]
    flags = MountFlags(None, "", None, "", None, "", None, None)
    job.mount_volumes = Mounts(cmd.cli_ctx, client, places.group, places.workspace, flags).complete(job.mount_volumes)


def place_results(job: Any, prefix: str) -> None:
    """Say where output directories of a job (SDK) lie of which that is not said."""
    for directory in job.output_directories or []:
        directory.path_prefix = directory.path_prefix or prefix


def _copy_source(cmd: Any, client: Any, cluster: Any, source: str) -> str:
    """Copy a folder to the cluster's first share; returns its path on the nodes. Raises InvalidArgumentValueError."""
    from pathlib import Path

    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs import run
    from azext_batchai.jobs.source import copy
    from azext_batchai.jobs.transfer import Tally
    from azext_batchai.storage.places import locate

    base = run.output_of(cluster)
    volumes = cluster.node_setup.mount_volumes if cluster.node_setup else None
    place = locate(client, clients.is_local(cmd.cli_ctx), volumes, base)
    if not place:
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(
            f"Cluster {cluster.name} mounts no file share or container that --source could be copied to.",
            recommendation="Create the cluster with --use-auto-storage, or leave --source out.",
        )
    with Spinner(cmd.cli_ctx) as spinner:
        return f"{base}/{copy(Path(source).expanduser(), place, Tally(spinner))}"


def working_folder(is_local: bool, image: str | None, source: str | None = None) -> str | None:
    """Where the paths of a command line begin, as a word of the shell's: in the copy of its source.

    Else a job of this machine begins where its user is; one in an image, or elsewhere, sees no such folder.
    """
    import os
    import shlex

    if source:
        return f'"$AZ_BATCHAI_INPUT_{SOURCE}"'
    return shlex.quote(os.getcwd()) if is_local and not image else None
